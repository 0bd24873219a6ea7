//! Tokens → model. Refuses what the model has no room for; rules *between* the parts are in `validate`.

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;
use syn::{AttrStyle, Attribute, Signature, TraitItem, TraitItemFn, TypeParamBound};
use syn::{
    FnArg, Ident, ItemTrait, LitStr, Pat, PatType, Receiver, ReceiverKind, ReturnType, Safety,
};

use super::model::{Argument, Chosen, Effects, Method, Named, Reply, Service, Timeout};
use super::{repeated, shape};
use crate::attributes::{Known, Options, Place, Takes};
use crate::errors::Errors;
use crate::names;
use crate::spelling::spelled;

const SERVICE: Place = Place {
    of: "a service",
    options: &[
        Known::with("package", r#"package = "shop.v1""#, Takes::Text),
        Known::with("name", r#"name = "Pricing""#, Takes::Text),
        Known::with("endpoint", r#"endpoint = "pricing""#, Takes::Text),
        Known::with("ping", "ping = false", Takes::Switch),
        Known::flag("message"),
    ],
};

const METHOD: Place = Place {
    of: "a method",
    options: &[
        Known::with("name", r#"name = "GetUser""#, Takes::Text),
        Known::flag("idempotent"),
        Known::flag("no_side_effects"),
        Known::with("timeout", r#"timeout = "2s""#, Takes::Text),
        Known::flag("message"),
        Known::flag("detached"),
    ],
};

const ARGUMENT: Place = Place {
    of: "an argument",
    options: &[Known::flag("default"), Known::flag("secret")],
};

/// Supertraits that every client has as well. With any other the client cannot implement the trait.
const OF_EVERY_CLIENT: [&str; 5] = ["Send", "Sync", "Sized", "Clone", "Debug"];

// === the trait ===

/// Everything about the trait but its items, which are handed back.
pub(super) fn head(
    arguments: TokenStream,
    contract: ItemTrait,
    errors: &mut Errors,
) -> (Service, Vec<TraitItem>) {
    let mut options = Options::default();
    options.read(arguments, &SERVICE, errors);
    refuse_modifiers(&contract, errors);

    let ident = contract.ident;
    let plain = names::plain(&ident);
    let mut attributes = contract.attrs;
    // `#![…]` inside of the braces means the trait too, and has to stand before it when it is printed anew.
    attributes
        .iter_mut()
        .for_each(|attribute| attribute.style = AttrStyle::Outer);
    let service = Service {
        repeated: repeated::of_trait(&attributes),
        gates: repeated::gates(&attributes),
        docs: repeated::docs(&attributes),
        attributes,
        visibility: generated(contract.vis.to_token_stream()),
        written_visibility: contract.vis,
        client_implements: contract.supertraits.iter().all(is_of_every_client),
        supertraits: contract.supertraits,
        client: names::client(&ident),
        server: names::server(&ident),
        implementation: names::implementation(&ident),
        package: package(options.text("package"), errors),
        name: chosen(options.text("name"), &ident, || plain.clone()),
        endpoint: chosen(options.text("endpoint"), &ident, || {
            names::lower_snake(&plain)
        }),
        ping: options.switch("ping").unwrap_or(true),
        message: options.flag("message").is_some(),
        methods: Vec::new(),
        ident,
    };
    (service, contract.items)
}

fn refuse_modifiers(contract: &ItemTrait, errors: &mut Errors) {
    if let Some(unsafety) = &contract.unsafety {
        errors.at(
            unsafety,
            "a service promises nothing that the compiler cannot check: remove `unsafe`",
        );
    }
    if let Some(auto) = &contract.modifiers.auto_token {
        errors.at(auto, "a service is implemented by hand: remove `auto`");
    }
    if !contract.generics.params.is_empty() {
        let message = "a service has one contract, whatever the types of its implementation: \
                       write concrete types instead of parameters";
        errors.at(&contract.generics, message);
    }
    if let Some(clause) = &contract.generics.where_clause {
        errors.at(
            clause,
            "a service takes no `where` clause: write bounds as supertraits, `trait Name: Bound`",
        );
    }
}

/// The package, by default the name of the crate that is being compiled.
fn package(written: Option<&LitStr>, errors: &mut Errors) -> Chosen {
    if let Some(written) = written {
        return Chosen {
            text: written.value(),
            span: written.span(),
        };
    }
    let span = Span::call_site();
    match std::env::var("CARGO_PKG_NAME") {
        Ok(name) => Chosen {
            text: names::package_of_crate(&name),
            span,
        },
        Err(_) => {
            let message =
                r#"the crate has no name to take the package from: write `package = "…"`"#;
            errors.push(syn::Error::new(span, message));
            Chosen {
                text: "unknown".to_owned(),
                span,
            }
        }
    }
}

fn chosen(written: Option<&LitStr>, ident: &Ident, otherwise: impl FnOnce() -> String) -> Chosen {
    match written {
        Some(written) => Chosen {
            text: written.value(),
            span: written.span(),
        },
        None => Chosen {
            text: otherwise(),
            span: ident.span(),
        },
    }
}

/// The developer's tokens as ours. Lints look at where an item begins, and would blame the developer for all of it.
fn generated(tokens: TokenStream) -> TokenStream {
    let tokens = tokens.into_iter().map(|mut token| {
        token.set_span(token.span().resolved_at(Span::mixed_site()));
        token
    });
    tokens.collect()
}

fn is_of_every_client(bound: &TypeParamBound) -> bool {
    match bound {
        TypeParamBound::Trait(bound) => {
            let last = bound.path.segments.last();
            last.is_some_and(|last| OF_EVERY_CLIENT.iter().any(|name| last.ident == name))
        }
        TypeParamBound::Lifetime(_) => true,
        _ => false,
    }
}

// === a method ===

/// A method of the trait; `None` after a mistake that leaves nothing to validate.
pub(super) fn method(item: TraitItem, message: bool, errors: &mut Errors) -> Option<Method> {
    let method = match item {
        TraitItem::Fn(method) => method,
        other => {
            refuse_item(&other, errors);
            return None;
        }
    };
    let TraitItemFn {
        attrs: mut attributes,
        sig: mut signature,
        default,
        ..
    } = method;
    if let Some(hidden) = repeated::hidden_option(&attributes) {
        let message = "an `#[rpc]` option cannot depend on a condition: write the method twice, each under a `#[cfg]`";
        errors.at(hidden, message);
    }
    let options = Options::take(&mut attributes, &METHOD, errors);
    let timeout = options
        .text("timeout")
        .and_then(|text| timeout(text, errors));
    refuse_qualifiers(&signature, errors);
    receiver(&signature, errors);
    let (context, arguments) = arguments(&mut signature, errors);
    let reply = reply(&signature, errors);
    if let Some(clause) = &signature.generics.where_clause {
        errors.at(
            clause,
            "a method takes no `where` clause: its types are concrete",
        );
    }

    Some(Method {
        repeated: repeated::of_method(&attributes),
        gates: repeated::gates(&attributes),
        docs: repeated::docs(&attributes),
        deprecated: repeated::is_deprecated(&attributes),
        attributes,
        handle: names::handle(&signature.ident),
        wire_name: chosen(options.text("name"), &signature.ident, || {
            names::upper_camel(&names::plain(&signature.ident))
        }),
        context,
        arguments: arguments?,
        reply: reply?,
        effects: effects(&options, errors),
        timeout,
        message: message || options.flag("message").is_some(),
        detached: options.flag("detached").cloned(),
        default_body: default,
        signature,
    })
}

fn refuse_item(item: &TraitItem, errors: &mut Errors) {
    match item {
        TraitItem::Const(item) => {
            errors.at(
                &item.ident,
                "a service consists of methods: move the constant out of the trait",
            );
        }
        TraitItem::Type(item) => {
            errors.at(
                &item.ident,
                "a service consists of methods: name the concrete type in them instead",
            );
        }
        TraitItem::Macro(item) => {
            errors.at(
                &item.mac.path,
                "a macro hides its methods from `#[rpc_service]`: write them out",
            );
        }
        other => errors.at(
            other,
            "a service consists of `async fn`s without `pub` or other words before them",
        ),
    }
}

fn refuse_qualifiers(signature: &Signature, errors: &mut Errors) {
    let name = &signature.ident;
    if let Some(word) = &signature.constness {
        errors.at(
            word,
            format_args!("a call happens at run time: write `async fn {name}`"),
        );
    } else if signature.asyncness.is_none() {
        errors.at(
            signature.fn_token,
            format_args!("a call takes its time: write `async fn {name}`"),
        );
    }
    if let Safety::Unsafe(word) = &signature.safety {
        errors.at(
            word,
            "a caller in another process can promise nothing: remove `unsafe`",
        );
    }
    if let Some(abi) = &signature.abi {
        errors.at(
            abi,
            format_args!(
                "a call has an interface of its own: remove `{}`",
                spelled(abi)
            ),
        );
    }
    if !signature.generics.params.is_empty() {
        let message =
            "a method has one request and one response: write concrete types instead of parameters";
        errors.at(&signature.generics, message);
    }
    if let Some(dots) = &signature.variadic {
        errors.at(dots, "a method has a fixed list of arguments: take a `Vec`");
    }
}

fn receiver(signature: &Signature, errors: &mut Errors) {
    let Some(receiver) = signature.receiver() else {
        let message = format!(
            "a method is called on the service: write `async fn {}(&self, …)`",
            signature.ident
        );
        return errors.at(&signature.ident, message);
    };
    let Receiver {
        mutability, kind, ..
    } = receiver;
    match kind {
        ReceiverKind::Reference(_, None, None) if mutability.is_none() => {}
        ReceiverKind::Reference(_, _, Some(_)) => {
            let message = "calls share the service: write `&self`, and keep what changes in a `Mutex` or an atomic";
            errors.at(receiver, message);
        }
        _ => errors.at(receiver, "calls share the service: write `&self`"),
    }
}

/// Takes the helper attributes off the signature and reads the arguments.
fn arguments(
    signature: &mut Signature,
    errors: &mut Errors,
) -> (Option<Named>, Option<Vec<Argument>>) {
    let mut context = None;
    let mut arguments = Some(Vec::new());
    let typed = signature.inputs.iter_mut().filter_map(|input| match input {
        FnArg::Typed(argument) => Some(argument),
        FnArg::Receiver(_) => None,
    });
    for (position, argument) in typed.enumerate() {
        let options = Options::take(&mut argument.attrs, &ARGUMENT, errors);
        refuse_condition(&argument.attrs, errors);
        let ident = argument_name(argument, errors);
        match shape::context(&argument.ty) {
            None => {
                let read =
                    shape::argument(&argument.ty, errors)
                        .zip(ident)
                        .map(|(shape, ident)| Argument {
                            named: Named {
                                ident,
                                ty: (*argument.ty).clone(),
                            },
                            shape,
                            default: options.flag("default").cloned(),
                            secret: options.flag("secret").cloned(),
                        });
                // One that cannot be read leaves no list to check.
                arguments = arguments.zip(read).map(|(mut all, read)| {
                    all.push(read);
                    all
                });
            }
            Some(shape::Mention::Lent) if position == 0 => {
                if let Some(option) = options.flag("default").or(options.flag("secret")) {
                    errors.at(
                        option,
                        "the context is no data that travels: remove the option",
                    );
                }
                context = ident.map(|ident| Named {
                    ident,
                    ty: (*argument.ty).clone(),
                });
            }
            Some(_) => {
                let message = "the context of a call is `ctx: &Context`, directly after `&self`; \
                               a type of your own needs another name here";
                errors.at(&argument.ty, message);
            }
        }
    }
    (context, arguments)
}

fn refuse_condition(attributes: &[Attribute], errors: &mut Errors) {
    for attribute in attributes {
        if attribute.path().is_ident("cfg") || attribute.path().is_ident("cfg_attr") {
            let message =
                "both ends have to agree on the arguments: put the condition on the method";
            errors.at(attribute, message);
        }
    }
}

fn argument_name(argument: &PatType, errors: &mut Errors) -> Option<Ident> {
    match &*argument.pat {
        Pat::Ident(pattern) if pattern.by_ref.is_none() && pattern.subpat.is_none() => {
            let Some(word) = &pattern.mutability else {
                return Some(pattern.ident.clone());
            };
            let message = format!(
                "`mut` is up to the implementation: write `{}` here",
                pattern.ident
            );
            errors.at(word, message);
        }
        pattern => {
            let message = format!(
                "an argument's name is a field's name on the wire: write `name: {}`",
                spelled(&argument.ty)
            );
            errors.at(pattern, message);
        }
    }
    None
}

fn reply(signature: &Signature, errors: &mut Errors) -> Option<Reply> {
    match &signature.output {
        ReturnType::Type(_, ty) => Some(shape::reply(ty, errors)),
        ReturnType::Default => {
            let message = "a call can fail on its way, whatever it does: write `-> Result<()>`";
            errors.push(syn::Error::new(signature.paren_token.span.close(), message));
            None
        }
    }
}

// === options of a method ===

fn effects(options: &Options, errors: &mut Errors) -> Effects {
    match (options.flag("idempotent"), options.flag("no_side_effects")) {
        (Some(idempotent), Some(_)) => {
            errors.at(
                idempotent,
                "`no_side_effects` says this too: remove `idempotent`",
            );
            Effects::Unknown
        }
        (Some(_), None) => Effects::Idempotent,
        (None, Some(option)) => Effects::None(option.clone()),
        (None, None) => Effects::Unknown,
    }
}

fn timeout(text: &LitStr, errors: &mut Errors) -> Option<Timeout> {
    let milliseconds = milliseconds(&text.value());
    if milliseconds.is_none() {
        let message =
            "a timeout is a whole number and its unit, `ms`, `s` or `m`: write `2s` or `1500ms`";
        errors.at(text, message);
    }
    milliseconds.map(|milliseconds| Timeout {
        milliseconds,
        span: text.span(),
    })
}

/// `1500ms`, `2s`, `5m`
fn milliseconds(text: &str) -> Option<u64> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let unit = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

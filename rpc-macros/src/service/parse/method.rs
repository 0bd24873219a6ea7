//! A method, without its arguments.

use syn::{
    GenericParam, LitStr, Receiver, ReceiverKind, ReturnType, Safety, Signature, TraitItem,
    TraitItemFn, parse_quote,
};

use super::{arguments::arguments, chosen};
use crate::attributes::{Known, Options, Place, Takes};
use crate::errors::Errors;
use crate::names;
use crate::service::model::{Effects, Method, Reply, Timeout};
use crate::service::{repeated, travel};
use crate::spelling::spelled;

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

/// A method of the trait; `None` when the item is none.
pub(crate) fn method(item: TraitItem, message: bool, errors: &mut Errors) -> Option<Method> {
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
    if let Some(conditional) = repeated::conditional_option(&attributes) {
        let message = "an `#[rpc]` option cannot depend on a condition: write the method twice, each under a `#[cfg]`";
        errors.at(conditional, message);
    }
    let options = Options::take(&mut attributes, &METHOD, errors);
    let timeout = options
        .text("timeout")
        .and_then(|text| timeout(text, errors));
    let effects = effects(&options, errors);
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
        arguments,
        reply,
        effects,
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
                "a service has no associated constants: move this one out of the trait",
            );
        }
        TraitItem::Type(item) => {
            errors.at(
                &item.ident,
                "a service has no associated types: name the concrete type in the methods",
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
            format_args!("the methods of a service are asynchronous: write `async fn {name}`"),
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
    let generics = &signature.generics;
    if generics
        .params
        .iter()
        .any(|parameter| !matches!(parameter, GenericParam::Lifetime(_)))
    {
        let message = "a method cannot be generic, since it has one request and one response: write concrete types";
        errors.at(generics, message);
    } else if !generics.params.is_empty() {
        errors.at(
            generics,
            "a method has no lifetimes of its own: borrow its arguments with a plain `&`",
        );
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

fn reply(signature: &Signature, errors: &mut Errors) -> Reply {
    match &signature.output {
        ReturnType::Type(_, ty) => travel::reply(ty, errors),
        ReturnType::Default => {
            let message = "a call can fail on its way, whatever it does: write `-> Result<()>`";
            errors.push(syn::Error::new(signature.paren_token.span.close(), message));
            Reply {
                ty: parse_quote!(()),
                parts: None,
            }
        }
    }
}

// === options ===

fn effects(options: &Options, errors: &mut Errors) -> Effects {
    match (options.flag("idempotent"), options.flag("no_side_effects")) {
        (idempotent, Some(option)) => {
            if let Some(idempotent) = idempotent {
                errors.at(
                    idempotent,
                    "`no_side_effects` says this too: remove `idempotent`",
                );
            }
            Effects::None(option.clone())
        }
        (Some(option), None) => Effects::Idempotent(option.clone()),
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

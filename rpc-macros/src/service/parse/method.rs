//! Parses a method, except for its arguments.

use syn::{
    GenericParam, LitStr, Receiver, ReceiverKind, ReturnType, Safety, Signature, TraitItem,
    TraitItemFn, parse_quote,
};

use super::{arguments::arguments, name_or_default};
use crate::errors::Errors;
use crate::names;
use crate::options::{OptionSet, OptionSpec, ParsedOptions, ValueKind};
use crate::service::model::{Effects, Method, Reply, Timeout};
use crate::service::{forwarded_attrs, wire_types};
use crate::token_text::token_text;

const METHOD: OptionSet = OptionSet {
    target: "a method",
    options: &[
        OptionSpec::with("name", r#"name = "GetUser""#, ValueKind::Str),
        OptionSpec::flag("idempotent"),
        OptionSpec::flag("no_side_effects"),
        OptionSpec::with("timeout", r#"timeout = "2s""#, ValueKind::Str),
        OptionSpec::flag("message"),
        OptionSpec::flag("detached"),
        OptionSpec::with("get", r#"get = "/users/{id}""#, ValueKind::Str),
        OptionSpec::with("post", r#"post = "/users""#, ValueKind::Str),
        OptionSpec::flag("bare"),
    ],
};

/// Returns the method, or `None` if the item is not a method.
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
    if let Some(conditional) = forwarded_attrs::conditional_option(&attributes) {
        let message =
            "`#[rpc(…)]` cannot be inside `cfg_attr`: write the method twice, each with a `#[cfg]`";
        errors.at(conditional, message);
    }
    let options = ParsedOptions::take(&mut attributes, &METHOD, errors);
    let timeout = options
        .str("timeout")
        .and_then(|text| timeout(text, errors));
    let effects = effects(&options, errors);
    refuse_qualifiers(&signature, errors);
    receiver(&signature, errors);
    let (context, arguments) = arguments(&mut signature, errors);
    let reply = reply(&signature, errors);
    if let Some(clause) = &signature.generics.where_clause {
        errors.at(
            clause,
            "a method cannot have a `where` clause: remove it, and use concrete types",
        );
    }

    Some(Method {
        forwarded_attrs: forwarded_attrs::of_method(&attributes),
        cfg_attrs: forwarded_attrs::cfg_attrs(&attributes),
        docs: forwarded_attrs::docs(&attributes),
        deprecated: forwarded_attrs::is_deprecated(&attributes),
        attributes,
        method_static: names::method_static(&signature.ident),
        wire_name: name_or_default(options.str("name"), &signature.ident, || {
            names::upper_camel(&names::unraw(&signature.ident))
        }),
        context,
        arguments,
        reply,
        effects,
        timeout,
        get: options.str("get").cloned(),
        post: options.str("post").cloned(),
        bare: options.flag("bare").cloned(),
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
                "a service trait cannot have associated constants: move it out of the trait",
            );
        }
        TraitItem::Type(item) => {
            errors.at(
                &item.ident,
                "a service trait cannot have associated types: use the concrete type in the methods",
            );
        }
        TraitItem::Macro(item) => {
            errors.at(
                &item.mac.path,
                "a service trait cannot contain macro calls, which `#[rpc_service]` cannot expand: write the methods out",
            );
        }
        other => errors.at(
            other,
            "invalid item in a service trait: write `async fn` without `pub` or another qualifier",
        ),
    }
}

fn refuse_qualifiers(signature: &Signature, errors: &mut Errors) {
    let name = &signature.ident;
    if let Some(constness) = &signature.constness {
        errors.at(
            constness,
            format_args!("a method cannot be `const`: write `async fn {name}`"),
        );
    } else if signature.asyncness.is_none() {
        errors.at(
            signature.fn_token,
            format_args!("a method must be `async`: write `async fn {name}`"),
        );
    }
    if let Safety::Unsafe(unsafety) = &signature.safety {
        errors.at(unsafety, "a method cannot be `unsafe`: remove `unsafe`");
    }
    if let Some(abi) = &signature.abi {
        errors.at(
            abi,
            format_args!("a method cannot have an ABI: remove `{}`", token_text(abi)),
        );
    }
    let generics = &signature.generics;
    if generics
        .params
        .iter()
        .any(|parameter| !matches!(parameter, GenericParam::Lifetime(_)))
    {
        let message = "a method cannot be generic: use concrete types";
        errors.at(generics, message);
    } else if !generics.params.is_empty() {
        errors.at(
            generics,
            "a method cannot have lifetime parameters: borrow arguments with `&`",
        );
    }
    if let Some(dots) = &signature.variadic {
        errors.at(dots, "a method cannot be variadic: take a `Vec`");
    }
}

fn receiver(signature: &Signature, errors: &mut Errors) {
    let Some(receiver) = signature.receiver() else {
        let message = format!(
            "a method must take `&self`: write `async fn {}(&self, …)`",
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
            let message = "a method must take `&self`, since calls run concurrently: keep mutable state in a `Mutex` or an atomic";
            errors.at(receiver, message);
        }
        _ => errors.at(
            receiver,
            "a method must take its receiver as `&self`: write `&self`",
        ),
    }
}

fn reply(signature: &Signature, errors: &mut Errors) -> Reply {
    match &signature.output {
        ReturnType::Type(_, ty) => wire_types::reply(ty, errors),
        ReturnType::Default => {
            let message =
                "a method must return a `Result`, since every call can fail: write `-> Result<()>`";
            errors.push(syn::Error::new(signature.paren_token.span.close(), message));
            Reply {
                ty: parse_quote!(()),
                parts: None,
                stream: None,
            }
        }
    }
}

// === options ===

fn effects(options: &ParsedOptions, errors: &mut Errors) -> Effects {
    match (options.flag("idempotent"), options.flag("no_side_effects")) {
        (idempotent, Some(option)) => {
            if let Some(idempotent) = idempotent {
                errors.at(
                    idempotent,
                    "`no_side_effects` implies `idempotent`: remove `idempotent`",
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
        let message = "invalid timeout: write an integer and the unit `ms`, `s` or `m`, such as `2s` or `1500ms`";
        errors.at(text, message);
    }
    milliseconds.map(|milliseconds| Timeout {
        milliseconds,
        span: text.span(),
    })
}

/// Parses `1500ms`, `2s` or `5m`.
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

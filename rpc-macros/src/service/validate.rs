//! The rules between the parts of a service. What the model cannot even hold, `parse` has refused.

use std::collections::HashMap;

use proc_macro2::Ident;
use syn::Type;

use super::model::{Argument, Effects, Method, Service, Shape, Timeout};
use crate::errors::Errors;
use crate::names;

/// The runtime has its codec for tuples of up to this many arguments.
const MOST_ARGUMENTS: usize = 12;
/// The runtime's cap for the deadline of any call.
const LONGEST_TIMEOUT: u64 = 5 * 60 * 1_000;

/// The names of the service itself.
pub(super) fn head(service: &Service, errors: &mut Errors) {
    let Service {
        package,
        name,
        endpoint,
        ..
    } = service;
    if !names::is_package(&package.text) {
        let message = format!(
            "`{}` is no package: write identifiers with dots between them, such as `shop.v1`",
            package.text
        );
        errors.push(syn::Error::new(package.span, message));
    }
    if !names::is_identifier(&name.text) {
        let message = format!("`{}` is no name for the wire: {LETTERS}", name.text);
        errors.push(syn::Error::new(name.span, message));
    }
    if !names::is_endpoint(&endpoint.text) {
        let message = format!(
            r#"`{}` is no endpoint: write `endpoint = "…"` with lower-case ASCII letters, digits, `_`, `-` and `.`"#,
            endpoint.text,
        );
        errors.push(syn::Error::new(endpoint.span, message));
    }
}

const LETTERS: &str = r#"write `name = "…"` with ASCII letters, digits and `_`, no digit first"#;

/// The rules for methods, and what the earlier ones of the trait have taken already.
#[derive(Default)]
pub(super) struct Methods {
    /// Wire name → method.
    wire_names: HashMap<String, Ident>,
    /// The static that holds a method → method.
    handles: HashMap<String, Ident>,
}

impl Methods {
    pub(super) fn check(&mut self, method: &Method, service: &Service, errors: &mut Errors) {
        self.check_names(method, service, errors);
        if let Some(timeout) = &method.timeout {
            check_timeout(timeout, errors);
        }
        check_arguments(method, errors);
        check_keys(method, errors);
        check_message(method, errors);
        if let (Effects::None(_), Some(detached)) = (&method.effects, &method.detached) {
            let message = "`detached` lets work go on for its effects, and this method has none: remove one of the two";
            errors.at(detached, message);
        }
    }

    fn check_names(&mut self, method: &Method, service: &Service, errors: &mut Errors) {
        let ident = method.ident();
        if let Some(advice) = reserved(&names::plain(ident), service.ping) {
            errors.at(ident, advice);
        }
        let wire = &method.wire_name;
        if !names::is_identifier(&wire.text) {
            let message = format!("`{}` is no name for the wire: {LETTERS}", wire.text);
            errors.push(syn::Error::new(wire.span, message));
        } else if service.ping && wire.text == "Ping" && names::plain(ident) != "ping" {
            let message = "every service has a `Ping` already: choose another name, or write `#[rpc_service(ping = false)]`";
            errors.push(syn::Error::new(wire.span, message));
        }
        // Methods of which only one exists at a time may share their names.
        if !method.gates.is_empty() {
            return;
        }
        let handle = method.handle.to_string();
        if let Some(earlier) = self.wire_names.insert(wire.text.clone(), ident.clone()) {
            let message = format!(
                r#"`{ident}` and `{earlier}` are both `{}` on the wire: rename one, or write `#[rpc(name = "…")]`"#,
                wire.text,
            );
            errors.push(syn::Error::new(wire.span, message));
        } else if let Some(earlier) = self.handles.insert(handle, ident.clone()) {
            let message = format!(
                "`{ident}` and `{earlier}` differ only in upper and lower case: rename one"
            );
            errors.at(ident, message);
        }
    }
}

/// Names that the generated client needs for itself, with advice.
fn reserved(name: &str, ping: bool) -> Option<String> {
    let taken = match name {
        "connect" | "local" | "discover" => "makes clients",
        "clone" => "copies clients",
        "ping" if ping => {
            return Some(
                "every service has a `ping` already: remove this one, rename it, or write \
                 `#[rpc_service(ping = false)]`"
                    .to_owned(),
            );
        }
        _ if name.starts_with("with_") => "changes the settings of clients",
        _ => return None,
    };
    let wire_name = names::upper_camel(name);
    Some(format!(
        r#"`{name}` is taken, since it {taken}: rename the method; `#[rpc(name = "{wire_name}")]` keeps its name on the wire"#
    ))
}

fn check_timeout(timeout: &Timeout, errors: &mut Errors) {
    let message = match timeout.milliseconds {
        0 => "a timeout of zero fails every call: leave it out for the default of 30 s",
        1..=LONGEST_TIMEOUT => return,
        _ => "a server ends every call after 5 minutes: write `5m` or less",
    };
    errors.push(syn::Error::new(timeout.span, message));
}

fn check_arguments(method: &Method, errors: &mut Errors) {
    let mut spellings = HashMap::new();
    for (position, argument) in method.arguments.iter().enumerate() {
        let ident = &argument.named.ident;
        let name = names::plain(ident);
        if !names::is_identifier(&name) {
            let message = format!(
                "`{name}` is a field's name on the wire: use ASCII letters, digits and `_`"
            );
            errors.at(ident, message);
        }
        let spelling = names::lower_camel(&name);
        if let Some(earlier) = spellings.insert(spelling.clone(), ident) {
            let message =
                format!("`{ident}` and `{earlier}` are both `{spelling}` in JSON: rename one");
            errors.at(ident, message);
        }
        if let (Some(secret), Effects::None(option)) = (&argument.secret, &method.effects) {
            let message = format!(
                "a method with `{option}` can be called by `GET`, whose arguments end up in the logs of proxies: \
                 remove `{option}` or `{secret}`",
            );
            errors.at(secret, message);
        }
        if position == MOST_ARGUMENTS {
            let message = format!(
                "a method takes at most {MOST_ARGUMENTS} arguments: put them into one struct"
            );
            errors.at(ident, message);
        }
    }
}

/// A server knows a repeated call by its key, so each call must have one, as text.
fn check_keys(method: &Method, errors: &mut Errors) {
    let mut first: Option<&Ident> = None;
    for argument in &method.arguments {
        let Some(option) = &argument.key else {
            continue;
        };
        let ident = &argument.named.ident;
        if let Some(first) = first {
            let message =
                format!("a call is known by one key, and `{first}` is it: remove this `{option}`");
            errors.at(option, message);
            continue;
        }
        first = Some(ident);
        if !method.message && !is_text(&argument.shape) {
            let message = format!(
                "an idempotency key is text that every call has: write `{ident}: &str` or `{ident}: String`"
            );
            errors.at(&argument.named.ty, message);
        }
        if let Some(default) = &argument.default {
            let message = format!(
                "all calls without a key would have the same one: remove `{default}`, so that a missing key is an error"
            );
            errors.at(default, message);
        }
        if let Some(secret) = &argument.secret {
            let message = format!(
                "a key is kept with the result of its call and may stand in an error, so it must be no secret: \
                 remove `{secret}`, or take a key of its own"
            );
            errors.at(secret, message);
        }
        let needless = match &method.effects {
            Effects::Unknown => None,
            Effects::None(option) => Some((option, "it may be repeated without a key")),
            Effects::Idempotent(option) => Some((
                option,
                "the handler itself sees to repeated calls, and with a key the server does",
            )),
        };
        if let Some((effects, why)) = needless {
            let message = format!(
                "a method with `{effects}` needs no `{option}`, since {why}: remove one of the two"
            );
            errors.at(option, message);
        }
        if let Some(detached) = &method.detached {
            let message = format!("`{option}` says this too: remove `{detached}`");
            errors.at(detached, message);
        }
    }
}

/// `&str` or `String`. That this `String` is the standard library's, the compiler sees.
fn is_text(shape: &Shape) -> bool {
    match shape {
        Shape::Str => true,
        Shape::Owned(Type::Path(ty)) => {
            let last = ty.path.segments.last();
            last.is_some_and(|last| last.ident == "String" && last.arguments.is_none())
        }
        _ => false,
    }
}

/// In message style the one argument *is* the request.
fn check_message(method: &Method, errors: &mut Errors) {
    if !method.message {
        return;
    }
    let [
        Argument {
            named,
            shape,
            default,
            secret,
            key,
        },
    ] = method.arguments.as_slice()
    else {
        let message = format!(
            "in message style the argument is the request: `{}` needs exactly one, a struct",
            method.ident(),
        );
        return errors.at(method.ident(), message);
    };
    if !matches!(shape, Shape::Owned(_) | Shape::Ref(_)) {
        errors.at(
            &named.ty,
            "in message style the argument is the request, a JSON object: write a struct",
        );
    }
    if let Some(option) = default.as_ref().or(secret.as_ref()).or(key.as_ref()) {
        let message = format!(
            "in message style the argument is the request, not a field of it: remove `{option}`"
        );
        errors.at(option, message);
    }
}

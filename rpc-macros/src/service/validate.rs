//! Checks the rules between the parts of a service. `parse` rejects what the model cannot
//! represent.

use std::collections::HashMap;

use proc_macro2::Ident;

use super::argument_form::{self, bare};
use super::http_paths::HttpPaths;
use super::model::{Argument, ArgumentForm, Effects, Method, Service, Timeout};
use crate::errors::Errors;
use crate::names;

/// The number of arguments up to which the runtime implements its codec for tuples.
const MAX_ARGUMENTS: usize = 12;
/// The runtime's maximum of the deadline of a call, in milliseconds.
const MAX_TIMEOUT_MS: u64 = 5 * 60 * 1_000;

/// Checks the names of the service.
pub(super) fn head(service: &Service, errors: &mut Errors) {
    let Service {
        package,
        name,
        endpoint,
        ..
    } = service;
    if !names::is_package(&package.text) {
        let message = format!(
            "invalid package `{}`: use identifiers separated by dots, such as `shop.v1`",
            package.text
        );
        errors.push(syn::Error::new(package.span, message));
    }
    if !names::is_identifier(&name.text) {
        let message = format!("invalid name `{}` of a service: {LETTERS}", name.text);
        errors.push(syn::Error::new(name.span, message));
    }
    if !names::is_endpoint(&endpoint.text) {
        let message = format!(
            r#"invalid endpoint `{}`: write `endpoint = "…"` with lower-case ASCII letters, digits, `_`, `-` and `.`"#,
            endpoint.text,
        );
        errors.push(syn::Error::new(endpoint.span, message));
    }
}

const LETTERS: &str =
    r#"write `name = "…"` with ASCII letters, digits and `_`, not starting with a digit"#;

/// Checks methods. It holds the names that earlier methods of the trait use.
#[derive(Default)]
pub(super) struct Methods {
    /// The method of each wire name.
    wire_names: HashMap<String, Ident>,
    /// The method of each generated static.
    statics: HashMap<String, Ident>,
    http_paths: HttpPaths,
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
        check_streams(method, errors);
        self.http_paths.check(method, errors);
        if let (Effects::None(_), Some(detached)) = (&method.effects, &method.detached) {
            let message = "`detached` conflicts with `no_side_effects`: remove one of them";
            errors.at(detached, message);
        }
    }

    fn check_names(&mut self, method: &Method, service: &Service, errors: &mut Errors) {
        let ident = method.ident();
        if let Some(advice) = reserved(&names::unraw(ident), service.ping) {
            errors.at(ident, advice);
        }
        let wire = &method.wire_name;
        if !names::is_identifier(&wire.text) {
            let message = format!("invalid name `{}` of a method: {LETTERS}", wire.text);
            errors.push(syn::Error::new(wire.span, message));
        } else if service.ping && wire.text == "Ping" && names::unraw(ident) != "ping" {
            let message = "`Ping` is the built-in method of every service: choose another name, or write `#[rpc_service(ping = false)]`";
            errors.push(syn::Error::new(wire.span, message));
        }
        // Methods under a `#[cfg]` may share a name, since only one of them may be compiled.
        if !method.cfg_attrs.is_empty() {
            return;
        }
        let method_static = method.method_static.to_string();
        if let Some(earlier) = self.wire_names.insert(wire.text.clone(), ident.clone()) {
            let message = format!(
                r#"`{ident}` and `{earlier}` have the same wire name `{}`: rename one, or write `#[rpc(name = "…")]`"#,
                wire.text,
            );
            errors.push(syn::Error::new(wire.span, message));
        } else if let Some(earlier) = self.statics.insert(method_static, ident.clone()) {
            let message = format!("`{ident}` and `{earlier}` differ only in case: rename one");
            errors.at(ident, message);
        }
    }
}

/// Returns the error for a method name that the generated client uses itself.
fn reserved(name: &str, ping: bool) -> Option<String> {
    let role = match name {
        "connect" | "local" | "discover" => "a constructor",
        "clone" => "a method",
        "ping" if ping => {
            return Some(
                "`ping` is a built-in method of every service: remove this one, rename it, or write \
                 `#[rpc_service(ping = false)]`"
                    .to_owned(),
            );
        }
        _ if name.starts_with("with_") => "a constructor or setting",
        _ => return None,
    };
    let wire_name = names::upper_camel(name);
    Some(format!(
        r#"`{name}` is reserved for {role} of the client: rename the method; `#[rpc(name = "{wire_name}")]` keeps its wire name"#
    ))
}

fn check_timeout(timeout: &Timeout, errors: &mut Errors) {
    let message = match timeout.milliseconds {
        0 => "a timeout of zero fails every call: remove it to get the default of 30 s",
        1..=MAX_TIMEOUT_MS => return,
        _ => "the timeout exceeds the maximum of 5 minutes: write `5m` or less",
    };
    errors.push(syn::Error::new(timeout.span, message));
}

fn check_arguments(method: &Method, errors: &mut Errors) {
    let mut spellings = HashMap::new();
    for (position, argument) in method.arguments.iter().enumerate() {
        let ident = &argument.parameter.ident;
        let name = names::unraw(ident);
        if !names::is_identifier(&name) {
            let message = format!(
                "invalid argument name `{name}`, which is a field name in JSON: use ASCII letters, digits and `_`"
            );
            errors.at(ident, message);
        }
        let spelling = names::lower_camel(&name);
        if let Some(earlier) = spellings.insert(spelling.clone(), ident) {
            let message = format!(
                "`{ident}` and `{earlier}` have the same JSON name `{spelling}`: rename one"
            );
            errors.at(ident, message);
        }
        if let (Some(secret), Effects::None(option)) = (&argument.secret, &method.effects) {
            let message = format!(
                "`{secret}` conflicts with `{option}`, which allows `GET`, whose arguments proxies log: \
                 remove one of them",
            );
            errors.at(secret, message);
        }
        if position == MAX_ARGUMENTS {
            let message = format!(
                "a method takes at most {MAX_ARGUMENTS} arguments: combine them in a struct"
            );
            errors.at(ident, message);
        }
    }
}

/// Checks that an idempotency key is a required string and not combined with conflicting options.
fn check_keys(method: &Method, errors: &mut Errors) {
    let mut first: Option<&Ident> = None;
    for argument in &method.arguments {
        let Some(option) = &argument.key else {
            continue;
        };
        let ident = &argument.parameter.ident;
        if let Some(first) = first {
            let message = format!(
                "a method has one idempotency key, and `{first}` is marked already: remove this `{option}`"
            );
            errors.at(option, message);
            continue;
        }
        first = Some(ident);
        if !method.message && !is_text(&argument.form) {
            let message = format!(
                "an idempotency key must be a string: write `{ident}: &str` or `{ident}: String`"
            );
            errors.at(&argument.parameter.ty, message);
        }
        if let Some(default) = &argument.default {
            let message = format!(
                "an idempotency key cannot have a default, which all calls without a key would share: remove `{default}`"
            );
            errors.at(default, message);
        }
        if let Some(secret) = &argument.secret {
            let message = format!(
                "an idempotency key cannot be `{secret}`, since it is stored and may appear in errors: \
                 remove `{secret}`, or add another argument as the key"
            );
            errors.at(secret, message);
        }
        if let Effects::None(effects) | Effects::Idempotent(effects) = &method.effects {
            let message = format!(
                "`{option}` conflicts with `{effects}`, whose calls can be repeated without a key: \
                 remove one of them"
            );
            errors.at(option, message);
        }
        if let Some(detached) = &method.detached {
            let message = format!("`{option}` implies `{detached}`: remove `{detached}`");
            errors.at(detached, message);
        }
    }
}

/// Returns whether the type is `&str` or `String`. The compiler checks that `String` is the
/// standard library's.
fn is_text(form: &ArgumentForm) -> bool {
    match form {
        ArgumentForm::Str => true,
        ArgumentForm::Owned(ty) => argument_form::last_segment(bare(ty))
            .is_some_and(|last| last.ident == "String" && last.arguments.is_none()),
        _ => false,
    }
}

/// Checks that a method in message style has one argument, which is the request message.
fn check_message(method: &Method, errors: &mut Errors) {
    if !method.message {
        return;
    }
    let [
        Argument {
            parameter,
            form,
            default,
            secret,
            key,
            ..
        },
    ] = method.arguments.as_slice()
    else {
        let message = format!(
            "a method in message style takes one argument, the request message: give `{}` one struct",
            method.ident(),
        );
        return errors.at(method.ident(), message);
    };
    if matches!(form, ArgumentForm::Stream(_)) {
        // The messages of a stream are what this style makes of the only argument.
        return;
    }
    if !matches!(form, ArgumentForm::Owned(_) | ArgumentForm::Ref(_)) {
        errors.at(
            &parameter.ty,
            "the argument of a method in message style must be a JSON object: use a struct",
        );
    }
    if let Some(option) = default.as_ref().or(secret.as_ref()).or(key.as_ref()) {
        let message = format!(
            "`{option}` conflicts with message style, whose argument is the whole request: remove it"
        );
        errors.at(option, message);
    }
}

/// Checks that a method with streams has no option that needs a single message.
fn check_streams(method: &Method, errors: &mut Errors) {
    let request = method.request_stream();
    if let Some((argument, ty)) = request {
        if method.arguments.len() > 1 {
            let message = format!(
                "a stream must be the only argument: send the other values in its first message, or remove `{}`",
                argument.parameter.ident
            );
            errors.at(ty, message);
        }
        if let Some(option) = argument.default.as_ref().or(argument.secret.as_ref()) {
            let message = format!("a stream cannot have `{option}`: remove it");
            errors.at(option, message);
        }
    }
    if request.is_none() && method.reply.stream.is_none() {
        return;
    }
    if let Some(detached) = &method.detached {
        let message =
            "`detached` conflicts with streams, which end with their caller: remove one of them";
        errors.at(detached, message);
    }
    if let Some(key) = method.key().and_then(|argument| argument.key.as_ref()) {
        let message = format!(
            "`{key}` conflicts with streams, which cannot be kept for repeated calls: remove one of them"
        );
        errors.at(key, message);
    }
    for path in method.get.iter().chain(&method.post) {
        let message =
            "an HTTP path cannot be that of a method with streams: remove it, or return a `Vec`";
        errors.at(path, message);
    }
}

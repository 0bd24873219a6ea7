//! Checks the HTTP paths of methods: `get = "/users/{id}"` and `post = "/users"`.

use std::collections::HashMap;

use proc_macro2::Ident;
use syn::{LitStr, Type};

use super::model::{Argument, ArgumentForm, Effects, Method};
use crate::errors::Errors;
use crate::names;

/// The paths that every server has itself.
const PROBES: [&str; 2] = ["/healthz", "/readyz"];

/// The HTTP paths of the methods of a trait.
#[derive(Default)]
pub(super) struct HttpPaths {
    /// The method of each verb and path, in which all captures are equal.
    methods: HashMap<(&'static str, String), Ident>,
}

impl HttpPaths {
    pub(super) fn check(&mut self, method: &Method, errors: &mut Errors) {
        if let Some(path) = &method.get {
            check_get(method, path, errors);
        }
        if let Some(bare) = &method.bare {
            check_bare(method, bare, errors);
        }
        for (verb, path) in [("get", &method.get), ("post", &method.post)] {
            let Some(path) = path else {
                continue;
            };
            match segments(&path.value()) {
                Ok(segments) => {
                    check_captures(method, path, &segments, errors);
                    self.check_free(method, verb, path, &segments, errors);
                }
                Err(problem) => errors.at(path, problem),
            }
        }
    }

    /// Checks that no other method has the path. Methods under a `#[cfg]` may share one.
    fn check_free(
        &mut self,
        method: &Method,
        verb: &'static str,
        path: &LitStr,
        segments: &[Segment],
        errors: &mut Errors,
    ) {
        if !method.cfg_attrs.is_empty() {
            return;
        }
        let shape = segments.iter().map(|segment| match segment {
            Segment::Text(text) => format!("/{text}"),
            Segment::Capture(_) => "/{}".to_owned(),
        });
        let ident = method.ident();
        if let Some(earlier) = self.methods.insert((verb, shape.collect()), ident.clone()) {
            let message =
                format!("`{ident}` and `{earlier}` have the same path for `{verb}`: change one");
            errors.at(path, message);
        }
    }
}

/// A part of a path between slashes.
enum Segment {
    Text(String),
    /// `{id}`, the value of an argument.
    Capture(String),
}

/// Splits a path.
fn segments(path: &str) -> Result<Vec<Segment>, String> {
    let Some(rest) = path.strip_prefix('/') else {
        return Err("an HTTP path starts with `/`, such as `/users/{id}`".to_owned());
    };
    if PROBES.contains(&path) {
        return Err(format!(
            "`{path}` is a probe of every server: choose another path"
        ));
    }
    let parts: Vec<_> = rest.split('/').collect();
    if let [service, method] = parts[..]
        && service.contains('.')
        && names::is_package(service)
        && names::is_identifier(method)
    {
        return Err(format!(
            "`{path}` has the form of the path of a method, `/package.Service/Method`: choose another one"
        ));
    }
    parts.into_iter().map(segment).collect()
}

fn segment(text: &str) -> Result<Segment, String> {
    if text.is_empty() {
        return Err(
            "an HTTP path has no empty segment: remove the second or last slash".to_owned(),
        );
    }
    let capture = text
        .strip_prefix('{')
        .and_then(|text| text.strip_suffix('}'));
    if let Some(name) = capture
        && names::is_identifier(name)
    {
        return Ok(Segment::Capture(name.to_owned()));
    }
    if text.contains(['{', '}', '*']) {
        return Err(format!(
            "invalid capture `{text}`: a capture is a whole segment with the name of an argument, such as `{{id}}`"
        ));
    }
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()+,;=:@".contains(&b);
    if !text.bytes().all(is_plain) || text == "." || text == ".." {
        return Err(format!(
            "invalid segment `{text}` of an HTTP path: write ASCII letters, digits, `-`, `_`, `.` and `~`"
        ));
    }
    Ok(Segment::Text(text.to_owned()))
}

/// Checks that a method that can be called by `GET` changes nothing.
fn check_get(method: &Method, path: &LitStr, errors: &mut Errors) {
    if !matches!(method.effects, Effects::None(_)) {
        errors.at(
            path,
            "a method that is called by `GET` must not change anything: add `no_side_effects`, or use `post`",
        );
    }
    if method.message {
        errors.at(
            path,
            "the arguments of `get` are captures and query parameters, and message style has none: write `bare` in place \
             of `message` for a response without `result`, or use `post`",
        );
    }
}

/// Checks that a method whose value is the whole response at its HTTP paths has one.
fn check_bare(method: &Method, bare: &Ident, errors: &mut Errors) {
    if method.get.is_none() && method.post.is_none() {
        errors.at(
            bare,
            "`bare` is about the response at an HTTP path: add `get = \"…\"` or `post = \"…\"`",
        );
    } else if method.message {
        errors.at(
            bare,
            "the response of a method in message style is the value itself: remove `bare`",
        );
    }
}

/// Checks that each capture is an argument that is text, a number or a truth value.
fn check_captures(method: &Method, path: &LitStr, segments: &[Segment], errors: &mut Errors) {
    let mut captured = Vec::new();
    for segment in segments {
        let Segment::Capture(name) = segment else {
            continue;
        };
        if captured.contains(&name) {
            errors.at(path, format!("`{{{name}}}` occurs twice: remove one"));
            continue;
        }
        captured.push(name);
        let argument = method
            .arguments
            .iter()
            .find(|argument| names::unraw(&argument.parameter.ident) == *name);
        if method.message {
            errors.at(
                path,
                format!("`{{{name}}}` is not an argument: a method in message style takes all of them from the body"),
            );
        } else if let Some(argument) = argument {
            check_captured(name, argument, path, errors);
        } else {
            errors.at(
                path,
                format!(
                    "`{{{name}}}` is not an argument of `{}`: a capture has the name of one",
                    method.ident()
                ),
            );
        }
    }
}

fn check_captured(name: &str, argument: &Argument, path: &LitStr, errors: &mut Errors) {
    if let Some(secret) = &argument.secret {
        errors.at(
            secret,
            format!("`{{{name}}}` in an HTTP path, which proxies log, cannot be `{secret}`: remove one of them"),
        );
    }
    if is_option_or_list(&argument.form) {
        errors.at(
            path,
            format!("`{{{name}}}` is always there, and one value: its argument cannot be an option or a list"),
        );
    }
}

fn is_option_or_list(form: &ArgumentForm) -> bool {
    match form {
        ArgumentForm::Optional(_) | ArgumentForm::Slice(_) => true,
        ArgumentForm::Owned(Type::Path(ty)) | ArgumentForm::Ref(Type::Path(ty)) => {
            let last = ty.path.segments.last();
            last.is_some_and(|last| last.ident == "Option" || last.ident == "Vec")
        }
        _ => false,
    }
}

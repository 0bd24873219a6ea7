//! The message of a call whose arguments are in the path and the query of the request.

use std::borrow::Cow;

use bytes::Bytes;
use http::{Method as Verb, request};
use serde::de::IgnoredAny;

use crate::codec::json::same_name;
use crate::descriptor::{ArgumentDescriptor, MethodDescriptor};
use crate::error::{Code, Error};
use crate::middleware::{Body, Response};
use crate::protocol::connect::{self, CallRejection, RequestHead};

/// The JSON values that an argument accepts, by which its text is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scalar {
    Text,
    Number,
    Boolean,
}

/// The form of an argument in a path or a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parameter {
    scalar: Scalar,
    /// Whether a query has it any number of times.
    is_list: bool,
}

impl Parameter {
    /// Returns the form of each argument, which is found by decoding examples.
    pub(crate) fn of(
        method: &'static MethodDescriptor,
        decode: &dyn Fn(&[u8]) -> Result<(), Error>,
    ) -> Vec<Self> {
        let accepts = |argument: &ArgumentDescriptor, json: &str| {
            let message = format!("{{\"{}\":{json}}}", argument.name);
            match decode(message.as_bytes()) {
                Ok(()) => true,
                // Of another argument, which is missing.
                Err(error) => !error.violations().iter().any(|violation| {
                    let rest = violation.field.strip_prefix(argument.name);
                    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
                }),
            }
        };
        let arguments = method.arguments.iter();
        let parameters = arguments.map(|argument| {
            let scalar = |list: bool| {
                let in_list = |json: &str| {
                    if list {
                        format!("[{json}]")
                    } else {
                        json.to_owned()
                    }
                };
                if accepts(argument, &in_list("\"x\"")) {
                    Scalar::Text
                } else if accepts(argument, &in_list("1")) {
                    Scalar::Number
                } else if accepts(argument, &in_list("true")) {
                    Scalar::Boolean
                } else {
                    Scalar::Text
                }
            };
            let is_list = accepts(argument, "[]") && !accepts(argument, "\"x\"");
            Self {
                scalar: scalar(is_list),
                is_list,
            }
        });
        parameters.collect()
    }
}

/// Returns the value of a response message. `None` if the message has another form, which a layer
/// may have given to it.
fn bare_value(message: &Bytes) -> Option<Bytes> {
    if message == "{}" {
        return Some(Bytes::from_static(b"null"));
    }
    let prefix = br#"{"result":"#;
    let end = message.len().checked_sub(1)?;
    if !message.starts_with(prefix) || !message.ends_with(b"}") {
        return None;
    }
    let value = message.slice(prefix.len()..end);
    serde_json::from_slice::<IgnoredAny>(&value).ok()?;
    Some(value)
}

/// The values of captures by the names of their arguments, as in the path.
pub(crate) type Captures = Vec<(&'static str, String)>;

/// A request at an HTTP path of a method.
pub(crate) struct BoundRequest {
    pub(crate) method: &'static MethodDescriptor,
    pub(crate) captures: Captures,
}

impl BoundRequest {
    /// Reads the head of the request. The message of a `GET` is made of captures and the query.
    pub(crate) fn read(
        &self,
        head: &request::Parts,
        parameters: &[Parameter],
    ) -> Result<RequestHead, CallRejection> {
        if head.method != Verb::GET {
            return connect::read_request(head, self.method);
        }
        let query = head.uri.query().unwrap_or_default();
        let message = self.message(parameters, query)?;
        connect::read_bound_get(head, message.into())
    }

    /// Returns whether the arguments are in the path and the query only.
    pub(crate) fn has_query_message(head: &request::Parts) -> bool {
        head.method == Verb::GET
    }

    /// Adds the captures to the message of a `POST`.
    pub(crate) fn merge(&self, parameters: &[Parameter], message: Bytes) -> Result<Bytes, Error> {
        if self.captures.is_empty() {
            return Ok(message);
        }
        let body = trimmed(&message);
        let fields = match body {
            [] => &b"}"[..],
            [b'{', fields @ ..] => trimmed(fields),
            _ => return Ok(message),
        };
        if !body.is_empty() && serde_json::from_slice::<IgnoredAny>(body).is_err() {
            // As it is, so that the decoder has the error, with the position in the body.
            return Ok(message);
        }
        let mut merged = self.message(parameters, "")?;
        merged.pop();
        if fields != b"}" {
            merged.push(b',');
        }
        merged.extend_from_slice(fields);
        Ok(merged.into())
    }

    /// Makes the value of a method with `#[rpc(bare)]` the whole response.
    pub(crate) fn finish(bound: Option<&Self>, response: &mut Response) {
        if bound.is_none_or(|bound| !bound.method.http_bare) {
            return;
        }
        let message = response.body_mut().and_then(Body::message_mut);
        if let Some(message) = message
            && let Some(value) = bare_value(message)
        {
            *message = value;
        }
    }

    /// Returns the JSON object of the captures and the parameters of a query.
    fn message(&self, parameters: &[Parameter], query: &str) -> Result<Vec<u8>, Error> {
        let mut values: Vec<Vec<String>> = vec![Vec::new(); self.method.arguments.len()];
        for (name, text) in &self.captures {
            if let Some(index) = self.index(name) {
                values[index].push(decoded(text, self.method.arguments[index].name)?);
            }
        }
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            // As of a message, fields that are not known are ignored.
            let Some(index) = connect::query_text(name).and_then(|name| self.index(&name)) else {
                continue;
            };
            let name = self.method.arguments[index].name;
            if self.captures.iter().any(|(captured, _)| *captured == name) {
                return Err(invalid(
                    name,
                    "is in the path, and cannot be in the query too",
                ));
            }
            if !values[index].is_empty() && !parameters[index].is_list {
                return Err(invalid(name, "occurs twice in the query"));
            }
            values[index].push(decoded_query(value, name)?);
        }
        let mut message = vec![b'{'];
        for (index, texts) in values
            .iter()
            .enumerate()
            .filter(|(_, texts)| !texts.is_empty())
        {
            if message.len() > 1 {
                message.push(b',');
            }
            write(
                self.method.arguments[index].name,
                texts,
                parameters[index],
                &mut message,
            );
        }
        message.push(b'}');
        Ok(message)
    }

    fn index(&self, name: &str) -> Option<usize> {
        let mut arguments = self.method.arguments.iter();
        arguments.position(|argument| same_name(argument.name, name))
    }
}

/// Returns a text without the white space of JSON around it. A form feed is none.
fn trimmed(text: &[u8]) -> &[u8] {
    let is_text = |byte: &u8| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    match (
        text.iter().position(is_text),
        text.iter().rposition(is_text),
    ) {
        (Some(first), Some(last)) => &text[first..=last],
        _ => &[],
    }
}

fn write(name: &str, texts: &[String], parameter: Parameter, out: &mut Vec<u8>) {
    let values: Vec<_> = texts
        .iter()
        .map(|text| value(text, parameter.scalar))
        .collect();
    let values = values.join(",");
    let (open, close) = if parameter.is_list {
        ("[", "]")
    } else {
        ("", "")
    };
    // Names are Rust identifiers and need no escaping.
    out.extend_from_slice(format!("\"{name}\":{open}{values}{close}").as_bytes());
}

/// Returns a text as JSON. One that is not what the argument accepts stays text, for which the
/// decoder has an error.
fn value(text: &str, scalar: Scalar) -> Cow<'_, str> {
    let is_literal = match scalar {
        Scalar::Text => false,
        Scalar::Boolean => matches!(text, "true" | "false"),
        Scalar::Number => {
            text.starts_with(|c: char| c == '-' || c.is_ascii_digit())
                && text.ends_with(|c: char| c.is_ascii_digit())
                && serde_json::from_str::<IgnoredAny>(text).is_ok()
        }
    };
    if is_literal {
        return text.into();
    }
    serde_json::Value::from(text).to_string().into()
}

/// Decodes the escapes of a capture, in which `+` is itself.
fn decoded(text: &str, name: &str) -> Result<String, Error> {
    decoded_query(&text.replace('+', "%2B"), name)
}

fn decoded_query(text: &str, name: &str) -> Result<String, Error> {
    connect::query_text(text)
        .ok_or_else(|| invalid(name, "has an invalid percent escape, or is not UTF-8"))
}

fn invalid(name: &str, problem: &'static str) -> Error {
    let error = Error::without_location(Code::InvalidArgument, format!("`{name}` {problem}"));
    error.with_violation(name, problem)
}

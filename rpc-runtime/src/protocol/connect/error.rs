//! Reads and writes the JSON form of an error.

use bytes::Bytes;
use http::StatusCode;
use http::header::HeaderMap;
use serde::Serialize;
use serde_json::{Map, Value};

use super::content::ContentType;
use super::decode::{describe_non_rpc_response, read_encoded, with_metadata};
use crate::codec::base64::{self, Engine as _};
use crate::codec::error_details;
use crate::context::RequestId;
use crate::error::{Code, Error};
use crate::protocol::context::REQUEST_ID;

/// The maximum size of an error after decompression, in bytes. It is the same as for messages.
const ERROR_LIMIT: usize = 4 << 20;

/// The prefix that some implementations put before the type name of a detail.
const TYPE_URL: &str = "type.googleapis.com/";

/// The JSON object of an error. It has no other keys, because some implementations reject them.
#[derive(Serialize)]
struct ErrorJson<'a> {
    code: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    message: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    details: Vec<DetailJson<'a>>,
}

#[derive(Serialize)]
struct DetailJson<'a> {
    #[serde(rename = "type")]
    type_name: &'a str,
    value: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    debug: Option<Value>,
}

/// Writes the JSON of an error. Contains the public message only.
pub(crate) fn error_json(error: &Error) -> Vec<u8> {
    let details = error_details::encode_details(error)
        .into_iter()
        .map(|detail| DetailJson {
            type_name: detail.type_name,
            value: base64::STANDARD_NO_PAD.encode(&detail.value),
            debug: detail.debug,
        })
        .collect();
    let written = ErrorJson {
        code: error.code().as_str(),
        message: error.public_message(),
        details,
    };
    // Strings and JSON values cannot fail to serialize. The fallback contains the code only.
    serde_json::to_vec(&written)
        .unwrap_or_else(|_| format!("{{\"code\":\"{}\"}}", error.code()).into_bytes())
}

/// Reads JSON written by [`error_json`]. `None` if it is anything else.
pub(crate) fn error_from_json(json: &[u8]) -> Option<Error> {
    let json: Map<String, Value> = serde_json::from_slice(json).ok()?;
    let known = json.get("code").and_then(Value::as_str)?.parse::<Code>();
    known.ok()?;
    Some(from_json(&json, StatusCode::INTERNAL_SERVER_ERROR))
}

/// Reads a response that is not a success, from a server or from a proxy in between.
///
/// Derives a missing code from the HTTP status. A body that is not the JSON of an error becomes the
/// message of the error, whatever its type: `{"error":"not found"}` of a gateway as well as a page.
pub(crate) fn read_error(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
    let mut error = match read_json(headers, body) {
        Some(json) if is_error(&json) => from_json(&json, status),
        _ => Error::without_location(
            code_from_status(status),
            describe_non_rpc_response(status, headers, body),
        ),
    };
    if error.request_id().is_none() {
        let id = headers.get(&REQUEST_ID).and_then(|id| id.to_str().ok());
        if let Some(id) = id.and_then(RequestId::parse) {
            error.set_request_id(id);
        }
    }
    with_metadata(error, headers)
}

/// Returns the code of a response that has none in its body.
fn code_from_status(status: StatusCode) -> Code {
    Code::from_http_status(status.as_u16())
}

/// Parses the body as a JSON object. `None` for any other body.
fn read_json(headers: &HeaderMap, body: &[u8]) -> Option<Map<String, Value>> {
    if ContentType::read(headers) != ContentType::Json {
        return None;
    }
    let body = read_encoded(headers, Bytes::copy_from_slice(body), ERROR_LIMIT).ok()?;
    serde_json::from_slice(&body).ok()
}

/// Returns whether the object has the code or the message of an error of the protocol. Other
/// implementations leave out one of them, but not both.
fn is_error(json: &Map<String, Value>) -> bool {
    let text = |key| json.get(key).and_then(Value::as_str);
    text("code").is_some_and(|code| code.parse::<Code>().is_ok())
        || text("message").is_some_and(|message| !message.is_empty())
}

fn from_json(json: &Map<String, Value>, status: StatusCode) -> Error {
    let text = |object: &Map<String, Value>, key| {
        object.get(key).and_then(Value::as_str).map(str::to_owned)
    };
    let code = text(json, "code")
        .and_then(|code| code.parse().ok())
        .unwrap_or_else(|| code_from_status(status));
    let message = text(json, "message").unwrap_or_default();
    let mut error = Error::without_location(code, message);
    let details = json.get("details").and_then(Value::as_array);
    for detail in details.into_iter().flatten().filter_map(Value::as_object) {
        // `debug` is for human readers only and may contradict the value.
        let (Some(type_name), Some(value)) = (text(detail, "type"), text(detail, "value")) else {
            continue;
        };
        if let Ok(value) = base64::STANDARD_NO_PAD.decode(value) {
            let type_name = type_name.strip_prefix(TYPE_URL).unwrap_or(&type_name);
            error_details::apply_detail(&mut error, type_name, value);
        }
    }
    error
}

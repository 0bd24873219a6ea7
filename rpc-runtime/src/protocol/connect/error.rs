//! The JSON of an error, both directions.

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use http::StatusCode;
use http::header::HeaderMap;
use serde::Serialize;
use serde_json::{Map, Value};

use super::content::ContentType;
use super::response::{describe_non_rpc_response, read_encoded, with_metadata};
use crate::codec::error_details;
use crate::context::RequestId;
use crate::error::{Code, Error};
use crate::protocol::context::REQUEST_ID;

/// Base64 of details: written without padding, read with it and without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The largest JSON of an error, in bytes, after decompression: as large as any message.
const ERROR_LIMIT: usize = 4 << 20;

/// What old writers put before the name of a detail's type.
const TYPE_URL: &str = "type.googleapis.com/";

/// `{"code", "message"?, "details"?}` and no other key: other readers of the protocol refuse those.
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

/// The JSON of an error, as it may leave the process.
pub(crate) fn error_json(error: &Error) -> Vec<u8> {
    let details = error_details::encode_details(error)
        .into_iter()
        .map(|detail| DetailJson {
            type_name: detail.type_name,
            value: BASE64.encode(&detail.value),
            debug: detail.debug,
        })
        .collect();
    let written = ErrorJson {
        code: error.code().as_str(),
        message: error.public_message(),
        details,
    };
    // Strings, and values that serde_json made itself; if that ever failed, the code would still arrive.
    serde_json::to_vec(&written)
        .unwrap_or_else(|_| format!("{{\"code\":\"{}\"}}", error.code()).into_bytes())
}

/// Reads what [`error_json`] wrote; `None` for anything else.
pub(crate) fn error_from_json(json: &[u8]) -> Option<Error> {
    let json: Map<String, Value> = serde_json::from_slice(json).ok()?;
    let known = json.get("code").and_then(Value::as_str)?.parse::<Code>();
    known.ok()?;
    Some(from_json(&json, StatusCode::INTERNAL_SERVER_ERROR))
}

/// Reads an answer that is no success, whoever sent it: what cannot be read is inferred or left out, and nothing that
/// says what happened is lost.
pub(crate) fn read_error(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
    let mut error = match read_json(headers, body) {
        Some(json) => from_json(&json, status),
        None => Error::unlocated(
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

/// The code of an answer that names none.
fn code_from_status(status: StatusCode) -> Code {
    Code::from_http_status(status.as_u16())
}

/// The body as a JSON object; `null` is an empty one. `None` where it is something else.
fn read_json(headers: &HeaderMap, body: &[u8]) -> Option<Map<String, Value>> {
    if ContentType::read(headers) != ContentType::Json {
        return None;
    }
    let body = read_encoded(headers, Bytes::copy_from_slice(body), ERROR_LIMIT).ok()?;
    match serde_json::from_slice(&body).ok()? {
        Value::Object(json) => Some(json),
        Value::Null => Some(Map::new()),
        _ => None,
    }
}

fn from_json(json: &Map<String, Value>, status: StatusCode) -> Error {
    let text = |object: &Map<String, Value>, key| {
        object.get(key).and_then(Value::as_str).map(str::to_owned)
    };
    let code = text(json, "code")
        .and_then(|code| code.parse().ok())
        .unwrap_or_else(|| code_from_status(status));
    let message = text(json, "message").unwrap_or_default();
    let mut error = Error::unlocated(code, message);
    let details = json.get("details").and_then(Value::as_array);
    for detail in details.into_iter().flatten().filter_map(Value::as_object) {
        // `debug` is for people, and could lie.
        let (Some(type_name), Some(value)) = (text(detail, "type"), text(detail, "value")) else {
            continue;
        };
        if let Ok(value) = BASE64.decode(value) {
            let type_name = type_name.strip_prefix(TYPE_URL).unwrap_or(&type_name);
            error_details::apply_detail(&mut error, type_name, value);
        }
    }
    error
}

//! Reads and writes the JSON form of an error.

use std::fmt;

use bytes::Bytes;
use http::StatusCode;
use http::header::HeaderMap;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::content::ContentType;
use super::decode::{describe_non_rpc_response, read_encoded, with_metadata};
use super::outcome;
use super::retry_after;
use crate::codec::base64::{self, Engine as _};
use crate::codec::error_details;
use crate::codec::json::{self, Position, RawJson};
use crate::context::RequestId;
use crate::error::{Code, Error, Origin};
use crate::protocol::context::REQUEST_ID;
use crate::text::truncate_str;

/// The maximum size of an error, in bytes, before and after decompression. It does not depend on
/// the limit of messages.
pub(crate) const ERROR_LIMIT: usize = 4 << 20;

/// The maximum number of details of a received error that are kept.
const DETAILS: usize = 64;
/// The maximum size of the details of a received error that are kept, in bytes of base64.
const DETAILS_BYTES: usize = 2 << 20;
/// The maximum size of the message of a received error, in bytes. Servers of this crate send at
/// most [`PUBLIC_MESSAGE_LIMIT`](crate::error::PUBLIC_MESSAGE_LIMIT).
const MESSAGE_BYTES: usize = 4 << 10;

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
    debug: Option<RawJson>,
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
    let mut text = Vec::new();
    match json::write_value(&written, &mut text, Position::Inner) {
        Ok(_) => text,
        // Strings and JSON text cannot fail to serialize. The fallback contains the code only.
        Err(_) => format!("{{\"code\":\"{}\"}}", error.code()).into_bytes(),
    }
}

/// Reads JSON written by [`error_json`]. `None` if it is anything else.
pub(crate) fn error_from_json(json: &[u8]) -> Option<Error> {
    let json = ReceivedJson::parse(json)?;
    let code = json.code()?;
    Some(json.into_error(code, String::new))
}

/// Reads a response that is not a success, from a server or from a proxy in between.
///
/// Derives a missing code from the HTTP status. A body that is not the JSON of an error becomes the
/// message of the error, whatever its type: `{"error":"not found"}` of a gateway as well as a page.
pub(crate) fn read_error(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
    let json = read_json(headers, body);
    let code = json.as_ref().and_then(ReceivedJson::code);
    let described = || describe_non_rpc_response(status, headers, body);
    let mut error = match (json, code) {
        (Some(json), Some(code)) => {
            let error = json.into_error(code, described);
            let mut error = error.with_origin(Origin::Dependency);
            outcome::read(&mut error, headers);
            error
        }
        (Some(json), None) if json.is_error_without_code() => json
            .into_error(code_from_status(status), described)
            .with_origin(Origin::Dependency)
            // The same body may be a gateway's.
            .with_source(described()),
        _ => Error::without_location(code_from_status(status), described())
            .with_http_status(status.as_u16()),
    };
    retry_after::add(&mut error, status, headers, code.is_none());
    add_request_id(&mut error, headers);
    with_metadata(error, headers)
}

/// Reads the error at the end of a stream. One without a known code is `unknown`.
pub(super) fn read_stream_error(json: &[u8], headers: &HeaderMap) -> Error {
    let error = match ReceivedJson::parse(json) {
        Some(json) => {
            let code = json.code().unwrap_or(Code::Unknown);
            json.into_error(code, String::new)
        }
        None => {
            let text = "the error at the end of the stream is not a JSON object";
            Error::without_location(Code::Internal, text)
        }
    };
    let mut error = error.with_origin(Origin::Dependency);
    add_request_id(&mut error, headers);
    error
}

/// Adds the ID in the headers of a response to an error without one.
fn add_request_id(error: &mut Error, headers: &HeaderMap) {
    if error.request_id().is_none() {
        let id = headers.get(&REQUEST_ID).and_then(|id| id.to_str().ok());
        if let Some(id) = id.and_then(RequestId::parse) {
            error.set_request_id(id);
        }
    }
}

/// Returns the code of a response that has none in its body.
fn code_from_status(status: StatusCode) -> Code {
    Code::from_http_status(status.as_u16())
}

/// Parses the body as a JSON object. `None` for any other body.
fn read_json(headers: &HeaderMap, body: &[u8]) -> Option<ReceivedJson> {
    if ContentType::read(headers) != ContentType::Json {
        return None;
    }
    let body = read_encoded(headers, Bytes::copy_from_slice(body), ERROR_LIMIT).ok()?;
    ReceivedJson::parse(&body)
}

/// The members of a JSON object that the protocol has in an error or in a detail, as JSON text. So
/// a `debug` that cannot be read is no obstacle.
#[derive(Default)]
struct ReceivedJson {
    code: Option<RawJson>,
    message: Option<RawJson>,
    details: Option<RawJson>,
    type_name: Option<RawJson>,
    value: Option<RawJson>,
    /// Whether the object has a member that an error does not have.
    has_foreign: bool,
}

impl ReceivedJson {
    /// Parses a JSON object. `None` for anything else.
    fn parse(json: &[u8]) -> Option<Self> {
        json::read_lenient(json).ok()
    }

    /// Returns the code, if it is one of the protocol.
    fn code(&self) -> Option<Code> {
        text(self.code.as_ref())?.parse().ok()
    }

    /// Returns whether the object is an error of the protocol except for its code, which some
    /// implementations leave out or do not know: it has a message, and nothing that the protocol
    /// does not have.
    fn is_error_without_code(&self) -> bool {
        let code = self.code.as_ref();
        !self.has_foreign
            && (matches!(code.map(RawJson::as_bytes), None | Some(b"null")) || text(code).is_some())
            && text(self.message.as_ref()).is_some_and(|text| !text.is_empty())
    }

    /// Converts the object. `described` returns the message of an error that has none.
    fn into_error(self, code: Code, described: impl FnOnce() -> String) -> Error {
        let message = text(self.message.as_ref()).filter(|message| !message.is_empty());
        let mut message = message.unwrap_or_else(described);
        if message.len() > MESSAGE_BYTES {
            message.truncate(truncate_str(&message, MESSAGE_BYTES).len());
            message.push('…');
        }
        let mut error = Error::without_location(code, message);
        let details = self.details.as_ref().map(RawJson::as_bytes);
        let details: Option<ReceivedDetails> = details.and_then(|all| json::read_lenient(all).ok());
        let details = details.unwrap_or_default();
        let mut left = error_details::FieldsLeft::default();
        for (type_name, value) in details.kept {
            if let Ok(value) = base64::STANDARD_NO_PAD.decode(value) {
                let type_name = type_name.strip_prefix(TYPE_URL).unwrap_or(&type_name);
                error_details::apply_detail(&mut error, type_name, value, &mut left);
            }
        }
        if details.dropped > 0 {
            let dropped = details.dropped;
            error = error.with_source(format!(
                "the server sent {dropped} more details, which are not kept"
            ));
        }
        error
    }
}

/// Returns a string. `None` for anything else.
fn text(json: Option<&RawJson>) -> Option<String> {
    json::read_lenient(json?.as_bytes()).ok()
}

impl<'de> Deserialize<'de> for ReceivedJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = ReceivedJson;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ReceivedJson, A::Error> {
        let mut object = ReceivedJson::default();
        while let Some((name, value)) = map.next_entry::<String, RawJson>()? {
            object.has_foreign |= !matches!(&*name, "code" | "message" | "details");
            // Only the members that are used are kept, however many there are.
            match &*name {
                "code" => object.code = Some(value),
                "message" => object.message = Some(value),
                "details" => object.details = Some(value),
                "type" => object.type_name = Some(value),
                "value" => object.value = Some(value),
                _ => {}
            }
        }
        Ok(object)
    }
}

/// The types and the base64 values of details, up to their limits. Elements of another form are
/// left out.
#[derive(Default)]
struct ReceivedDetails {
    kept: Vec<(String, String)>,
    bytes: usize,
    dropped: usize,
}

impl<'de> Deserialize<'de> for ReceivedDetails {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(DetailsVisitor)
    }
}

struct DetailsVisitor;

impl<'de> Visitor<'de> for DetailsVisitor {
    type Value = ReceivedDetails;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the details of an error")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<ReceivedDetails, A::Error> {
        let mut details = ReceivedDetails::default();
        while let Some(detail) = seq.next_element::<RawJson>()? {
            // `debug` is for human readers only and may contradict the value.
            let Some(detail) = ReceivedJson::parse(detail.as_bytes()) else {
                continue;
            };
            let detail = text(detail.type_name.as_ref()).zip(text(detail.value.as_ref()));
            details.push(detail);
        }
        Ok(details)
    }
}

impl ReceivedDetails {
    fn push(&mut self, detail: Option<(String, String)>) {
        let Some((type_name, value)) = detail else {
            return;
        };
        let bytes = self.bytes + type_name.len() + value.len();
        if self.kept.len() < DETAILS && bytes <= DETAILS_BYTES {
            self.bytes = bytes;
            self.kept.push((type_name, value));
        } else {
            self.dropped += 1;
        }
    }
}

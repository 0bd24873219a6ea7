//! The details of an error as protobuf messages: four of `google.rpc` and two of `rpc.v1`.
//!
//! The Connect protocol sends error details in protobuf's binary form even if messages are JSON.
//! These six messages are declared by hand because `tonic-types` depends on tonic. Their sources
//! are `google/rpc/error_details.proto` and `google/protobuf/duration.proto`. Those of `rpc.v1`
//! are:
//!
//! ```proto
//! package rpc.v1;
//!
//! // The services that an error has passed through, the nearest first.
//! message HopChain {
//!   repeated Hop hops = 1;
//!   bool retried = 2;     // a client nearer to the failure has used up its retries
//! }
//! message Hop {
//!   string source = 1;    // server@environment/instance
//!   string method = 2;    // fibpro.v1.Pricing/Pay
//!   string file = 3;
//!   uint32 line = 4;
//!   uint32 code = 5;      // as in google.rpc.Code
//!   string message = 6;
//!   string reason = 7;
//! }
//!
//! // The variant of a service's error enum, and its fields.
//! message ErrorPayload {
//!   string reason = 1;
//!   string fields = 2;        // a JSON object, by the rules of messages
//!   ErrorPayload inner = 3;   // the error of a dependency that this variant wraps
//!   bool public = 4;          // every caller receives the fields
//! }
//! ```

mod received;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use serde::Serialize;
use serde_json::Value;

pub(crate) use self::received::{FieldsLeft, apply_detail};
use super::json::{self, Position, RawJson};
use crate::error::{Code, Error, Hop, Payload};

/// A type of error detail that this crate encodes.
pub(crate) trait ErrorDetail: Message + Default {
    /// The full name of the protobuf message.
    const NAME: &'static str;

    /// Returns the message as JSON, for the human-readable `debug` field.
    fn debug(&self) -> Option<RawJson>;
}

/// Serializes a message with serde.
fn to_json(message: &impl Serialize) -> Option<RawJson> {
    let mut value = serde_json::to_value(message).ok()?;
    // The order does not depend on `serde_json/preserve_order`.
    value.sort_all_objects();
    checked_debug(value.to_string().into_bytes())
}

/// Returns the JSON of a detail. `None` if it is nested too deeply for readers of the error, in
/// which it is inside of an entry of `details`.
fn checked_debug(text: Vec<u8>) -> Option<RawJson> {
    RawJson::check(text, 3).ok()
}

#[derive(Clone, PartialEq, Message, Serialize)]
pub(crate) struct ErrorInfo {
    #[prost(string, tag = "1")]
    pub(crate) reason: String,
    /// Missing if the reason is that of a dependency, in a variant with `#[rpc(from)]`.
    #[prost(string, tag = "2")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) domain: String,
    #[prost(btree_map = "string, string", tag = "3")]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) metadata: BTreeMap<String, String>,
}

impl ErrorDetail for ErrorInfo {
    const NAME: &'static str = "google.rpc.ErrorInfo";

    fn debug(&self) -> Option<RawJson> {
        to_json(self)
    }
}

/// Only read: other servers send the request ID in it.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RequestInfo {
    #[prost(string, tag = "1")]
    pub(crate) request_id: String,
}

impl RequestInfo {
    const NAME: &'static str = "google.rpc.RequestInfo";
}

#[derive(Clone, PartialEq, Message, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BadRequest {
    #[prost(message, repeated, tag = "1")]
    pub(crate) field_violations: Vec<FieldViolation>,
}

#[derive(Clone, PartialEq, Message, Serialize)]
pub(crate) struct FieldViolation {
    #[prost(string, tag = "1")]
    pub(crate) field: String,
    #[prost(string, tag = "2")]
    pub(crate) description: String,
}

impl ErrorDetail for BadRequest {
    const NAME: &'static str = "google.rpc.BadRequest";

    fn debug(&self) -> Option<RawJson> {
        to_json(self)
    }
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    pub(crate) retry_delay: Option<ProtoDuration>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct ProtoDuration {
    #[prost(int64, tag = "1")]
    pub(crate) seconds: i64,
    #[prost(int32, tag = "2")]
    pub(crate) nanos: i32,
}

impl ErrorDetail for RetryInfo {
    const NAME: &'static str = "google.rpc.RetryInfo";

    /// In ProtoJSON a duration is a decimal number of seconds followed by `s`.
    fn debug(&self) -> Option<RawJson> {
        let delay = self.delay().unwrap_or_default();
        let (seconds, nanos) = (delay.as_secs(), delay.subsec_nanos());
        let text = match nanos {
            0 => format!("{seconds}s"),
            _ if nanos % 1_000_000 == 0 => format!("{seconds}.{:03}s", nanos / 1_000_000),
            _ => format!("{seconds}.{nanos:09}s"),
        };
        to_json(&BTreeMap::from([("retryDelay", text)]))
    }
}

impl RetryInfo {
    fn new(delay: Duration) -> Self {
        Self {
            retry_delay: Some(ProtoDuration {
                seconds: i64::try_from(delay.as_secs()).unwrap_or(i64::MAX),
                nanos: i32::try_from(delay.subsec_nanos()).unwrap_or_default(),
            }),
        }
    }

    /// Returns the delay. `None` if it is missing, negative or out of range.
    fn delay(&self) -> Option<Duration> {
        let delay = self.retry_delay?;
        let (seconds, nanos) = (
            u64::try_from(delay.seconds).ok()?,
            u32::try_from(delay.nanos).ok()?,
        );
        // Larger values would be carried into the seconds, where `Duration::new` can overflow.
        (nanos < 1_000_000_000).then(|| Duration::new(seconds, nanos))
    }
}

#[derive(Clone, PartialEq, Message, Serialize)]
pub(crate) struct HopChain {
    #[prost(message, repeated, tag = "1")]
    pub(crate) hops: Vec<WireHop>,
    #[prost(bool, tag = "2")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) retried: bool,
}

/// `rpc.v1.Hop`.
#[derive(Clone, PartialEq, Message, Serialize)]
pub(crate) struct WireHop {
    #[prost(string, tag = "1")]
    pub(crate) source: String,
    #[prost(string, tag = "2")]
    pub(crate) method: String,
    #[prost(string, tag = "3")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) file: String,
    #[prost(uint32, tag = "4")]
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) line: u32,
    #[prost(uint32, tag = "5")]
    pub(crate) code: u32,
    #[prost(string, tag = "6")]
    pub(crate) message: String,
    #[prost(string, tag = "7")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) reason: String,
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl ErrorDetail for HopChain {
    const NAME: &'static str = "rpc.v1.HopChain";

    fn debug(&self) -> Option<RawJson> {
        to_json(self)
    }
}

impl From<&Hop> for WireHop {
    fn from(hop: &Hop) -> Self {
        let (file, line) = hop.location.clone().unwrap_or_default();
        Self {
            source: hop.source.clone(),
            method: hop.method.clone(),
            file,
            line,
            code: u32::from(hop.code.number()),
            message: hop.message.clone(),
            reason: hop.reason.clone().unwrap_or_default(),
        }
    }
}

impl From<WireHop> for Hop {
    fn from(hop: WireHop) -> Self {
        Self {
            source: hop.source,
            method: hop.method,
            location: (!hop.file.is_empty()).then_some((hop.file, hop.line)),
            // Unknown numbers can only come from a newer version.
            code: u8::try_from(hop.code)
                .ok()
                .and_then(Code::from_number)
                .unwrap_or(Code::Unknown),
            message: hop.message,
            reason: (!hop.reason.is_empty()).then_some(hop.reason),
        }
    }
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ErrorPayload {
    #[prost(string, tag = "1")]
    pub(crate) reason: String,
    #[prost(string, tag = "2")]
    pub(crate) fields: String,
    #[prost(message, optional, boxed, tag = "3")]
    pub(crate) inner: Option<Box<ErrorPayload>>,
    #[prost(bool, tag = "4")]
    pub(crate) public: bool,
}

impl ErrorDetail for ErrorPayload {
    const NAME: &'static str = "rpc.v1.ErrorPayload";

    /// Shows `fields` as an object; JSON in a JSON string is hard to read.
    fn debug(&self) -> Option<RawJson> {
        let fields = match self.fields.as_str() {
            "" => None,
            fields => Some(RawJson::check(fields.as_bytes().to_vec(), 0).ok()?),
        };
        let inner = match &self.inner {
            None => None,
            Some(inner) => Some(inner.debug()?),
        };
        let debug = PayloadDebug {
            fields,
            inner,
            reason: &self.reason,
        };
        let mut text = Vec::new();
        json::write_value(&debug, &mut text, Position::Inner).ok()?;
        checked_debug(text)
    }
}

/// The human-readable form of an [`ErrorPayload`].
#[derive(Serialize)]
struct PayloadDebug<'p> {
    #[serde(skip_serializing_if = "Option::is_none")]
    fields: Option<RawJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inner: Option<RawJson>,
    reason: &'p str,
}

impl From<&Payload> for ErrorPayload {
    fn from(payload: &Payload) -> Self {
        Self {
            reason: payload.reason.clone(),
            fields: fields_json(&payload.fields),
            inner: payload.inner.as_deref().map(|inner| Box::new(inner.into())),
            public: payload.public,
        }
    }
}

/// Returns the fields as a JSON object. Their depth is counted as in a message, without the object.
fn fields_json(fields: &BTreeMap<String, String>) -> String {
    let mut json = String::from("{");
    for (name, text) in fields {
        let comma = if json.len() > 1 { "," } else { "" };
        // Writing to a `String` cannot fail.
        let _ = write!(json, "{comma}{}:{text}", Value::from(name.as_str()));
    }
    json.push('}');
    json
}

/// An encoded error detail.
pub(crate) struct EncodedDetail<'a> {
    pub(crate) type_name: &'a str,
    pub(crate) value: Bytes,
    /// The human-readable form, for types that this crate knows.
    pub(crate) debug: Option<RawJson>,
}

/// Encodes the details of an error: those of the service, with the attached ones in their order,
/// then those of the framework. The request ID is not among them, because it is in a header.
pub(crate) fn encode_details(error: &Error) -> Vec<EncodedDetail<'_>> {
    let mut details = Vec::new();
    if let Some(reason) = error.reason() {
        push(&mut details, error, || ErrorInfo {
            reason: reason.to_owned(),
            domain: error.domain().unwrap_or_default().to_owned(),
            metadata: BTreeMap::new(),
        });
    }
    if !error.violations().is_empty() {
        push(&mut details, error, || BadRequest {
            field_violations: error
                .violations()
                .iter()
                .map(|violation| FieldViolation {
                    field: violation.field.clone(),
                    description: violation.description.clone(),
                })
                .collect(),
        });
    }
    if let Some(delay) = error.retry_after() {
        push(&mut details, error, || RetryInfo::new(delay));
    }
    details.extend(error.details().iter().map(|detail| EncodedDetail {
        type_name: &detail.type_name,
        value: detail.value.clone(),
        debug: None,
    }));
    if let Some(payload) = error.payload() {
        push(&mut details, error, || ErrorPayload::from(&**payload));
    }
    if !error.hops().is_empty() {
        push(&mut details, error, || HopChain {
            hops: error.hops().iter().map(WireHop::from).collect(),
            retried: error.retries_exhausted(),
        });
    }
    details
}

/// Adds a detail, unless the error already has an encoded detail of this type, which may contain
/// more than the fields of an [`Error`].
fn push<M: ErrorDetail>(
    details: &mut Vec<EncodedDetail<'_>>,
    error: &Error,
    message: impl FnOnce() -> M,
) {
    if !error.details().iter().any(|own| own.type_name == M::NAME) {
        let message = message();
        details.push(EncodedDetail {
            type_name: M::NAME,
            value: message.encode_to_vec().into(),
            debug: message.debug(),
        });
    }
}

//! Reading the details of an error that was received.

use std::collections::BTreeMap;
use std::sync::Arc;

use prost::Message as _;

use super::{
    BadRequest, ErrorDetail as _, ErrorInfo, ErrorPayload, HopChain, RequestInfo, RetryInfo,
};
use crate::codec::encoded_fields::EncodedFields;
use crate::codec::json::{self, Object, Position, RawJson};
use crate::context::RequestId;
use crate::error::{Detail, Error, HOP_LIMIT, Hop, Payload};

/// The maximum number of fields of a received error that are decoded, over all of its details and
/// their inner messages. An entry of two bytes takes more than a hundred in memory.
const MAX_FIELDS: usize = 1000;

/// The details that are decoded, except the chain, which has its own limit.
const DECODED: [&str; 5] = [
    ErrorInfo::NAME,
    BadRequest::NAME,
    RetryInfo::NAME,
    RequestInfo::NAME,
    ErrorPayload::NAME,
];

/// The number of fields that are left to decode of a received error.
#[derive(Debug)]
pub(crate) struct FieldsLeft(usize);

impl Default for FieldsLeft {
    fn default() -> Self {
        Self(MAX_FIELDS)
    }
}

impl FieldsLeft {
    /// Takes this number of fields; returns whether as many were left.
    fn take(&mut self, fields: usize) -> bool {
        let left = self.0.checked_sub(fields);
        self.0 = left.unwrap_or(self.0);
        left.is_some()
    }
}

/// Reads a JSON object of fields. `None` for anything else, and for too many.
fn read_fields(json: &str, left: &mut FieldsLeft) -> Option<BTreeMap<String, String>> {
    let mut object = Object::open(json.as_bytes()).ok()?;
    let mut fields = BTreeMap::new();
    while let Some(name) = object.next_name().ok()? {
        let text: RawJson = json::read(object.value(), Position::Inner).ok()?;
        fields.insert(name.into_owned(), text.into_text());
        if !left.take(1) {
            return None;
        }
    }
    Some(fields)
}

impl ErrorPayload {
    /// Converts to a payload. `None` if `fields` is not a JSON object, or if there are too many.
    fn into_payload(self, left: &mut FieldsLeft) -> Option<Payload> {
        let fields = match self.fields.as_str() {
            "" => BTreeMap::new(),
            fields => read_fields(fields, left)?,
        };
        let inner = match self.inner {
            Some(inner) => Some(Box::new(inner.into_payload(left)?)),
            None => None,
        };
        Some(Payload {
            reason: self.reason,
            fields,
            inner,
            public: self.public,
            reason_only: false,
        })
    }
}

/// Applies a received detail to the fields of the error. Also keeps the detail in its encoded form
/// if it is unknown, malformed, or has content for which an [`Error`] has no field. A detail with
/// more fields than are `left` is not decoded; of a chain, only its ends are.
pub(crate) fn apply_detail(
    error: &mut Error,
    type_name: &str,
    value: Vec<u8>,
    left: &mut FieldsLeft,
) {
    let count = EncodedFields::of(&value).take(MAX_FIELDS + 1).count();
    let applied = match type_name {
        // A later chain replaces an earlier one.
        HopChain::NAME if count <= MAX_FIELDS => apply_known(error, type_name, &value, left),
        HopChain::NAME => {
            let ends = EncodedFields::of(&value).first_and_last(HOP_LIMIT);
            apply_known(error, type_name, &ends, left)
        }
        _ if DECODED.contains(&type_name) && left.take(count) => {
            apply_known(error, type_name, &value, left)
        }
        _ => Ok(false),
    };
    if !applied.unwrap_or(false) {
        error.push_detail(Detail::new(type_name, value));
    }
}

/// Decodes a detail into the fields of the error. Returns whether the fields hold all of its
/// content.
fn apply_known(
    error: &mut Error,
    type_name: &str,
    value: &[u8],
    left: &mut FieldsLeft,
) -> Result<bool, prost::DecodeError> {
    match type_name {
        ErrorInfo::NAME => {
            let info = ErrorInfo::decode(value)?;
            error.set_reason(Some(info.reason), Some(info.domain));
            return Ok(info.metadata.is_empty());
        }
        BadRequest::NAME => {
            for row in BadRequest::decode(value)?.field_violations {
                error.push_violation(row.field, row.description);
            }
        }
        RetryInfo::NAME => error.set_retry_after(RetryInfo::decode(value)?.delay()),
        RequestInfo::NAME => {
            let info = RequestInfo::decode(value)?;
            if let Some(id) = RequestId::parse(&info.request_id) {
                error.set_request_id(id);
            }
            // Kept as it is, because it is never written from the field.
            return Ok(false);
        }
        HopChain::NAME => {
            let chain = HopChain::decode(value)?;
            error.set_retries_exhausted(chain.retried);
            error.set_hops(chain.hops.into_iter().map(Hop::from).collect());
            error.truncate_chain();
        }
        ErrorPayload::NAME => {
            let payload = ErrorPayload::decode(value)?.into_payload(left);
            let readable = payload.is_some();
            error.set_payload(payload.map(Arc::new));
            return Ok(readable);
        }
        _ => return Ok(false),
    }
    Ok(true)
}

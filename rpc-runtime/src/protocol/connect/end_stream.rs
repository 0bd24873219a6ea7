//! The end of a response stream: its error, and the trailing metadata.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

use super::envelope;
use super::error::{error_json, read_stream_error};
use super::outcome;
use crate::codec::json::{self, Position, RawJson};
use crate::error::{Code, Error};
use crate::metadata::Metadata;
use crate::protocol::metadata;

#[derive(Serialize)]
struct EndJson<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<RawJson>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<&'a str, Vec<&'a str>>,
}

/// Writes the end of a stream. Of an error, only the public message is written.
pub(crate) fn write_end_stream(error: Option<&Error>, trailers: &Metadata) -> Bytes {
    let mut headers = HeaderMap::new();
    metadata::write(trailers, "", &mut headers);
    if let Some(error) = error {
        outcome::write(error, &mut headers);
        metadata::write(error.metadata(), "", &mut headers);
    }
    let mut values = BTreeMap::<_, Vec<_>>::new();
    for (name, value) in &headers {
        // Written from text above.
        values
            .entry(name.as_str())
            .or_default()
            .extend(value.to_str());
    }
    let end = EndJson {
        error: error.and_then(|error| RawJson::check(error_json(error), 1).ok()),
        metadata: values,
    };
    let mut text = Vec::new();
    let written = json::write_value(&end, &mut text, Position::Inner);
    if written.is_err() || (error.is_some() && end.error.is_none()) {
        // Strings and JSON text cannot fail to serialize. The fallback contains the code only.
        let code = error.map_or(Code::Internal, Error::code);
        text = format!("{{\"error\":{{\"code\":\"{code}\"}}}}").into_bytes();
    }
    envelope::write_end(&text).unwrap_or_default()
}

#[derive(Deserialize)]
struct ReceivedEnd {
    #[serde(default)]
    error: Option<RawJson>,
    #[serde(default)]
    metadata: Option<BTreeMap<String, Vec<String>>>,
}

/// The end of a stream that a server has sent.
pub(crate) struct EndStream {
    pub(crate) trailers: Metadata,
    pub(crate) error: Option<Error>,
}

/// Reads the end of a stream. `headers` are those of the response, which an error has too if the
/// caller does not get them otherwise: `with_leading`.
pub(crate) fn read_end_stream(end: &[u8], headers: &HeaderMap, with_leading: bool) -> EndStream {
    let received: ReceivedEnd = match json::read_lenient(end) {
        Ok(received) => received,
        Err(problem) => {
            let text = format!(
                "the end of the stream is not valid: {}",
                problem.into_error()
            );
            return EndStream {
                trailers: Metadata::new(),
                error: Some(Error::without_location(Code::Internal, text)),
            };
        }
    };
    let mut trailing = HeaderMap::new();
    for (name, values) in received.metadata.unwrap_or_default() {
        let Ok(name) = HeaderName::try_from(name) else {
            continue;
        };
        for value in values {
            if let Ok(value) = HeaderValue::try_from(value) {
                trailing.append(name.clone(), value);
            }
        }
    }
    let (trailers, _) = metadata::read_both(&trailing);
    let error = received.error.filter(|error| error.as_bytes() != b"null");
    let error = error.map(|error| {
        let mut error = read_stream_error(error.as_bytes(), headers);
        // A failure before the stream has them in the headers.
        outcome::read(&mut error, headers);
        outcome::read(&mut error, &trailing);
        if with_leading {
            let (leading, _) = metadata::read_both(headers);
            error.metadata_mut().extend(leading);
        }
        error.metadata_mut().extend(trailers.clone());
        error
    });
    EndStream { trailers, error }
}

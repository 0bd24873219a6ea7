//! How a call ended, so that a repeat can be answered with it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::codec::json::Bytes as Base64;
use crate::error::{Code, Error, Result};
use crate::metadata::Metadata;
use crate::middleware::{Body, Response};
use crate::protocol::connect;

/// How a call ended: the message or the error of its answer, and the metadata beside it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Outcome {
    headers: Metadata,
    trailers: Metadata,
    result: Result<Bytes>,
}

impl Outcome {
    /// An answer, encoded; for tests of a store.
    pub fn of_message(message: impl Into<Bytes>) -> Self {
        Self::from_result(Ok(message.into()))
    }

    /// For the claim of a call whose process is gone: it may have been executed, and nobody knows. A repeat is told so with
    /// `unknown`, and does not run.
    #[must_use]
    pub fn lost() -> Self {
        let text = "the call with this idempotency key was cut off with its server, and may have been executed: look before it is made with a new key";
        Self::from(Error::without_location(Code::Unknown, text).public())
    }

    /// For a call whose result is larger than what a store keeps: a repeat is told so with `data_loss`, and does not
    /// run.
    #[must_use]
    pub fn too_large() -> Self {
        let text = "the call with this idempotency key was done, and its result was too large to be kept for a repeat";
        Self::from(Error::without_location(Code::DataLoss, text).public())
    }

    /// The error, if it is one.
    #[must_use]
    pub fn error(&self) -> Option<&Error> {
        self.result.as_ref().err()
    }

    /// Whether a repeat gets it. `unavailable` and `resource_exhausted` say that the call was not done and may be tried
    /// again, so they are no results and a repeat runs. Everything else is one, also where the handler broke in the
    /// middle of its work (`internal`, a panic, `deadline_exceeded`): it may have done a part that must not be done
    /// twice.
    #[must_use]
    pub fn is_final(&self) -> bool {
        let again =
            |error: &Error| matches!(error.code(), Code::Unavailable | Code::ResourceExhausted);
        !self.error().is_some_and(again)
    }

    /// How much memory it takes, in bytes and about.
    #[must_use]
    pub fn size(&self) -> usize {
        let entries = self.headers.iter().chain(self.trailers.iter());
        let metadata: usize = entries.map(|(name, value)| name.len() + value.len()).sum();
        let result = match &self.result {
            Ok(message) => message.len(),
            // An error has about as much on the heap as on the wire, and is rare.
            Err(error) => connect::error_json(error).len(),
        };
        size_of::<Self>() + metadata + result
    }

    /// For a store outside of the process. An error is written as for a caller: its private text and cause stay here.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let entries = |metadata: &Metadata| metadata.iter().map(owned).collect();
        let written = StoredOutcome {
            headers: entries(&self.headers),
            trailers: entries(&self.trailers),
            message: self
                .result
                .as_ref()
                .ok()
                .map(|message| Base64::from(message.clone())),
            error: self.error().map(|error| StoredError {
                json: Base64::from(connect::error_json(error)),
                metadata: entries(error.metadata()),
            }),
        };
        // Texts and base64: nothing in it can fail.
        serde_json::to_vec(&written).unwrap_or_default()
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    ///
    /// `data_loss` for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let damaged = || Error::without_location(Code::DataLoss, "a stored result cannot be read");
        let written: StoredOutcome =
            serde_json::from_slice(bytes).map_err(|error| damaged().with_source(error))?;
        let result = match (written.message, written.error) {
            (Some(message), None) => Ok(message.into_inner()),
            (None, Some(written)) => {
                let mut error =
                    connect::error_from_json(&written.json.into_inner()).ok_or_else(damaged)?;
                *error.metadata_mut() = metadata(written.metadata);
                // What a caller may read was all that was kept, so all of it may be read again.
                Err(error.public())
            }
            _ => return Err(damaged()),
        };
        Ok(Self {
            headers: metadata(written.headers),
            trailers: metadata(written.trailers),
            result,
        })
    }

    fn from_result(result: Result<Bytes>) -> Self {
        Self {
            headers: Metadata::new(),
            trailers: Metadata::new(),
            result,
        }
    }

    pub(crate) fn of_response(response: Response) -> Self {
        let (headers, trailers, result) = response.into_parts();
        let result = result.and_then(|body| match body.as_message() {
            Some(message) => Ok(message.clone()),
            None => Err(Error::without_location(
                Code::Internal,
                "a method with an idempotency key answers with one message and no stream",
            )),
        });
        Self {
            headers,
            trailers,
            result,
        }
    }

    pub(crate) fn into_response(self) -> Response {
        let mut response = Response::from_result(self.result.map(Body::message));
        *response.headers_mut() = self.headers;
        *response.trailers_mut() = self.trailers;
        response
    }
}

/// A call that ended with this error.
impl From<Error> for Outcome {
    fn from(error: Error) -> Self {
        Self::from_result(Err(error))
    }
}

/// The form in a store, which an older or newer version has to read.
#[derive(Serialize, Deserialize)]
struct StoredOutcome {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    headers: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    trailers: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<Base64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<StoredError>,
}

#[derive(Serialize, Deserialize)]
struct StoredError {
    json: Base64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    metadata: Vec<(String, String)>,
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn metadata(entries: Vec<(String, String)>) -> Metadata {
    let mut metadata = Metadata::new();
    for (name, value) in entries {
        metadata.append_received(&name, &value);
    }
    metadata
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_survive_a_store() {
        let mut outcome = Outcome::of_message(r#"{"result":1}"#);
        outcome.headers.append("x-a", "1").unwrap();
        outcome.trailers.append("x-b", "2").unwrap();
        let read = Outcome::from_bytes(&outcome.to_bytes()).unwrap();
        assert_eq!(read.result.unwrap(), r#"{"result":1}"#);
        assert_eq!(
            (read.headers.get("x-a"), read.trailers.get("x-b")),
            (Some("1"), Some("2"))
        );
    }

    #[test]
    fn errors_survive_a_store_without_what_is_private() {
        let error = Error::new(Code::FailedPrecondition, "no credit")
            .with_reason("POOR")
            .with_violation("cents", "too many")
            .with_metadata("x-left", "3")
            .with_source("a private cause");
        let bytes = Outcome::from(error).to_bytes();
        assert!(!String::from_utf8_lossy(&bytes).contains("private"));
        let error = Outcome::from_bytes(&bytes).unwrap().result.unwrap_err();
        assert_eq!(
            (error.code(), error.public_message()),
            (Code::FailedPrecondition, "no credit")
        );
        assert_eq!(error.reason(), Some("POOR"));
        assert_eq!(error.violations()[0].field, "cents");
        assert_eq!(error.metadata().get("x-left"), Some("3"));
        // The text of an internal error stays in the process.
        let bytes = Outcome::from(Error::new(Code::Internal, "the secret table")).to_bytes();
        let error = Outcome::from_bytes(&bytes).unwrap().result.unwrap_err();
        assert_eq!(
            (error.code(), error.message()),
            (Code::Internal, "internal error")
        );
        // One that is public keeps its own.
        let error = Outcome::from_bytes(&Outcome::lost().to_bytes())
            .unwrap()
            .result
            .unwrap_err();
        assert!(error.public_message().contains("cut off"), "{error}");
    }

    #[test]
    fn what_is_damaged_is_no_result() {
        for bytes in [
            &b""[..],
            b"{}",
            b"{\"message\":\"!\"}",
            b"{\"error\":{\"json\":\"\"}}",
        ] {
            let error = Outcome::from_bytes(bytes).unwrap_err();
            assert_eq!(
                error.code(),
                Code::DataLoss,
                "{}",
                String::from_utf8_lossy(bytes)
            );
        }
    }

    #[test]
    fn row_83_only_what_was_not_done_may_run_again() {
        let again = [Code::Unavailable, Code::ResourceExhausted];
        for code in Code::all() {
            let outcome = Outcome::from(Error::new(code, "why"));
            assert_eq!(outcome.is_final(), !again.contains(&code), "{code}");
        }
        assert!(Outcome::of_message("x").is_final());
    }
}

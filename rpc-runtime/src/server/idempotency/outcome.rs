//! The outcome of a call, stored for its repeats.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::codec::json::Bytes as Base64;
use crate::error::{BirthRecord, Code, Error, Result};
use crate::metadata::Metadata;
use crate::middleware::{Body, Response};
use crate::protocol::connect;

/// The outcome of a call: the message or error of its response, and the metadata. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Outcome {
    headers: Metadata,
    trailers: Metadata,
    result: Result<Bytes>,
}

impl Outcome {
    /// Creates an outcome with an encoded message, for tests of a store.
    pub fn of_message(message: impl Into<Bytes>) -> Self {
        Self::from_result(Ok(message.into()))
    }

    /// Returns the outcome for a claim whose process is gone: the call may have been executed. A
    /// repeat gets `unknown`, and does not run.
    #[must_use]
    pub fn lost() -> Self {
        let text = "the server of the call with this idempotency key stopped during the call, which may have been executed; check its effect before using a new key";
        Self::from(Error::without_location(Code::Unknown, text).public())
    }

    /// Returns the outcome of a call whose result exceeds the limit of a store: a repeat gets
    /// `data_loss`, and does not run.
    #[must_use]
    pub fn too_large() -> Self {
        let text = "the call with this idempotency key was executed, but its result was too large to be stored for repeats";
        Self::from(Error::without_location(Code::DataLoss, text).public())
    }

    /// Returns the error, if the call failed.
    #[must_use]
    pub fn error(&self) -> Option<&Error> {
        self.result.as_ref().err()
    }

    /// Returns whether the outcome is stored for repeats: a value, and every error except one of
    /// which it is known that nothing was done ([`Error::is_not_executed`]), or of which the
    /// handler states that it may run again ([`Error::safe_to_repeat`]). Otherwise the handler
    /// may have done part of its work, which must not be done twice, whatever the code.
    #[must_use]
    pub fn is_final(&self) -> bool {
        !self.error().is_some_and(Error::leaves_key_free)
    }

    /// Returns its approximate size in memory, in bytes, with all that an error holds except its
    /// source.
    #[must_use]
    pub fn size(&self) -> usize {
        let result = match &self.result {
            Ok(message) => message.len(),
            Err(error) => error.size(),
        };
        size_of::<Self>() + self.headers.size() + self.trailers.size() + result
    }

    /// Returns the outcome without what no caller receives, for a store in memory: the private text
    /// of an error and its source. Its message takes only the memory that it needs.
    #[must_use]
    pub fn without_private_parts(&self) -> Self {
        Self {
            headers: self.headers.clone(),
            trailers: self.trailers.clone(),
            result: match &self.result {
                // The buffer of the message may be larger.
                Ok(message) => Ok(Bytes::copy_from_slice(message)),
                Err(error) => Err(error.without_private_parts()),
            },
        }
    }

    /// Encodes it for a store outside of the process. An error is encoded with all that its callers
    /// receive, trusted ones and others, and without its private text and source.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let written = StoredOutcome {
            headers: entries(&self.headers),
            trailers: entries(&self.trailers),
            message: self
                .result
                .as_ref()
                .ok()
                .map(|message| Base64::from(message.clone())),
            error: self.error().map(StoredError::of),
        };
        // Strings and base64 cannot fail to serialize.
        serde_json::to_vec(&written).unwrap_or_default()
    }

    /// Decodes the form of [`to_bytes`](Self::to_bytes). A repeat then discloses to each kind of
    /// caller what the first response did.
    ///
    /// Of an error that another version has stored, and whose origin is not known, every caller
    /// receives what untrusted callers do.
    ///
    /// # Errors
    ///
    /// `data_loss` for any other input.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let written: StoredOutcome =
            serde_json::from_slice(bytes).map_err(|error| damaged().with_source(error))?;
        let result = match (written.message, written.error) {
            (Some(message), None) => Ok(message.into_inner()),
            (None, Some(written)) => Err(written.read()?),
            _ => return Err(damaged()),
        };
        Ok(Self {
            headers: read_entries(&written.headers),
            trailers: read_entries(&written.trailers),
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
                "the response of this call is a stream, which cannot be stored for its idempotency key; check the layers of the server",
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

/// Creates the outcome of a call that failed with this error.
impl From<Error> for Outcome {
    fn from(error: Error) -> Self {
        Self::from_result(Err(error))
    }
}

/// The stored form. Other versions of the runtime read it.
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

/// An error. `json` and `metadata` are what untrusted callers receive, and all that is read by a
/// version that does not know the rest.
#[derive(Serialize, Deserialize)]
struct StoredError {
    json: Base64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    metadata: Vec<(String, String)>,
    /// Missing for an error that was made here, and of which all callers receive the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    birth: Option<BirthRecord>,
    /// The same for trusted callers, if they receive more. Read with a known birth only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trusted: Option<TrustedParts>,
}

#[derive(PartialEq, Serialize, Deserialize)]
struct TrustedParts {
    json: Base64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    metadata: Vec<(String, String)>,
}

impl StoredError {
    fn of(error: &Error) -> Self {
        let [trusted, untrusted] = error.for_each_trust().map(|error| TrustedParts {
            json: Base64::from(connect::error_json(&error)),
            metadata: entries(error.metadata()),
        });
        let trusted = (trusted != untrusted).then_some(trusted);
        let birth = error.birth_record();
        Self {
            json: untrusted.json,
            metadata: untrusted.metadata,
            birth: (trusted.is_some() || !birth.is_default()).then_some(birth),
            trusted,
        }
    }

    fn read(self) -> Result<Error> {
        let birth = self.birth.filter(BirthRecord::is_known);
        let trusted = self.trusted.filter(|_| birth.is_some());
        let (json, metadata) = match trusted {
            Some(parts) => (parts.json, parts.metadata),
            None => (self.json, self.metadata),
        };
        let error = connect::error_from_json(&json).ok_or_else(damaged)?;
        let mut error = match birth {
            Some(birth) => error.with_birth(birth),
            None => error.with_unknown_birth(),
        };
        *error.metadata_mut() = read_entries(&metadata);
        Ok(error)
    }
}

fn damaged() -> Error {
    let text = "the stored result for an idempotency key cannot be decoded";
    Error::without_location(Code::DataLoss, text)
}

fn entries(metadata: &Metadata) -> Vec<(String, String)> {
    metadata.iter().map(owned).collect()
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn read_entries(entries: &[(String, String)]) -> Metadata {
    let mut metadata = Metadata::new();
    for (name, value) in entries {
        metadata.append_received(name, value);
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
    fn a_stored_error_keeps_its_public_parts_only() {
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
        // The text of an internal error is not stored.
        let bytes = Outcome::from(Error::new(Code::Internal, "the secret table")).to_bytes();
        let error = Outcome::from_bytes(&bytes).unwrap().result.unwrap_err();
        assert_eq!(
            (error.code(), error.message()),
            (Code::Internal, "internal error")
        );
        // A public text is stored.
        let error = Outcome::from_bytes(&Outcome::lost().to_bytes())
            .unwrap()
            .result
            .unwrap_err();
        assert!(
            error.public_message().contains("stopped during the call"),
            "{error}"
        );
    }

    #[test]
    fn damaged_bytes_are_rejected() {
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
    fn only_an_unexecuted_call_may_run_again() {
        for code in Code::all() {
            let error = || Error::new(code, "why");
            assert!(Outcome::from(error()).is_final(), "{code}");
            assert!(!Outcome::from(error().not_executed()).is_final(), "{code}");
            let repeatable = error().safe_to_repeat();
            assert!(!Outcome::from(repeatable).is_final(), "{code}");
        }
        assert!(Outcome::of_message("x").is_final());
    }
}

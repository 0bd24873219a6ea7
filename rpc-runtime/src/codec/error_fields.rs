//! The fields of a typed error as JSON, by the same rules as messages.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::json::{self, Cursor, DecodeError, Position, RawJson, WriteOutcome};
use crate::error::{Code, Error, ErrorField, Execution, Payload};

/// Builds the wire form of a variant.
#[derive(Debug)]
#[doc(hidden)]
pub struct TypedError {
    error: Error,
    reason: &'static str,
    /// The JSON text of each field. `None` if one of them cannot be written.
    fields: Option<BTreeMap<String, String>>,
    public: bool,
}

impl TypedError {
    /// Creates a variant from its code, reason and message.
    #[must_use]
    pub fn new(code: Code, reason: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            error: Error::without_location(code, message).with_reason(reason),
            reason,
            fields: Some(BTreeMap::new()),
            public: false,
        }
    }

    /// Adds a field of the variant.
    #[must_use]
    pub fn field<T: ErrorField>(mut self, name: &'static str, value: &T) -> Self {
        match write_field(name, value) {
            Ok(Some(value)) => {
                if let Some(fields) = &mut self.fields {
                    fields.insert(name.to_owned(), value);
                }
            }
            Ok(None) => {}
            // The caller receives code, message and reason, and decodes the variant as `Other`.
            // With the rest of the fields it could be another value: an `Option` may be missing.
            Err(error) => {
                self.fields = None;
                tracing::error!(target: "rpc", reason = self.reason, field = name, %error, "sent an error without its fields, because this one cannot be serialized");
            }
        }
        self
    }

    /// Allows the message and the fields to be sent to callers, regardless of the code and of
    /// trust.
    #[must_use]
    pub fn public(mut self) -> Self {
        self.error = self.error.public();
        self.public = true;
        self
    }

    /// States that nothing was done, if no call that the service has made may have been executed:
    /// the variant may be that of a dependency, which the service returns again.
    #[must_use]
    pub fn not_executed(mut self) -> Self {
        let execution = Execution::DependencyNotExecuted;
        self.error = self.error.with_execution(execution);
        self
    }

    /// Sets the cause, which is not sent.
    #[must_use]
    pub fn source(mut self, source: Option<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        if let Some(source) = source {
            self.error = self.error.with_source(source);
        }
        self
    }

    /// Returns the wire form.
    #[must_use]
    pub fn finish(mut self) -> Error {
        let payload = self.fields.map(|fields| Payload {
            reason: self.reason.to_owned(),
            fields,
            inner: None,
            public: self.public,
            reason_only: false,
        });
        self.error.set_payload(payload.map(Arc::new));
        self.error
    }
}

impl Payload {
    /// Returns a field of the variant. `None` if it is of another type, or if only the reason was
    /// received. A missing field is `None`, or `Some(None)` if `T` is an `Option`.
    #[must_use]
    pub fn field<T: ErrorField>(&self, name: &str) -> Option<T> {
        if self.reason_only {
            return None;
        }
        match self.fields.get(name) {
            Some(value) => read_field(value).ok(),
            None => json::default_if_missing(),
        }
    }
}

/// Returns a field as JSON text. `None` for one that is left out.
fn write_field<T: ErrorField>(name: &str, value: &T) -> Result<Option<String>, DecodeError> {
    let mut text = Vec::new();
    let written = json::write(value, &mut text, Position::Field);
    if written.map_err(|error| error.within(name))? == WriteOutcome::Nothing {
        return Ok(None);
    }
    // A type can write any text as its JSON.
    let text = RawJson::check(text, 0).map_err(|error| error.within(name))?;
    Ok(Some(text.into_text()))
}

fn read_field<T: ErrorField>(text: &str) -> Result<T, DecodeError> {
    json::read(&mut Cursor::new(text.as_bytes())?, Position::Field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_cannot_be_written_is_named() {
        let prices = BTreeMap::from([("tea".to_owned(), vec![1.0, f64::NAN])]);
        let error = write_field("prices", &prices).unwrap_err();
        assert_eq!(
            error.to_string(),
            "prices.tea[1]: NaN cannot be represented in JSON"
        );
    }
}

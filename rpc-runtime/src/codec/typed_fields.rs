//! The fields of a typed error as JSON values, for callers that do not know the type.

use serde_json::{Map, Value};

use crate::error::{Error, Payload};

impl Error {
    /// Returns the fields of a typed error, for a caller that does not have its enum: the variant
    /// is the [`reason`](Self::reason). `None` for any other error, and where only the reason was
    /// received.
    #[must_use]
    pub fn typed_fields(&self) -> Option<Map<String, Value>> {
        let payload = Payload::of(self).filter(|payload| !payload.reason_only)?;
        let fields = payload.fields.iter().map(|(name, text)| {
            // A field is valid JSON; text that serde_json does not take is shown as it is.
            let value = serde_json::from_str(text).unwrap_or_else(|_| Value::from(text.as_str()));
            (name.clone(), value)
        });
        Some(fields.collect())
    }
}

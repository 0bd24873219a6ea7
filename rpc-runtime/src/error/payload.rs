//! The typed part of an error: which variant of the service's enum it is, and the variant's fields.

use serde_json::{Map, Value};

use super::Error;
use super::typed::Argument;

/// The variant of a service's error enum, as it travels. What `#[derive(RpcError)]` writes and reads.
#[derive(Debug, Clone, PartialEq)]
#[doc(hidden)]
pub struct Payload {
    pub(crate) reason: String,
    pub(crate) fields: Map<String, Value>,
    /// The dependency's variant, when this one is `#[rpc(from)]`.
    pub(crate) inner: Option<Box<Payload>>,
}

impl Payload {
    /// The payload of an error, when it has one.
    #[must_use]
    pub fn of(error: &Error) -> Option<&Self> {
        error.payload().map(|payload| &**payload)
    }

    /// Which variant it is.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// A field of the variant; `None` when it is absent or of another type.
    #[must_use]
    pub fn field<T: Argument>(&self, name: &str) -> Option<T> {
        // `null` stands for an absent `Option`, as everywhere in our JSON.
        T::deserialize(self.fields.get(name).unwrap_or(&Value::Null)).ok()
    }

    /// The dependency's error that a `#[rpc(from)]` variant holds.
    #[must_use]
    pub fn inner(&self, error: &Error) -> Error {
        let mut inner = error.clone();
        inner.set_payload(self.inner.as_deref().cloned().map(std::sync::Arc::new));
        inner
    }
}

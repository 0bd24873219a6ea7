//! The typed part of an error: the variant of the service's enum, and its fields.

use std::collections::BTreeMap;

use super::Error;

/// The wire form of a variant of a service's error enum. `#[derive(RpcError)]` writes and reads it.
#[derive(Debug, Clone)]
#[doc(hidden)]
pub struct Payload {
    pub(crate) reason: String,
    /// The JSON text of each field.
    pub(crate) fields: BTreeMap<String, String>,
    /// The dependency's variant, if this one is `#[rpc(from)]`.
    pub(crate) inner: Option<Box<Payload>>,
    /// Whether every caller receives the fields: the variant is `#[rpc(public)]`.
    pub(crate) public: bool,
    /// Whether only the reason was received, so that a variant with fields cannot be read.
    pub(crate) reason_only: bool,
}

/// Compares the content.
impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        (&self.reason, &self.fields, &self.inner) == (&other.reason, &other.fields, &other.inner)
    }
}

impl Payload {
    /// Creates the payload of an error of which only the reason was received.
    pub(crate) fn of_reason(reason: &str) -> Self {
        Self {
            reason: reason.to_owned(),
            fields: BTreeMap::new(),
            inner: None,
            public: false,
            reason_only: true,
        }
    }

    /// Returns the approximate size in memory, in bytes.
    #[cfg(feature = "server")]
    pub(crate) fn size(&self) -> usize {
        /// The size of an entry of a map without its texts: nodes are at least half full.
        const ENTRY: usize = 4 * size_of::<String>();
        let fields = self.fields.iter();
        let fields: usize = fields
            .map(|(name, text)| ENTRY + name.len() + text.len())
            .sum();
        let inner = self.inner.as_deref().map_or(0, Self::size);
        size_of::<Self>() + self.reason.len() + fields + inner
    }

    /// Returns the payload of an error, if it has one.
    #[must_use]
    pub fn of(error: &Error) -> Option<&Self> {
        error.payload().map(|payload| &**payload)
    }

    /// Returns the reason, which identifies the variant.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Returns the dependency's error that a `#[rpc(from)]` variant holds.
    #[must_use]
    pub fn inner(&self, error: &Error) -> Error {
        let mut inner = error.clone();
        inner.set_payload(self.inner.as_deref().cloned().map(std::sync::Arc::new));
        inner
    }
}

//! The part of an error that the callers of a service receive if the service did not make it.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde_json::Value;

use super::call_error::Received;
use super::origin::Birth;
use super::{Code, Error, Hop, Origin, RpcError};
use crate::metadata::Metadata;
use crate::text::truncate_str;

/// The origin of an error.
impl Error {
    pub(crate) fn origin(&self) -> Origin {
        self.0.birth.origin
    }

    pub(crate) fn with_origin(mut self, origin: Origin) -> Self {
        self.0.birth.origin = origin;
        self
    }

    /// Returns whether another service, or a client of this process, made the error.
    pub(super) fn is_foreign(&self) -> bool {
        self.origin() != Origin::Own
    }

    fn set_origin_unless_foreign(&mut self, origin: Origin) {
        if !self.is_foreign() {
            self.0.birth.origin = origin;
        }
    }

    /// Makes an error one of a dependency, with all that it contains, unless it is foreign already.
    /// If it says that nothing was done, that is about the dependency's call.
    pub(super) fn become_received(&mut self) {
        self.execution_of_dependency();
        if !self.is_foreign() {
            self.0.birth.origin = Origin::Dependency;
            self.0.received = Received::of(self);
        }
    }

    /// Marks an error as the end of a call to `service`, and what it contains as received.
    /// `for_caller` tells whether the call was made for a caller of this process.
    ///
    /// An error without its typed part is recognized by its reason: an edge sends no more of a
    /// variant without fields.
    pub(crate) fn end_call(&mut self, service: &str, for_caller: bool) {
        self.set_origin_unless_foreign(Origin::Client);
        self.0.birth.for_caller = for_caller;
        self.mark_received(service);
    }

    /// Returns whether `Display` writes the text for callers, and `source` is hidden: the error of
    /// a call that a handler made. What it writes of such an error may end in its response.
    pub(super) fn displays_public_text(&self) -> bool {
        self.0.birth.for_caller && self.is_foreign()
    }

    /// Returns the code that callers receive.
    pub(super) fn public_code(&self) -> Code {
        if self.is_foreign() && !self.0.code.is_propagated() {
            Code::Internal
        } else {
            self.0.code
        }
    }

    /// Returns the text for untrusted callers about an error that this service did not make.
    pub(super) fn text_about_foreign(&self) -> &'static str {
        match self.public_code() {
            Code::Unavailable => "a service behind this one is unavailable",
            Code::DeadlineExceeded => "a service behind this one did not respond in time",
            Code::ResourceExhausted => "a call to a service behind this one exceeded a limit",
            Code::Canceled => "a call to a service behind this one was canceled",
            _ => "internal error",
        }
    }

    /// Turns an error of a dependency or a client, which a handler or a layer returns, into an
    /// error of this service, whose name is `source`.
    ///
    /// A code that has no meaning for our caller becomes `internal`. What was received with it,
    /// which belongs to the contract of the dependency, is removed. The chain keeps the original.
    pub(crate) fn remap_dependency_error(&mut self, source: &str) {
        if matches!(self.origin(), Origin::Client | Origin::Dependency) {
            self.remap(source);
        }
    }

    /// Does the same with a variant of a dependency's enum, for a caller that is not trusted.
    pub(crate) fn hide_variant(&mut self, source: &str) {
        if self.origin() == Origin::DependencyVariant {
            self.0.birth.origin = Origin::Dependency;
            self.0.received = Received::ALL;
            self.remap(source);
        }
    }

    fn remap(&mut self, source: &str) {
        self.0.passed_on = true;
        if !self.0.code.is_propagated() {
            if self.0.hops.is_empty() {
                // No service has recorded it yet.
                let hop = self.hop_of_origin(source);
                self.0.hops.push(hop);
            }
            self.0.code = Code::Internal;
            self.0.public = false;
            self.0.retry_after = None;
        }
        let received = std::mem::take(&mut self.0.received);
        if received.payload {
            // A variant of this service may have the same name.
            self.0.payload = None;
        }
        if received.reason {
            self.0.reason = None;
            self.0.domain = None;
        }
        drop_first(&mut self.0.violations, received.violations);
        drop_first(&mut self.0.details, received.details);
        self.0.metadata.drop_first(received.metadata);
    }

    /// Returns the hop of an error that has none. The text of a client's error is for operators,
    /// and the chain is for them.
    fn hop_of_origin(&self, source: &str) -> Hop {
        let message = if self.origin() == Origin::Client {
            truncate_str(&self.0.message, super::PUBLIC_MESSAGE_LIMIT)
        } else {
            self.trusted_message()
        };
        Hop {
            source: source.to_owned(),
            method: self.0.failed_call.unwrap_or_default().to_owned(),
            location: None,
            code: self.0.code,
            message: message.to_owned(),
            reason: self.0.reason.as_deref().map(str::to_owned),
        }
    }

    /// Wraps an error in the variant `reason` of this service's enum: that of a dependency stays
    /// one for callers that are not trusted.
    pub(super) fn pass_in_variant(&mut self) {
        if self.origin() == Origin::Dependency {
            self.0.birth.origin = Origin::DependencyVariant;
        }
        // The metadata was sent to this service, so it is not passed on.
        self.0.metadata = Metadata::new();
        self.0.received.metadata = 0;
        self.0.received.payload = false;
    }

    /// Marks an error as a variant that this service received and returns as it is. One that is for
    /// all callers stays this service's own.
    ///
    /// Layers of the server may write it, as a handler writes the error of a call.
    pub(crate) fn mark_returned_variant(&mut self) {
        if !self.is_foreign() && !self.payload().is_some_and(|payload| payload.public) {
            self.0.birth = Birth {
                origin: Origin::DependencyVariant,
                for_caller: true,
            };
        }
    }
}

/// Returns the fingerprint of the variant that an error becomes as an `E`, to recognize it when it
/// is returned. `None` without a variant.
pub(crate) fn fingerprint<E: RpcError>(error: &Error) -> Option<u64> {
    error.payload()?;
    // Encoded again: the sender may have other fields, or write them in another way.
    fingerprint_of::<E>(&E::from_error(error).into_error())
}

/// Returns the fingerprint of a variant that is already encoded.
pub(crate) fn fingerprint_of<E: 'static>(encoded: &Error) -> Option<u64> {
    let payload = encoded.payload()?;
    let mut hasher = DefaultHasher::new();
    // Another enum may have a variant of the same name.
    std::any::TypeId::of::<E>().hash(&mut hasher);
    let mut next = Some(&**payload);
    while let Some(payload) = next {
        payload.reason.hash(&mut hasher);
        for (name, text) in &payload.fields {
            (name, unordered(text)).hash(&mut hasher);
        }
        next = payload.inner.as_deref();
    }
    Some(hasher.finish())
}

/// Returns the JSON of a field in one order: each value of a `HashMap` or of a `HashSet` has its
/// own, and a received variant is decoded twice.
fn unordered(text: &str) -> Cow<'_, str> {
    if !text.starts_with(['{', '[']) {
        return text.into();
    }
    match serde_json::from_str(text) {
        Ok(mut value) => {
            sort(&mut value);
            value.to_string().into()
        }
        Err(_) => text.into(),
    }
}

fn sort(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.values_mut().for_each(sort);
            // The order of the map depends on the features of `serde_json`.
            members.sort_keys();
        }
        Value::Array(items) => {
            items.iter_mut().for_each(sort);
            items.sort_by_cached_key(Value::to_string);
        }
        _ => {}
    }
}

fn drop_first<T>(values: &mut Vec<T>, count: usize) {
    values.drain(..count.min(values.len()));
}

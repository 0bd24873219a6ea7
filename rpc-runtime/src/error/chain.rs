//! The chain of services that an error passed: what a server sends of an error, and how the chain
//! is printed.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use super::call_error::Received;
use super::origin::Birth;
use super::{Error, FieldViolation, Hop, Payload, place};
use crate::metadata::Metadata;
use crate::request_id::RequestId;
use crate::text::{EscapeControl, truncate_str};

/// The maximum number of hops of an error. Hops in the middle are removed first.
pub const HOP_LIMIT: usize = 16;

/// The maximum total size of the texts of a chain, in bytes.
pub const CHAIN_LIMIT: usize = 4096;

impl Error {
    /// Marks an error of a dependency as passed on by the `?` at `location`.
    pub(super) fn propagated_at(mut self, location: &'static Location<'static>) -> Self {
        self.0.location = Some(location);
        // The metadata was sent to this service. It may hold a cookie or a token, so it is not
        // passed on.
        self.0.metadata = Metadata::new();
        self.0.received.metadata = 0;
        self
    }

    /// Sets the location of an error that was made or passed on in this process and has none.
    pub(crate) fn locate(&mut self, location: Option<&'static Location<'static>>) {
        let is_missing = match self.0.location {
            Some(at) => place::known(at).is_none(),
            None => self.0.hops.is_empty(),
        };
        if is_missing {
            self.0.location = location;
        }
    }

    /// Takes over the chain of a dependency's error, see [`super::Remote::replaced_by`].
    pub(crate) fn in_place_of(
        mut self,
        theirs: Self,
        location: &'static Location<'static>,
    ) -> Self {
        self.0.passed_on = true;
        self.adopt_execution(&theirs);
        self.0.location = Some(location);
        self.0.hops = theirs.0.hops;
        self.0.retries_exhausted = theirs.0.retries_exhausted;
        self
    }

    /// Takes over the chain of the error from which this one was made, see [`super::Remote::take`].
    pub(crate) fn adopt_chain(&mut self, original: &Self) {
        self.0.passed_on = true;
        self.0.location = original.0.location;
        self.0.hops.clone_from(&original.0.hops);
        self.0.retries_exhausted = original.0.retries_exhausted;
        self.adopt_execution(original);
    }

    /// Returns whether this is `original`, or `original` wrapped once by a variant with
    /// `#[rpc(from)]`.
    pub(crate) fn wraps(&self, original: &Self) -> bool {
        let (own, theirs) = (self.payload(), original.payload());
        let inner = own.and_then(|payload| payload.inner.as_deref());
        let is_inner = inner == theirs.map(|theirs| &**theirs);
        // A variant that the handler makes itself has none, and may look like the other one.
        let same_request = self.0.request_id == original.0.request_id;
        // The `Other` variant of a dependency keeps its hops. All other variants have none.
        let same_way = self.0.hops.is_empty() || self.0.hops == original.0.hops;
        same_way
            && self.0.location.is_none()
            && self.0.code == original.0.code
            && (is_inner && theirs.is_some() || same_request && (is_inner || own == theirs))
    }

    /// Records the full name of the method whose call failed in this process, without a response of
    /// a service.
    pub(crate) fn set_failed_call(&mut self, method: &'static str) {
        self.0.failed_call = Some(method);
    }

    /// Returns whether this is the failure of a dependency, which the service passed on. The
    /// service itself works.
    pub(crate) fn is_passed_on(&self) -> bool {
        self.0.passed_on
    }

    pub(crate) fn set_passed_on(&mut self) {
        self.0.passed_on = true;
    }

    /// Marks what the error contains as received from a dependency, `service`.
    pub(super) fn mark_received(&mut self, service: &str) {
        self.execution_of_dependency();
        if let Some(reason) = &self.0.reason
            && self.0.payload.is_none()
            && self.0.domain.as_deref() == Some(service)
        {
            self.0.payload = Some(Arc::new(Payload::of_reason(reason)));
        }
        self.0.received = Received::of(self);
    }

    /// Prepares the error for a trusted caller: replaces the message by the public one, adds a hop
    /// with the location, removes the source, and truncates the chain. All else is kept.
    pub(crate) fn sanitize_for_wire(&mut self, source: &str, method: &str, service: &str) {
        let message = self.trusted_message().to_owned();
        self.set_default_domain(service);
        let location = self.location_text();
        (self.0.location, self.0.stored_location) = (None, None);
        let hop = Hop {
            source: source.to_owned(),
            method: method.to_owned(),
            location,
            code: self.0.code,
            message: message.clone(),
            reason: self.0.reason.as_deref().map(str::to_owned),
        };
        self.0.hops.insert(0, hop);
        self.0.message = message.into();
        self.0.public = true;
        self.0.source = None;
        self.0.http_status = None;
        // Its receiver marks it anew.
        self.0.birth = Birth::default();
        self.truncate_chain();
    }

    /// Prepares the error for a caller that is not trusted, or that does not ask for the chain:
    /// code, public message, request ID, retry delay, metadata and the service's own details, and
    /// whether it is passed on and may run again.
    ///
    /// These are the reason, the violations and the attached details, without those of a
    /// dependency, and the fields of a public variant. An error whose message is not public has
    /// none of them.
    pub(crate) fn redact(&mut self, request_id: RequestId, service: &str) {
        *self = self.take_own_parts(service);
        self.0.request_id = Some(request_id);
    }

    /// Takes the parts for a caller that is not trusted out of the error.
    pub(super) fn take_own_parts(&mut self, service: &str) -> Self {
        let mut bare = Self::without_location(self.0.code, self.public_message().to_owned());
        if self.0.public {
            let received = self.0.received;
            if !received.reason {
                // The reason of a variant that wraps a dependency's error is that of the
                // dependency.
                let is_own = self
                    .0
                    .payload
                    .as_deref()
                    .is_none_or(|payload| self.0.reason.as_deref() == Some(payload.reason()));
                if is_own {
                    self.set_default_domain(service);
                }
                bare.0.reason = self.0.reason.take();
                bare.0.domain = self.0.domain.take();
                bare.0.payload = self.0.payload.take().filter(|payload| payload.public);
            }
            bare.0.violations = self.0.violations.split_off(received.violations);
            bare.0.details = self.0.details.split_off(received.details);
        }
        bare.0.public = true;
        bare.0.retry_after = self.0.retry_after;
        bare.0.passed_on = self.0.passed_on;
        bare.0.execution = self.0.execution;
        bare.0.retries_exhausted = self.0.retries_exhausted;
        bare.0.metadata = std::mem::take(&mut self.0.metadata);
        bare
    }

    /// Returns the line that created the error, or the `?` that passed it on: in this process, or
    /// in the one that has stored it.
    pub(super) fn location_text(&self) -> Option<(String, u32)> {
        match self.0.location {
            Some(at) => place::known(at).map(|at| (at.file().to_owned(), at.line())),
            None => self.0.stored_location.as_deref().cloned(),
        }
    }

    /// Returns the approximate size in memory, in bytes, without the source.
    #[cfg(feature = "server")]
    pub(crate) fn size(&self) -> usize {
        let inner = &*self.0;
        let hops = inner.hops.iter().map(Hop::size);
        let violations = inner.violations.iter().map(|violation| {
            size_of::<FieldViolation>() + violation.field.len() + violation.description.len()
        });
        let details = inner
            .details
            .iter()
            .map(|detail| size_of_val(detail) + detail.type_name.len() + detail.value.len());
        let texts = [&inner.reason, &inner.domain].into_iter().flatten();
        let location = inner.stored_location.as_deref();
        size_of_val(inner)
            + inner.message.len()
            + location.map_or(0, |at| size_of_val(at) + at.0.len())
            + inner.metadata.size()
            + inner.payload.as_deref().map_or(0, Payload::size)
            + texts.map(|text| text.len()).sum::<usize>()
            + hops.chain(violations).chain(details).sum::<usize>()
    }

    /// Sets the domain of a reason of this service.
    fn set_default_domain(&mut self, service: &str) {
        if self.0.reason.is_some() && self.0.domain.is_none() {
            self.0.domain = Some(service.to_owned().into());
        }
    }

    /// Truncates the chain to its limits. The nearest hops and the origin are kept, as the most
    /// useful ones.
    pub(crate) fn truncate_chain(&mut self) {
        let hops = &mut self.0.hops;
        if hops.len() > HOP_LIMIT {
            // One `drain`: a hostile server may send a million hops, and removing them one by one
            // would take minutes.
            hops.drain(HOP_LIMIT / 2..hops.len() - HOP_LIMIT / 2);
        }
        let size = Hop::text_size;
        let budget = CHAIN_LIMIT / hops.len().max(1);
        if hops.iter().map(size).sum::<usize>() > CHAIN_LIMIT {
            for hop in hops.iter_mut() {
                // Each hop gets an equal share. Only its message is truncated.
                let rest = size(hop) - hop.message.len();
                let keep = truncate_str(&hop.message, budget.saturating_sub(rest)).len();
                hop.message.truncate(keep);
            }
        }
        while hops.len() > 1 && hops.iter().map(size).sum::<usize>() > CHAIN_LIMIT {
            hops.remove(hops.len() / 2);
        }
        if let [only] = hops.as_mut_slice()
            && size(only) > CHAIN_LIMIT
        {
            only.truncate(CHAIN_LIMIT / 4);
        }
    }

    /// Writes the part of `{:#}` after `code: message`.
    pub(super) fn write_chain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(id) = &self.0.request_id {
            write!(f, "   [request {}]", id.as_str())?;
        }
        // Most messages already contain the description.
        let is_new = |violation: &&FieldViolation| !self.0.message.contains(&violation.description);
        for violation in self.0.violations.iter().filter(is_new) {
            write!(
                f,
                "\n  argument {}: {}",
                EscapeControl(&violation.field),
                EscapeControl(&violation.description)
            )?;
        }
        if let Some((file, line)) = self.location_text() {
            let note = if self.is_foreign() && !self.0.passed_on {
                "    (the `?` that passed it on)"
            } else {
                ""
            };
            write!(f, "\n  at   {file}:{line}{note}")?;
        }
        let top = (self.0.code, &*self.0.message);
        for (index, hop) in self.0.hops.iter().enumerate() {
            let word = if index + 1 == self.0.hops.len() {
                "from"
            } else {
                "at"
            };
            hop.write_line(f, word, top)?;
        }
        let mut source = self
            .private_source()
            .map(|source| source as &(dyn std::error::Error + 'static));
        while let Some(cause) = source {
            write!(f, "\n  caused by: {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

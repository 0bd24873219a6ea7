//! How an error gathers its way: what happens to it where it leaves a server, and how the way is printed.

use std::fmt;
use std::panic::Location;

use super::{Code, Delivery, Error, FieldViolation, Hop};
use crate::metadata::Metadata;
use crate::request_id::RequestId;
use crate::text::truncate_str;

/// The most hops that an error carries; the ones in the middle go first.
pub const HOP_LIMIT: usize = 16;

/// The most bytes that the texts of a chain take together.
pub const CHAIN_LIMIT: usize = 4096;

impl Error {
    /// Marks an error of a dependency as passed on by the `?` at `location`.
    pub(super) fn passed_on_at(mut self, location: &'static Location<'static>) -> Self {
        self.0.passed_on = true;
        // What became of our request says nothing of our caller's.
        self.0.delivery = Delivery::Answered;
        self.0.location = Some(location);
        // What the dependency sent beside its error was for us: a cookie or a token must not travel on.
        self.0.metadata = Metadata::new();
        self
    }

    /// Gives this error the way of a dependency's, see [`super::Remote::replaced_by`].
    pub(crate) fn in_place_of(
        mut self,
        theirs: Self,
        location: &'static Location<'static>,
    ) -> Self {
        self.0.location = Some(location);
        self.0.hops = theirs.0.hops;
        self.0.retries_exhausted = theirs.0.retries_exhausted;
        self
    }

    /// Takes over the chain of the error that this one was made from, see [`super::Remote::take`].
    pub(crate) fn adopt_chain(&mut self, original: &Self) {
        self.0.location = original.0.location;
        self.0.hops.clone_from(&original.0.hops);
        self.0.retries_exhausted = original.0.retries_exhausted;
    }

    /// Whether this is `original`, wrapped once by a variant with `#[rpc(from)]`, or the very error that was put in place
    /// of another.
    pub(crate) fn wraps(&self, original: &Self) -> bool {
        let (own, theirs) = (self.payload(), original.payload());
        // A dependency's `Other` brings its hops along, every other variant has none.
        let same_way = self.0.hops.is_empty() || self.0.hops == original.0.hops;
        same_way
            && self.0.location.is_none()
            && self.0.code == original.0.code
            && (own.and_then(|payload| payload.inner.as_deref()) == theirs.map(|theirs| &**theirs)
                || (own.is_some() && own == theirs))
    }

    /// Records the full name of the method whose call failed in this process, without a response of a service.
    pub(crate) fn set_failed_call(&mut self, method: &'static str) {
        self.0.failed_call = Some(method);
    }

    /// Makes a dependency's error ours: a code that would lie to our own caller becomes `internal`, and what speaks of
    /// the dependency's contract goes. The chain keeps the original. `source` is who we are.
    pub(crate) fn remap_dependency_error(&mut self, source: &str) {
        if !std::mem::take(&mut self.0.passed_on) {
            return;
        }
        if !self.0.code.is_propagated() {
            if self.0.hops.is_empty() {
                // No service answered it: it was made by our own client, and would be lost here.
                self.0.hops.push(Hop {
                    source: source.to_owned(),
                    method: self.0.failed_call.unwrap_or_default().to_owned(),
                    location: None,
                    code: self.0.code,
                    message: self.public_message().to_owned(),
                    reason: self.0.reason.as_deref().map(str::to_owned),
                });
            }
            self.0.code = Code::Internal;
            self.0.public = false;
        }
        // A variant of ours may have the same name.
        self.0.payload = None;
        self.0.reason = None;
        self.0.domain = None;
        self.0.violations.clear();
        self.0.details.clear();
    }

    /// What may leave the process: public text, one more hop, no source.
    pub(crate) fn sanitize_for_wire(&mut self, source: &str, method: &str, service: &str) {
        let message = self.public_message().to_owned();
        if self.0.reason.is_some() && self.0.domain.is_none() {
            self.0.domain = Some(service.to_owned().into());
        }
        let hop = Hop {
            source: source.to_owned(),
            method: method.to_owned(),
            location: self
                .0
                .location
                .take()
                .map(|at| (at.file().to_owned(), at.line())),
            code: self.0.code,
            message: message.clone(),
            reason: self.0.reason.as_deref().map(str::to_owned),
        };
        self.0.hops.insert(0, hop);
        self.0.message = message.into();
        self.0.public = true;
        self.0.delivery = Delivery::Answered;
        self.0.source = None;
        self.truncate_chain();
    }

    /// What may leave through an edge: code, public text, request id.
    pub(crate) fn redact_for_edge(&mut self, request_id: RequestId) {
        let mut bare = Self::without_location(self.0.code, self.public_message().to_owned());
        bare.0.public = true;
        bare.0.request_id = Some(request_id);
        bare.0.retry_after = self.0.retry_after;
        bare.0.metadata = std::mem::take(&mut self.0.metadata);
        *self = bare;
    }

    /// Keeps a chain within its limits. The ends say most: the nearest hops, and where it came from.
    pub(crate) fn truncate_chain(&mut self) {
        let hops = &mut self.0.hops;
        if hops.len() > HOP_LIMIT {
            // In one move: a hostile server may send a million, and one removal each would take minutes.
            hops.drain(HOP_LIMIT / 2..hops.len() - HOP_LIMIT / 2);
        }
        let size = |hop: &Hop| {
            hop.source.len()
                + hop.method.len()
                + hop.message.len()
                + hop.location.as_ref().map_or(0, |at| at.0.len())
                + hop.reason.as_ref().map_or(0, String::len)
        };
        let budget = CHAIN_LIMIT / hops.len().max(1);
        if hops.iter().map(size).sum::<usize>() > CHAIN_LIMIT {
            for hop in hops.iter_mut() {
                // Each gets an equal share, and the message is what can be spared.
                let rest = size(hop) - hop.message.len();
                let keep = truncate_str(&hop.message, budget.saturating_sub(rest)).len();
                hop.message.truncate(keep);
            }
        }
        while hops.len() > 1 && hops.iter().map(size).sum::<usize>() > CHAIN_LIMIT {
            hops.remove(hops.len() / 2);
        }
    }

    /// The rest of `{:#}`, behind `code: message`.
    pub(super) fn write_chain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(id) = &self.0.request_id {
            write!(f, "   [request {}]", id.as_str())?;
        }
        // Most messages say it already.
        let unsaid = |violation: &&FieldViolation| !self.0.message.contains(&violation.description);
        for violation in self.0.violations.iter().filter(unsaid) {
            write!(
                f,
                "\n  argument {}: {}",
                violation.field, violation.description
            )?;
        }
        if let Some(at) = self.0.location {
            let note = if self.0.passed_on {
                "    (the `?` that passed it on)"
            } else {
                ""
            };
            write!(f, "\n  at   {}:{}{note}", at.file(), at.line())?;
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

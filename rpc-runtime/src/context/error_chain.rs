//! Keeps the chains of dependencies' errors while a handler holds an enum, which cannot carry them,
//! and recognizes the variants that a handler returns as it has received them.
//!
//! These methods of [`Remote`] are here and not in `error`, because that module does not know
//! contexts.

use std::panic::Location;

use super::Context;
use super::progress::ErrorLocation;
use crate::error::{Error, Remote, RpcError, fingerprint, fingerprint_of, variant_of};
use crate::sync::MutexExt as _;

/// The most chains that one call keeps. A handler that drops errors in a loop must not use up
/// memory.
const CHAIN_COUNT: usize = 4;

impl Context {
    /// Returns whether a call in this context is made for the caller of a server.
    pub(crate) fn is_of_request(&self) -> bool {
        self.server_info().is_some() && self.id().is_some() && !self.starts_here()
    }

    /// Records a variant that a dependency has sent: its fingerprint, and whether it was retried
    /// already.
    pub(crate) fn record_variant(&self, fingerprint: Option<u64>, retries_exhausted: bool) {
        if let (Some(call), Some(fingerprint)) = (self.call(), fingerprint) {
            let mut variants = call.response.variants.lock_unpoisoned();
            variants.add(fingerprint, retries_exhausted);
        }
    }

    /// Marks an error that a handler of the error type `E` returned, if it is a variant that a
    /// dependency has sent, and if so, whether it was retried already.
    pub(crate) fn mark_returned_variant<E: 'static>(&self, error: &mut Error) {
        let Some(call) = self.call() else { return };
        let variants = call.response.variants.lock_unpoisoned();
        if variants.is_empty() {
            return;
        }
        let returned = fingerprint_of::<E>(error);
        if let Some(retried) = returned.and_then(|returned| variants.find(returned)) {
            error.mark_returned_variant();
            if retried {
                error.set_retries_exhausted(true);
            }
        }
    }

    /// Keeps the chain of a dependency's error until the handler returns.
    fn stash_error_chain(&self, error: Error) {
        if let Some(call) = self.call() {
            let mut chains = call.response.error_chains.lock_unpoisoned();
            // The most recent ones are likely to be returned.
            if chains.len() == CHAIN_COUNT {
                chains.remove(0);
            }
            chains.push(error);
        }
    }

    /// Records the line of the current handler that returns an error, and the variant of the error
    /// if it is returned as it is.
    pub(crate) fn record_error_location(
        location: &'static Location<'static>,
        variant: Option<u64>,
    ) {
        Self::with_current(|context| {
            if let Some(call) = context.call() {
                call.progress
                    .set_error_location(ErrorLocation { location, variant });
            }
        });
    }

    /// Returns the recorded line of an error that the handler has returned: an enum cannot carry
    /// it.
    pub(crate) fn error_location<E: 'static>(
        &self,
        error: &E,
    ) -> Option<&'static Location<'static>> {
        let recorded = self.call()?.progress.error_location()?;
        let is_same = |variant| variant == variant_of(error);
        recorded
            .variant
            .is_none_or(is_same)
            .then_some(recorded.location)
    }

    /// Attaches the kept chain to an error that a handler returned and that wraps a dependency's
    /// error. Returns whether there was one.
    pub(crate) fn attach_error_chain(&self, error: &mut Error) -> bool {
        let Some(call) = self.call() else {
            return false;
        };
        let chains = call.response.error_chains.lock_unpoisoned();
        let original = chains.iter().rev().find(|original| error.wraps(original));
        if let Some(original) = original {
            error.adopt_chain(original);
        }
        original.is_some()
    }
}

impl<E: RpcError> Remote<E> {
    /// Decodes the service's error from the received error, which counts as one of a dependency.
    ///
    /// If the error says that nothing was done ([`Error::not_executed`]), that counts as said of
    /// the dependency's call: a handler that returns it, and has made another call that may have
    /// been executed, returns an error of unknown outcome.
    #[must_use]
    pub fn from_error(error: Error) -> Self {
        let received = Self::of_received(error);
        let fingerprint = fingerprint::<E>(received.as_error());
        let retried = received.as_error().retries_exhausted();
        Context::with_current(|context| context.record_variant(fingerprint, retried));
        received
    }

    /// Returns `error` in place of this one and keeps the chain: the hops, and the line of this
    /// call.
    ///
    /// Use it where a dependency's error means something else to the caller. The handler must
    /// return the new error unchanged. Fields with `#[rpc(skip)]` lose their value, as on the wire.
    ///
    /// ```
    /// use rpc_runtime::prelude::*;
    ///
    /// #[derive(Debug, RpcError)]
    /// enum StoreError {
    ///     #[rpc(code = "failed_precondition")]
    ///     Short { by: u64 },
    ///     #[rpc(other)]
    ///     Other(Error),
    /// }
    ///
    /// #[derive(Debug, RpcError)]
    /// enum ShopError {
    ///     #[rpc(code = "failed_precondition")]
    ///     TooExpensive { book: String },
    ///     #[rpc(other)]
    ///     Other(Error),
    /// }
    ///
    /// fn map_store_error(error: Remote<StoreError>, book: &str) -> ShopError {
    ///     match *error {
    ///         StoreError::Short { .. } => error.replaced_by(ShopError::TooExpensive { book: book.to_owned() }),
    ///         StoreError::Other(_) => error.into(),
    ///     }
    /// }
    /// ```
    #[must_use = "the handler must return the new error"]
    #[track_caller]
    pub fn replaced_by<Y: RpcError>(self, error: Y) -> Y {
        let error = error
            .into_error()
            .in_place_of(self.into_untyped(), Location::caller());
        let value = Y::from_error(&error);
        Context::with_current(|context| context.stash_error_chain(error));
        value
    }

    /// Returns the value if it is of type `Y`, for a variant with `#[rpc(from)]`, and keeps its
    /// chain.
    ///
    /// The chain is attached again if the handler returns this error.
    #[doc(hidden)]
    #[track_caller]
    #[allow(
        clippy::result_large_err,
        reason = "on failure the caller keeps the remote error"
    )]
    pub fn take<Y: RpcError>(self) -> Result<Y, Self> {
        let (taken, original) = self.downcast(Location::caller())?;
        Context::with_current(|context| context.stash_error_chain(original));
        Ok(taken)
    }
}

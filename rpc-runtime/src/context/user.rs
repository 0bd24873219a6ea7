//! The user of a call in its context.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::handle::ContextInner;
use super::{Context, Principal};
use crate::error::{Code, Error};
use crate::sync::MutexExt as _;

/// The user of a call.
impl Context {
    /// Returns the user on whose behalf the call runs. `None` for a caller that was not
    /// authenticated, and for a service that calls on its own behalf.
    #[must_use]
    pub fn principal(&self) -> Option<Principal> {
        let assigned = self.assigned_principal();
        assigned.or_else(|| self.inner()?.propagated.principal.clone())
    }

    /// Returns the user that code of this server has set, not one that the caller has sent.
    pub(crate) fn assigned_principal(&self) -> Option<Principal> {
        let inner = self.inner()?;
        if let Some(own) = &inner.local.principal {
            return Some(own.clone());
        }
        self.call()?.principal.lock_unpoisoned().clone()
    }

    /// Sets the user of this call, for layers that authenticate. From now on every copy of the
    /// context has it: that of the handler, and [`Context::current`]. It replaces the user that the
    /// caller has sent.
    ///
    /// In an HTTP layer ([`Server::http_layer`](crate::Server::http_layer)) it sets the user of
    /// what the layer hands on, before policies and rate limits, and no authenticator is asked
    /// then.
    ///
    /// # Errors
    ///
    /// `failed_precondition` outside a call, for example on a task that a layer has spawned without
    /// its context. `unauthenticated` for an empty subject, `invalid_argument` for a principal
    /// whose encoded form is larger than [`PRINCIPAL_LIMIT`](super::PRINCIPAL_LIMIT); the text
    /// names the largest part.
    pub fn set_principal(&self, principal: Principal) -> Result<(), Error> {
        principal.check()?;
        let Some(call) = self.call() else {
            let text = "there is no call here whose user can be set: call `Context::set_principal` on the context \
                        of a request, or `Context::with_principal` for calls in a scope";
            return Err(Error::without_location(Code::FailedPrecondition, text));
        };
        *call.principal.lock_unpoisoned() = Some(principal);
        Ok(())
    }

    /// Returns whether the call runs for a user, or a part of it did.
    #[cfg(feature = "server")]
    pub(crate) fn has_had_user(&self) -> bool {
        let had_user = self
            .call()
            .is_some_and(|call| call.had_user.load(Ordering::Relaxed));
        had_user || self.principal().is_some()
    }

    /// Returns a context with another user, for the calls that are made in its scope: a job that
    /// works for several users, a test.
    ///
    /// ```
    /// use rpc_runtime::{Context, Principal};
    ///
    /// let context = Context::current().with_principal(Principal::new("alice"))?;
    /// assert_eq!(context.principal().unwrap().subject(), "alice");
    /// # Ok::<(), rpc_runtime::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`set_principal`](Self::set_principal).
    pub fn with_principal(&self, principal: Principal) -> Result<Self, Error> {
        principal.check()?;
        if let Some(call) = self.call() {
            call.had_user.store(true, Ordering::Relaxed);
        }
        let mut inner: ContextInner = self.copy();
        inner.local.principal = Some(principal);
        Ok(Self(Some(Arc::new(inner))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_outside_a_call_is_an_error() {
        let outside = Context::default();
        let error = outside.set_principal(Principal::new("alice")).unwrap_err();
        assert_eq!(error.code(), Code::FailedPrecondition);
        assert!(outside.principal().is_none());
    }

    #[test]
    fn every_copy_of_a_context_has_the_user() {
        let id = crate::RequestId::random();
        let context = Context::for_request(id);
        let copy = context.clone();
        let derived = context.with_deadline(std::time::Instant::now());
        context.set_principal(Principal::new("alice")).unwrap();
        for context in [&context, &copy, &derived] {
            assert_eq!(context.principal().unwrap().subject(), "alice");
        }
        let other = derived.with_principal(Principal::new("bob")).unwrap();
        assert_eq!(other.principal().unwrap().subject(), "bob");
        assert_eq!(context.principal().unwrap().subject(), "alice");
        let child = other.child(None, None, None).unwrap();
        assert_eq!(child.principal().unwrap().subject(), "bob");
        let child = derived.child(None, None, None).unwrap();
        assert_eq!(child.principal().unwrap().subject(), "alice");
        assert!(
            Principal::new("alice")
                .with_claim("token", "secret")
                .eq(&Principal::new("alice").with_claim("token", "secret"))
        );
        let printed = format!(
            "{:?}",
            Principal::new("alice").with_claim("token", "hidden")
        );
        assert!(!printed.contains("hidden"), "{printed}");
    }
}

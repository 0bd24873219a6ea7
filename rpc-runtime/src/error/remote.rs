//! The error of a remote call: the service's own error, and the chain of services that it passed.

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::ops::Deref;
use std::panic::Location;

use super::{Code, Error, Hop, IntoError, RpcError};
use crate::metadata::Metadata;

/// The error `E` of a remote method, with the chain of services that it passed.
///
/// Dereferences to the enum that the service declares:
///
/// ```
/// use rpc_runtime::{Code, Error, Remote, RpcError};
///
/// #[derive(Debug, RpcError)]
/// enum PricingError {
///     #[rpc(code = "failed_precondition")]
///     InsufficientCredit { credit: i64 },
///     #[rpc(other)]
///     Other(Error),
/// }
///
/// fn advice(error: &Remote<PricingError>) -> String {
///     match &**error {
///         PricingError::InsufficientCredit { credit } => format!("you have {credit} left"),
///         PricingError::Other(error) if error.code() == Code::Unavailable => "try again".to_owned(),
///         PricingError::Other(_) => format!("please report {}", error.request_id()),
///     }
/// }
/// ```
///
/// `?` converts it to the error of the calling service, and the line of that `?` becomes a hop of
/// the chain.
///
/// The methods of `Remote` hide methods of `E` with the same name, such as `code` and `message`.
/// They return the received values, which for `code` are equal. Call those of `E` as
/// `(*error).code()`.
pub struct Remote<E = Error> {
    value: E,
    /// The received error, from which `value` was made.
    error: Box<Error>,
}

impl<E> Remote<E> {
    /// Returns the received code, which is that of the enum's variant.
    #[must_use]
    pub fn code(&self) -> Code {
        self.error.code()
    }

    /// Returns the received message.
    #[must_use]
    pub fn message(&self) -> &str {
        self.error.message()
    }

    /// Returns the services that the error passed, the nearest first. The last one is its origin.
    ///
    /// Empty if the call did not reach a service.
    #[must_use]
    pub fn hops(&self) -> &[Hop] {
        self.error.hops()
    }

    /// Returns the ID of the failed request, or `-`.
    #[must_use]
    pub fn request_id(&self) -> &str {
        self.error.request_id().unwrap_or("-")
    }

    /// Returns the metadata that was sent with the error.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        self.error.metadata()
    }

    /// Returns the HTTP status of a response that is not of the protocol; see
    /// [`Error::http_status`].
    #[must_use]
    pub fn http_status(&self) -> Option<u16> {
        self.error.http_status()
    }

    /// Returns whether it is known that nothing was done; see [`Error::is_not_executed`].
    #[must_use]
    pub fn is_not_executed(&self) -> bool {
        self.error.is_not_executed()
    }

    /// Returns whether the service states that its handler may run again with the same idempotency
    /// key; see [`Error::is_safe_to_repeat`].
    #[must_use]
    pub fn is_safe_to_repeat(&self) -> bool {
        self.error.is_safe_to_repeat()
    }

    /// States that the handler which returns this error may run again with the same idempotency
    /// key: it passes its key on to this call, or the call is idempotent, and it has no effect
    /// that is not under the key.
    ///
    /// A lost response, or `unavailable`, `deadline_exceeded` or `canceled` of the service, is then
    /// not kept as the result for the key of the handler. Any other error that the service has
    /// returned is a result, and is kept.
    ///
    /// ```
    /// use rpc_runtime::prelude::*;
    ///
    /// #[rpc_service(package = "example.v1")]
    /// trait Till {
    ///     async fn charge(&self, #[rpc(idempotency_key)] key: &str, cents: u64) -> Result<u64>;
    /// }
    ///
    /// /// The handler of a method with the idempotency key `key`.
    /// async fn place(till: &TillClient, key: &str) -> Result<u64> {
    ///     let payment = till.charge(key, 350).await.map_err(Remote::safe_to_repeat)?;
    ///     Ok(payment)
    /// }
    /// ```
    #[must_use]
    pub fn safe_to_repeat(mut self) -> Self {
        self.error.dependency_is_safe_to_repeat();
        self
    }

    /// Returns the received error without its type.
    #[must_use]
    pub fn as_error(&self) -> &Error {
        &self.error
    }

    /// Returns the service's own error and discards the chain of services that it passed.
    ///
    /// It stays an error of the dependency: a handler that returns it returns what `?` does, and
    /// untrusted callers receive nothing of a variant. [`replaced_by`](Self::replaced_by) and
    /// `#[rpc(from)]` make it an error of this service.
    pub fn into_inner(self) -> E {
        self.value
    }
}

impl<E: RpcError> Remote<E> {
    /// Decodes the service's error from the received error, which counts as one of a dependency.
    pub(crate) fn of_received(mut error: Error) -> Self {
        error.become_received();
        Self {
            value: E::from_error(&error),
            error: Box::new(error),
        }
    }

    /// Returns the received error without the typed value.
    pub(crate) fn into_untyped(self) -> Error {
        *self.error
    }

    /// Returns the value if it is of type `Y`, and the received error marked as passed on at
    /// `location`.
    #[allow(
        clippy::result_large_err,
        reason = "on failure the caller keeps the remote error"
    )]
    pub(crate) fn downcast<Y: RpcError>(
        self,
        location: &'static Location<'static>,
    ) -> Result<(Y, Error), Self> {
        let Self { value, error } = self;
        let mut slot = Some(value);
        let taken = (&mut slot as &mut dyn Any)
            .downcast_mut::<Option<Y>>()
            .and_then(Option::take);
        match (taken, slot) {
            (Some(taken), _) => Ok((taken, error.propagated_at(location))),
            (None, Some(value)) => Err(Self { value, error }),
            // `downcast_mut` took the value only for the arm above.
            (None, None) => unreachable!("internal error: the value is neither taken nor left"),
        }
    }
}

impl<E> Deref for Remote<E> {
    type Target = E;

    fn deref(&self) -> &E {
        &self.value
    }
}

/// Passes on the error of a dependency. The line of the `?` becomes part of the chain.
///
/// The caller of this service receives `internal`, unless the code is `unavailable`,
/// `deadline_exceeded`, `canceled` or `resource_exhausted`.
#[diagnostic::do_not_recommend]
impl<E: RpcError> IntoError for Remote<E> {
    fn into_error(self, location: &'static Location<'static>) -> Error {
        self.error.propagated_at(location)
    }
}

/// The conversion of `?`: of the [`Remote`] error of a call, which is passed on. The error of
/// anything else, such as `std::io::Error`, is given a code by
/// [`or_error`](crate::ResultExt::or_error).
impl<E: IntoError> From<E> for Error {
    #[track_caller]
    fn from(error: E) -> Self {
        error.into_error(Location::caller())
    }
}

/// Compares with the service's own error.
impl<E: PartialEq> PartialEq<E> for Remote<E> {
    fn eq(&self, other: &E) -> bool {
        self.value == *other
    }
}

/// Compares the received errors, as `==` of [`Error`] does.
impl<E> PartialEq for Remote<E> {
    fn eq(&self, other: &Self) -> bool {
        self.error == other.error
    }
}

impl<E> fmt::Display for Remote<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.error, f)
    }
}

impl<E> fmt::Debug for Remote<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.error, f)
    }
}

impl<E> StdError for Remote<E> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.error.source()
    }
}

//! What a call fails with: the service's own error, and how it came here.

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::ops::Deref;
use std::panic::Location;

use super::{Code, Error, Hop, RpcError};
use crate::metadata::Metadata;

/// The error `E` of a remote method, with the chain of services that it passed.
///
/// Derefs to the very enum that the service declares:
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
/// With `?` it becomes the error of the calling service; the line of that `?` becomes a hop of the chain.
pub struct Remote<E = Error> {
    value: E,
    /// What came: code, text, chain, id. `value` was made from it.
    error: Box<Error>,
}

impl<E> Remote<E> {
    /// The code that came; the same as the enum's own.
    #[must_use]
    pub fn code(&self) -> Code {
        self.error.code()
    }

    /// The text that came.
    #[must_use]
    pub fn message(&self) -> &str {
        self.error.message()
    }

    /// The services that the error passed, the nearest first; the last one is where it came from.
    /// Empty when the call never reached a service.
    #[must_use]
    pub fn hops(&self) -> &[Hop] {
        self.error.hops()
    }

    /// The id of the failed request, or `-`.
    #[must_use]
    pub fn request_id(&self) -> &str {
        self.error.request_id().unwrap_or("-")
    }

    /// Metadata beside the error.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        self.error.metadata()
    }

    /// Everything that came, without the type.
    #[must_use]
    pub fn as_error(&self) -> &Error {
        &self.error
    }

    /// The service's own error; the chain is gone.
    pub fn into_inner(self) -> E {
        self.value
    }
}

impl<E: RpcError> Remote<E> {
    /// Reads the service's error from what came.
    #[must_use]
    pub fn from_error(error: Error) -> Self {
        Self {
            value: E::from_error(&error),
            error: Box::new(error),
        }
    }

    /// Returns the received error without the typed value.
    pub(crate) fn into_untyped(self) -> Error {
        *self.error
    }

    /// Returns the value if it is of type `Y`, and the received error marked as passed on at `location`.
    #[allow(
        clippy::result_large_err,
        reason = "the caller goes on with the remote error"
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
            (Some(taken), _) => Ok((taken, error.passed_on_at(location))),
            (None, Some(value)) => Err(Self { value, error }),
            // `downcast_mut` took the value only for the arm above.
            (None, None) => unreachable!("the value is either taken or left"),
        }
    }
}

impl<E> Deref for Remote<E> {
    type Target = E;

    fn deref(&self) -> &E {
        &self.value
    }
}

/// Passing a dependency's error on: the line of the `?` becomes part of the chain. Unless the code is one of
/// `unavailable`, `deadline_exceeded`, `canceled` and `resource_exhausted`, our own caller gets `internal`.
impl<E: RpcError> From<Remote<E>> for Error {
    #[track_caller]
    fn from(remote: Remote<E>) -> Self {
        remote.error.passed_on_at(Location::caller())
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

impl<E> StdError for Remote<E> {}

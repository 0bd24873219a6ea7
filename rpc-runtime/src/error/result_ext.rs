//! A code for an error of another crate.

use std::borrow::Cow;
use std::error::Error as StdError;

use super::{Code, Error};

/// Gives the error of another crate a code and a message, so that `?` returns it from a handler.
///
/// ```
/// use rpc_runtime::prelude::*;
///
/// fn price(text: &str) -> Result<u64> {
///     text.parse().or_error(Code::InvalidArgument, "a price is a whole number")
/// }
///
/// let error = price("4.5").unwrap_err();
/// assert_eq!(error.to_string(), "invalid_argument: a price is a whole number");
/// // The cause is logged with the line of `or_error`, and never sent.
/// assert!(format!("{error:#}").ends_with("caused by: invalid digit found in string"));
/// ```
///
/// Works for `Option` as well, and where a method returns an enum with
/// [`#[derive(RpcError)]`](macro@crate::RpcError): `?` converts the [`Error`] to its variant
/// `#[rpc(other)]`. To pass on or to replace the error of a call, see
/// [`Remote`](crate::Remote).
pub trait ResultExt<T> {
    /// Returns the value, or an error of this code with the message, which callers receive as for
    /// [`Error::new`]. The error of `self` is its [source](Error::with_source).
    ///
    /// # Errors
    ///
    /// If there is no value.
    fn or_error(self, code: Code, message: impl Into<Cow<'static, str>>) -> Result<T, Error>;

    /// Returns the value, or an error as [`or_error`](Self::or_error) does, with a message that is
    /// made only then.
    ///
    /// ```
    /// use std::collections::BTreeMap;
    ///
    /// use rpc_runtime::prelude::*;
    ///
    /// fn age(ages: &BTreeMap<String, u8>, name: &str) -> Result<u8> {
    ///     let age = ages.get(name).copied();
    ///     age.or_error_with(Code::NotFound, || format!("no user `{name}`"))
    /// }
    ///
    /// let error = age(&BTreeMap::new(), "ada").unwrap_err();
    /// assert_eq!(error.to_string(), "not_found: no user `ada`");
    /// ```
    ///
    /// # Errors
    ///
    /// If there is no value.
    fn or_error_with<M: Into<Cow<'static, str>>>(
        self,
        code: Code,
        message: impl FnOnce() -> M,
    ) -> Result<T, Error>;
}

impl<T, E: Into<Box<dyn StdError + Send + Sync>>> ResultExt<T> for Result<T, E> {
    #[track_caller]
    fn or_error(self, code: Code, message: impl Into<Cow<'static, str>>) -> Result<T, Error> {
        self.or_error_with(code, || message)
    }

    #[track_caller]
    fn or_error_with<M: Into<Cow<'static, str>>>(
        self,
        code: Code,
        message: impl FnOnce() -> M,
    ) -> Result<T, Error> {
        match self {
            Ok(value) => Ok(value),
            Err(source) => Err(Error::new(code, message()).with_source(source)),
        }
    }
}

impl<T> ResultExt<T> for Option<T> {
    #[track_caller]
    fn or_error(self, code: Code, message: impl Into<Cow<'static, str>>) -> Result<T, Error> {
        self.or_error_with(code, || message)
    }

    #[track_caller]
    fn or_error_with<M: Into<Cow<'static, str>>>(
        self,
        code: Code,
        message: impl FnOnce() -> M,
    ) -> Result<T, Error> {
        match self {
            Some(value) => Ok(value),
            None => Err(Error::new(code, message())),
        }
    }
}

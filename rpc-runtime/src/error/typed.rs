//! The conversion between a service's error enum and the wire form of an error.

use std::collections::BTreeMap;
use std::panic::Location;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Code, Error, Payload};

/// An error that a method may return: [`Error`], or an enum with `#[derive(RpcError)]`.
///
/// Use the derive macro. A manual implementation is rarely needed.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the error of an RPC method",
    label = "not an RPC error",
    note = "use `rpc_runtime::Result<T>`, or put `#[derive(Debug, RpcError)]` on the enum"
)]
pub trait RpcError: std::fmt::Debug + Send + Sync + Sized + 'static {
    /// Returns the code that callers receive.
    fn code(&self) -> Code;

    /// Converts the value to its wire form.
    fn into_error(self) -> Error;

    /// Converts the wire form to a value. An unknown error becomes the variant with
    /// `#[rpc(other)]`, which keeps it.
    fn from_error(error: &Error) -> Self;
}

impl RpcError for Error {
    fn code(&self) -> Code {
        self.code()
    }

    fn into_error(self) -> Error {
        self
    }

    fn from_error(error: &Error) -> Self {
        error.clone()
    }
}

/// Implemented by `Result` only. The expansion uses it to resolve aliases such as `Result<T>`.
#[diagnostic::on_unimplemented(
    message = "an RPC method returns a `Result`, not `{Self}`",
    label = "not a `Result`",
    note = "write `rpc_runtime::Result<{Self}>`, or `Result<{Self}, YourError>`"
)]
#[doc(hidden)]
pub trait RpcResult {
    /// The type of a success.
    type Ok;
    /// The type of an error.
    type Err;
}

impl<T, E> RpcResult for Result<T, E> {
    type Ok = T;
    type Err = E;
}

/// A type of an argument or of a result: it owns its data and implements both traits of serde.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent in an RPC message",
    label = "cannot be serialized and deserialized",
    note = "a type of this crate derives both: `#[derive(serde::Serialize, serde::Deserialize)]`; it must also be `Send` and own its data",
    note = "for a type of another crate, turn on that crate's feature `serde`, or send a type of your own in its place"
)]
#[doc(hidden)]
pub trait Argument: Serialize + DeserializeOwned + Send + 'static {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + Send + 'static> Argument for T {}

/// A type of a field of an error: as an argument.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent as a field of an error",
    label = "cannot be serialized and deserialized",
    note = "the cause of an error, such as `std::io::Error`, stays in the service: write `#[rpc(skip)]` on the field",
    note = "a type of this crate derives both: `#[derive(serde::Serialize, serde::Deserialize)]`; it must also be `Send` and own its data"
)]
#[doc(hidden)]
pub trait ErrorField: Serialize + DeserializeOwned + Send + 'static {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + Send + 'static> ErrorField for T {}

/// An error that `?` converts to [`Error`].
#[diagnostic::on_unimplemented(
    message = "`?` cannot convert `{Self}` to `rpc_runtime::Error`",
    label = "has no code for callers: write `.or_error(Code::Internal, \"what failed\")?`"
)]
#[doc(hidden)]
pub trait IntoError {
    /// Converts the error at the location of the caller, which is the `?`.
    fn into_error(self, location: &'static Location<'static>) -> Error;
}

/// Wraps a dependency's error in the variant `reason` of the service's own enum.
#[doc(hidden)]
#[must_use]
pub fn pass_on(reason: &'static str, error: Error) -> Error {
    in_variant(reason, error, false)
}

/// Does the same for a variant with `#[rpc(from, public)]`: every caller receives the fields of an
/// inner variant that is public itself.
#[doc(hidden)]
#[must_use]
pub fn pass_on_public(reason: &'static str, error: Error) -> Error {
    in_variant(reason, error, true)
}

fn in_variant(reason: &'static str, mut error: Error, public: bool) -> Error {
    let inner = error
        .payload()
        .map(|payload| Box::new(Payload::clone(payload)));
    let is_public = inner.as_ref().is_some_and(|inner| inner.public);
    error.pass_in_variant();
    error.set_payload(Some(Arc::new(Payload {
        reason: reason.to_owned(),
        fields: BTreeMap::new(),
        inner,
        public: public && is_public,
        reason_only: false,
    })));
    error
}

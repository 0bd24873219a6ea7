//! The contract between a service's error enum and the wire.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{Code, Error, Payload};
use crate::metadata::Metadata;

/// An error that a service may answer with: [`Error`] itself, or an enum with `#[derive(RpcError)]`.
///
/// The derive writes this; there is rarely a reason to do it by hand.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the error of an RPC method",
    label = "not an RPC error",
    note = "use `rpc_runtime::Result<T>`, or put `#[derive(Debug, RpcError)]` on the enum"
)]
pub trait RpcError: std::fmt::Debug + Send + Sync + Sized + 'static {
    /// The code that a caller gets.
    fn code(&self) -> Code;

    /// The error as it travels.
    fn into_error(self) -> Error;

    /// The error back from what travelled. What is not understood becomes the variant `#[rpc(other)]`, whole.
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

/// A `Result`, so that the expansion sees through aliases such as `Result<T>`.
#[diagnostic::on_unimplemented(
    message = "an RPC method returns a `Result`, not `{Self}`",
    label = "not a `Result`",
    note = "write `rpc_runtime::Result<{Self}>`, or `Result<{Self}, YourError>`"
)]
#[doc(hidden)]
pub trait RpcResult {
    /// What the method answers.
    type Ok;
    /// What it fails with.
    type Err;
}

impl<T, E> RpcResult for Result<T, E> {
    type Ok = T;
    type Err = E;
}

/// What can be an argument of a method or a field of an error: owned data with serde's two derives.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot travel in an RPC message",
    label = "cannot be serialized and deserialized",
    note = "derive both on `{Self}`: `#[derive(serde::Serialize, serde::Deserialize)]`; it must also be `Send` and own its data"
)]
#[doc(hidden)]
pub trait Argument: Serialize + DeserializeOwned + Send + 'static {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + Send + 'static> Argument for T {}

/// Builds the wire form of a variant.
#[derive(Debug)]
#[doc(hidden)]
pub struct TypedError {
    error: Error,
    reason: &'static str,
    fields: Map<String, Value>,
}

impl TypedError {
    /// A variant by its code, reason and text.
    #[must_use]
    pub fn new(code: Code, reason: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            error: Error::without_location(code, message).with_reason(reason),
            reason,
            fields: Map::new(),
        }
    }

    /// Adds a field of the variant.
    #[must_use]
    pub fn field<T: Argument>(mut self, name: &'static str, value: &T) -> Self {
        match serde_json::to_value(value) {
            Ok(value) => {
                self.fields.insert(name.to_owned(), value);
            }
            // The caller gets the code and the text, and `Other` for its variant.
            Err(error) => {
                tracing::error!(target: "rpc", reason = self.reason, field = name, %error, "left out of an error");
            }
        }
        self
    }

    /// Lets the text go out whatever the code.
    #[must_use]
    pub fn public(mut self) -> Self {
        self.error = self.error.public();
        self
    }

    /// Adds the cause that stays at home.
    #[must_use]
    pub fn source(mut self, source: Option<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        if let Some(source) = source {
            self.error = self.error.with_source(source);
        }
        self
    }

    /// The error as it travels.
    #[must_use]
    pub fn finish(mut self) -> Error {
        let payload = Payload {
            reason: self.reason.to_owned(),
            fields: self.fields,
            inner: None,
        };
        self.error.set_payload(Some(Arc::new(payload)));
        self.error
    }
}

/// A dependency's error, as the variant `reason` of ours.
#[doc(hidden)]
#[must_use]
pub fn pass_on(reason: &'static str, mut error: Error) -> Error {
    let inner = error
        .payload()
        .map(|payload| Box::new(Payload::clone(payload)));
    // As in `remap_dependency_error`: what the dependency sent beside its error was for us.
    *error.metadata_mut() = Metadata::new();
    error.set_payload(Some(Arc::new(Payload {
        reason: reason.to_owned(),
        fields: Map::new(),
        inner,
    })));
    error
}

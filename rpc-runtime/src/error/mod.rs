//! Errors: one boxed struct for every service, typed enums on top of it, and the way that an error came.
//!
//! An [`Error`] keeps two texts apart. Its [`message`](Error::message) is for the people who run the service;
//! its [`public_message`](Error::public_message) is what a caller gets to read.

mod chain;
mod code;
mod delivery;
mod fail;
mod hop;
mod payload;
mod remote;
mod specialize;
mod typed;

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

pub use chain::{CHAIN_LIMIT, HOP_LIMIT};
pub use code::{Code, UnknownCode};
pub(crate) use delivery::Delivery;
pub use hop::Hop;
pub use payload::Payload;
pub use remote::Remote;
pub use specialize::*;
pub use typed::{Argument, RpcError, RpcResult, TypedError, pass_on};

use crate::metadata::Metadata;
use crate::request_id::RequestId;
use crate::text::{EscapeControl, truncate_str};

/// The result of a method whose errors need no type of their own.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The longest text, in bytes, that a caller gets to read; more is cut.
pub const PUBLIC_MESSAGE_LIMIT: usize = 1024;

/// An error of a call: a [`Code`], a message, where it was made and how it came here.
///
/// `Display` prints `code: message`; `{:#}` and `Debug` add the chain of hops, one line each.
///
/// For `internal`, `unknown` and `data_loss` the message stays in the process and a caller reads a general
/// text, unless [`public`](Self::public) says otherwise. The [`source`](Self::with_source) never leaves the process.
///
/// ```
/// use rpc_runtime::{Code, Error};
///
/// let error = Error::new(Code::NotFound, "no user `ada`");
/// assert_eq!(error.to_string(), "not_found: no user `ada`");
/// assert_eq!(error.public_message(), "no user `ada`");
///
/// let error = Error::new(Code::Internal, "table users is gone");
/// assert_eq!(error.public_message(), "internal error");
/// ```
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    code: Code,
    message: Cow<'static, str>,
    public: bool,
    /// Came from a dependency and was passed on: its code is not ours yet, see [`Error::remap_dependency_error`].
    passed_on: bool,
    /// What became of the request, for the client that sent it.
    delivery: Delivery,
    /// A client has spent its retries on it.
    retries_exhausted: bool,
    location: Option<&'static Location<'static>>,
    /// The full name of the method whose call failed in this process, without a response of a service.
    failed_call: Option<&'static str>,
    request_id: Option<RequestId>,
    hops: Vec<Hop>,
    reason: Option<Cow<'static, str>>,
    domain: Option<Cow<'static, str>>,
    violations: Vec<FieldViolation>,
    retry_after: Option<Duration>,
    payload: Option<Arc<Payload>>,
    details: Vec<Detail>,
    metadata: Metadata,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// What is wrong with one argument: a row of `google.rpc.BadRequest`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FieldViolation {
    /// The argument, with the path into it, such as `records[3].level`.
    pub field: String,
    /// What is wrong with it.
    pub description: String,
}

/// A detail of a type that this crate does not read itself, kept as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Detail {
    /// Full name of the protobuf message, without a URL in front.
    pub type_name: String,
    /// The message, encoded.
    pub value: Bytes,
}

impl Detail {
    /// A protobuf message by its full name, such as `google.rpc.Help`, and its encoding.
    pub fn new(type_name: impl Into<String>, value: impl Into<Bytes>) -> Self {
        Self {
            type_name: type_name.into(),
            value: value.into(),
        }
    }
}

/// Making an error.
impl Error {
    /// An error made on the line of the caller.
    #[track_caller]
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        let mut error = Self::without_location(code, message);
        error.0.location = Some(Location::caller());
        error
    }

    /// An error without a line: made by the runtime, whose own lines say nothing to the reader.
    pub(crate) fn without_location(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            code,
            message: message.into(),
            public: !code.is_internal_kind(),
            passed_on: false,
            delivery: Delivery::Answered,
            retries_exhausted: false,
            location: None,
            failed_call: None,
            request_id: None,
            hops: Vec::new(),
            reason: None,
            domain: None,
            violations: Vec::new(),
            retry_after: None,
            payload: None,
            details: Vec::new(),
            metadata: Metadata::new(),
            source: None,
        }))
    }

    /// Returns an error whose message starts with the option or setting that caused it.
    pub(crate) fn caused_by_option(&self, option: &str) -> Self {
        Self::without_location(self.code(), format!("{option}: {}", self.message()))
    }

    /// Creates the error of a call whose deadline passed before it completed.
    pub(crate) fn deadline_exceeded() -> Self {
        Self::without_location(
            Code::DeadlineExceeded,
            "the deadline passed before the call completed",
        )
    }

    /// Lets the message of an `internal`, `unknown` or `data_loss` error go out.
    #[must_use]
    pub fn public(mut self) -> Self {
        self.0.public = true;
        self
    }

    /// Adds the cause. It is logged and never sent.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(Arc::from(source.into()));
        self
    }

    /// Names the reason for programs: `google.rpc.ErrorInfo.reason`, in `SCREAMING_SNAKE_CASE`.
    #[must_use]
    pub fn with_reason(mut self, reason: impl Into<Cow<'static, str>>) -> Self {
        self.0.reason = Some(reason.into());
        self
    }

    /// Says which argument is wrong and why: a row of `google.rpc.BadRequest`.
    #[must_use]
    pub fn with_violation(
        mut self,
        field: impl Into<String>,
        description: impl Into<String>,
    ) -> Self {
        self.0.violations.push(FieldViolation {
            field: field.into(),
            description: description.into(),
        });
        self
    }

    /// Asks callers to wait this long before they try again: `google.rpc.RetryInfo`.
    #[must_use]
    pub fn with_retry_after(mut self, delay: Duration) -> Self {
        self.0.retry_after = Some(delay);
        self
    }

    /// Adds a detail of a type of your own.
    #[must_use]
    pub fn with_detail(mut self, detail: Detail) -> Self {
        self.0.details.push(detail);
        self
    }

    /// Adds metadata, which a caller reads by [`metadata`](Self::metadata).
    ///
    /// What cannot travel (see [`Metadata::append`]) is left out, and a warning says so in the log: an error on
    /// the way of an error would hide the first one.
    #[must_use]
    pub fn with_metadata(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<String>,
    ) -> Self {
        if let Err(invalid) = self.0.metadata.append(name, value) {
            tracing::warn!(target: "rpc", %invalid, "left out of an error");
        }
        self
    }
}

/// Reading an error.
impl Error {
    /// The code. Of an error that a dependency sent, the dependency's code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The text for the people who run the service.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The text that a caller gets to read, at most [`PUBLIC_MESSAGE_LIMIT`] bytes.
    #[must_use]
    pub fn public_message(&self) -> &str {
        if self.0.public {
            truncate_str(&self.0.message, PUBLIC_MESSAGE_LIMIT)
        } else {
            match self.0.code {
                Code::DataLoss => "data loss",
                Code::Unknown => "unknown error",
                _ => "internal error",
            }
        }
    }

    /// The services that the error passed, the nearest first; the last one is where it came from.
    ///
    /// Empty for an error that was made in this process.
    #[must_use]
    pub fn hops(&self) -> &[Hop] {
        &self.0.hops
    }

    /// The line of this process that made the error, or the `?` that passed it on.
    #[must_use]
    pub fn location(&self) -> Option<&'static Location<'static>> {
        self.0.location
    }

    /// The request that failed, where it is known.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_ref().map(RequestId::as_str)
    }

    /// The reason for programs, in `SCREAMING_SNAKE_CASE`.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.0.reason.as_deref()
    }

    /// The service whose [`reason`](Self::reason) it is.
    #[must_use]
    pub fn domain(&self) -> Option<&str> {
        self.0.domain.as_deref()
    }

    /// What is wrong with which argument.
    #[must_use]
    pub fn violations(&self) -> &[FieldViolation] {
        &self.0.violations
    }

    /// How long the server asks to wait before the next try.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Details of types that this crate does not read itself.
    #[must_use]
    pub fn details(&self) -> &[Detail] {
        &self.0.details
    }

    /// Metadata beside the error.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.0.metadata
    }
}

/// For the runtime.
impl Error {
    pub(crate) fn payload(&self) -> Option<&Arc<Payload>> {
        self.0.payload.as_ref()
    }

    pub(crate) fn set_payload(&mut self, payload: Option<Arc<Payload>>) {
        self.0.payload = payload;
    }

    pub(crate) fn set_reason(&mut self, reason: Option<String>, domain: Option<String>) {
        self.0.reason = reason.map(Cow::Owned);
        self.0.domain = domain.map(Cow::Owned);
    }

    pub(crate) fn set_hops(&mut self, hops: Vec<Hop>) {
        self.0.hops = hops;
    }

    pub(crate) fn set_retry_after(&mut self, delay: Option<Duration>) {
        self.0.retry_after = delay;
    }

    pub(crate) fn set_request_id(&mut self, id: RequestId) {
        self.0.request_id = Some(id);
    }

    pub(crate) fn metadata_mut(&mut self) -> &mut Metadata {
        &mut self.0.metadata
    }

    pub(crate) fn push_violation(&mut self, field: String, description: String) {
        self.0
            .violations
            .push(FieldViolation { field, description });
    }

    pub(crate) fn push_detail(&mut self, detail: Detail) {
        self.0.details.push(detail);
    }

    pub(crate) fn private_source(&self) -> Option<&(dyn StdError + Send + Sync + 'static)> {
        self.0.source.as_deref()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0
            .source
            .as_ref()
            .map(|source| &**source as &(dyn StdError + 'static))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code, EscapeControl(&self.0.message))?;
        if f.alternate() {
            self.write_chain(f)
        } else {
            Ok(())
        }
    }
}

/// As `{:#}`, since `fn main() -> Result<()>` prints errors by `Debug`.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:#}")
    }
}

#[cfg(test)]
mod tests;

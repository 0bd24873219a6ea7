//! The error of a call.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::code::Code;
use super::execution::Execution;
use super::hop::Hop;
use super::origin::Birth;
use super::payload::Payload;
use super::place;
use crate::metadata::{InvalidMetadata, Metadata};
use crate::request_id::RequestId;
use crate::text::{EscapeControl, truncate_str};

/// The result of a method, with [`Error`] as the default error type.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The maximum size of a message that is sent to a caller, in bytes. Longer messages are truncated.
pub const PUBLIC_MESSAGE_LIMIT: usize = 1024;

/// An error of a call: a [`Code`], a message, the line that created it, and the services that it
/// passed.
///
/// `Display` prints `code: message`. `{:#}` and `Debug` add the chain of hops, one per line.
///
/// For `internal`, `unknown` and `data_loss` the caller receives a general text in place of the
/// message, unless the error is [`public`](Self::public). The [`source`](Self::with_source) is
/// never sent.
///
/// An error knows who made it: this service, a service that it called, or its client. Untrusted
/// callers receive the message, the details and the metadata of its own errors only. In a handler,
/// `Display` of the error of a call writes what such a caller may read; `{:#}`, `Debug` and
/// [`message`](Self::message) are for operators.
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
pub struct Error(pub(super) Box<ErrorInner>);

#[derive(Clone)]
pub(super) struct ErrorInner {
    pub(super) code: Code,
    pub(super) message: Cow<'static, str>,
    pub(super) public: bool,
    pub(super) birth: Birth,
    /// Whether this is the failure of a dependency, from the service that passed it on.
    pub(super) passed_on: bool,
    /// Whether the failed call was executed.
    pub(super) execution: Execution,
    /// Whether no client should retry the call, see [`Error::retries_exhausted`].
    pub(super) retries_exhausted: bool,
    pub(super) location: Option<&'static Location<'static>>,
    /// The location in the process that created the error, if a store of results has kept it.
    pub(super) stored_location: Option<Box<(String, u32)>>,
    /// The full name of the method whose call failed in this process, without a response of a
    /// service.
    pub(super) failed_call: Option<&'static str>,
    /// The HTTP status of a response that is not of the protocol.
    pub(super) http_status: Option<u16>,
    pub(super) request_id: Option<RequestId>,
    pub(super) hops: Vec<Hop>,
    pub(super) reason: Option<Cow<'static, str>>,
    pub(super) domain: Option<Cow<'static, str>>,
    pub(super) violations: Vec<FieldViolation>,
    pub(super) retry_after: Option<Duration>,
    pub(super) payload: Option<Arc<Payload>>,
    pub(super) details: Vec<Detail>,
    /// The part of the above that came with the response of a dependency.
    pub(super) received: Received,
    pub(super) metadata: Metadata,
    pub(super) source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// The parts of an error that came with the response of a dependency. They belong to the contract
/// of that dependency, so an untrusted caller of this service does not get them.
#[derive(Clone, Copy, Default)]
pub(super) struct Received {
    /// Whether the reason and its domain were received.
    pub(super) reason: bool,
    /// Whether the payload was received.
    pub(super) payload: bool,
    /// The number of violations; they precede those that were added here.
    pub(super) violations: usize,
    /// The number of details; they precede those that were added here.
    pub(super) details: usize,
    /// The number of entries of metadata; they precede those that were added here.
    pub(super) metadata: usize,
}

impl Received {
    /// All parts of the error.
    pub(super) const ALL: Self = Self {
        reason: true,
        payload: true,
        violations: usize::MAX,
        details: usize::MAX,
        metadata: usize::MAX,
    };

    /// Returns what the error contains now.
    pub(super) fn of(error: &Error) -> Self {
        Self {
            reason: true,
            payload: true,
            violations: error.0.violations.len(),
            details: error.0.details.len(),
            metadata: error.0.metadata.len(),
        }
    }
}

/// A problem with one argument: an entry of `google.rpc.BadRequest`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FieldViolation {
    /// The path of the invalid value, such as `records[3].level`.
    pub field: String,
    /// The description of the problem.
    pub description: String,
}

/// An error detail: a protobuf message of any type. A caller receives those that a handler attaches
/// as they are and in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Detail {
    /// The full name of the protobuf message, without a URL prefix.
    pub type_name: String,
    /// The encoded message.
    pub value: Bytes,
}

impl Detail {
    /// Creates a detail from the full name of a protobuf message, such as `google.rpc.Help`, and
    /// its encoding.
    pub fn new(type_name: impl Into<String>, value: impl Into<Bytes>) -> Self {
        Self {
            type_name: type_name.into(),
            value: value.into(),
        }
    }
}

/// Creating errors.
impl Error {
    /// Creates an error. Its location is the line of the caller.
    #[track_caller]
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        let mut error = Self::without_location(code, message);
        error.0.location = Some(Location::caller());
        error
    }

    /// Creates an error without a location: a line of the runtime would not help the reader.
    pub(crate) fn without_location(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(ErrorInner {
            code,
            message: message.into(),
            public: !code.is_internal_kind(),
            birth: Birth::default(),
            passed_on: false,
            execution: Execution::Unknown,
            retries_exhausted: false,
            location: None,
            stored_location: None,
            failed_call: None,
            http_status: None,
            request_id: None,
            hops: Vec::new(),
            reason: None,
            domain: None,
            violations: Vec::new(),
            retry_after: None,
            payload: None,
            details: Vec::new(),
            received: Received::default(),
            metadata: Metadata::new(),
            source: None,
        }))
    }

    /// Returns a new error with the same code and a message that starts with the option or setting
    /// that caused it. Everything else of this error is dropped.
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

    /// Allows the message and the details of an `internal`, `unknown` or `data_loss` error to be
    /// sent to callers.
    #[must_use]
    pub fn public(mut self) -> Self {
        self.0.public = true;
        self
    }

    /// Sets the cause. It is logged and never sent.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(Arc::from(source.into()));
        self
    }

    /// Sets the machine-readable reason: `google.rpc.ErrorInfo.reason`, in `SCREAMING_SNAKE_CASE`.
    #[must_use]
    pub fn with_reason(mut self, reason: impl Into<Cow<'static, str>>) -> Self {
        self.0.reason = Some(reason.into());
        if std::mem::take(&mut self.0.received.reason) {
            // That of the reason that was received.
            self.0.domain = None;
        }
        self
    }

    /// Adds an invalid argument and its problem: an entry of `google.rpc.BadRequest`.
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

    /// Sets the delay after which callers may retry: `google.rpc.RetryInfo`.
    #[must_use]
    pub fn with_retry_after(mut self, delay: Duration) -> Self {
        self.0.retry_after = Some(delay);
        self
    }

    /// Adds a detail, which callers receive as it is. Callers of an `internal`, `unknown` or
    /// `data_loss` error receive details only if its message is [`public`](Self::public).
    #[must_use]
    pub fn with_detail(mut self, detail: Detail) -> Self {
        self.0.details.push(detail);
        self
    }

    /// Adds metadata, which a caller reads with [`metadata`](Self::metadata).
    ///
    /// Invalid metadata (see [`Metadata::append`]) is dropped with a warning in the log: a second
    /// error would hide this one.
    #[must_use]
    pub fn with_metadata(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<String>,
    ) -> Self {
        let added = self.0.metadata.append(name, value);
        self.warn_if_invalid(added)
    }

    /// Adds metadata with bytes, under a name that ends in `-bin`. A caller reads it with
    /// [`Metadata::get_bin`].
    ///
    /// Invalid metadata is dropped, as by [`with_metadata`](Self::with_metadata).
    #[must_use]
    pub fn with_metadata_bin(mut self, name: impl Into<Cow<'static, str>>, value: &[u8]) -> Self {
        let added = self.0.metadata.append_bin(name, value);
        self.warn_if_invalid(added)
    }

    fn warn_if_invalid(self, added: Result<(), InvalidMetadata>) -> Self {
        if let Err(invalid) = added {
            tracing::warn!(target: "rpc", %invalid, "dropped invalid metadata of an error");
        }
        self
    }
}

/// Reading errors.
impl Error {
    /// Returns the code. For an error of a dependency this is the code that the dependency sent.
    #[must_use]
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// Returns the message for the operators of the service.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Returns the message that callers receive, at most [`PUBLIC_MESSAGE_LIMIT`] bytes.
    ///
    /// For an error of a dependency or a client this is a general text, such as `a service behind
    /// this one is unavailable`.
    #[must_use]
    pub fn public_message(&self) -> &str {
        if self.is_foreign() {
            self.text_about_foreign()
        } else {
            self.trusted_message()
        }
    }

    /// Returns the message for trusted callers that ask for the chain.
    pub(super) fn trusted_message(&self) -> &str {
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

    /// Returns the services that the error passed, the nearest first. The last one is its origin.
    ///
    /// Empty for an error that was created in this process.
    #[must_use]
    pub fn hops(&self) -> &[Hop] {
        &self.0.hops
    }

    /// Returns the line of this process that created the error, or the `?` that passed it on.
    /// `None` if it is one of the standard library, as after `map_err(Error::from)`.
    #[must_use]
    pub fn location(&self) -> Option<&'static Location<'static>> {
        self.0.location.and_then(place::known)
    }

    /// Returns the ID of the failed request, if it is known.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_ref().map(RequestId::as_str)
    }

    /// Returns the machine-readable reason, in `SCREAMING_SNAKE_CASE`.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.0.reason.as_deref()
    }

    /// Returns the service that defines the [`reason`](Self::reason).
    #[must_use]
    pub fn domain(&self) -> Option<&str> {
        self.0.domain.as_deref()
    }

    /// Returns the invalid arguments and their problems.
    #[must_use]
    pub fn violations(&self) -> &[FieldViolation] {
        &self.0.violations
    }

    /// Returns the delay that the server requests before a retry.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Returns the details of types that this crate does not decode.
    #[must_use]
    pub fn details(&self) -> &[Detail] {
        &self.0.details
    }

    /// Returns the metadata that was sent with the error.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.0.metadata
    }
}

/// Access of the runtime to the parts of an error.
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

/// In a handler, the error of a call has no `source`: its text is for operators, who get it from
/// `{:#}`.
impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        let shown = self.0.source.as_ref();
        shown
            .filter(|_| !self.displays_public_text())
            .map(|source| &**source as &(dyn StdError + 'static))
    }
}

/// `invalid_argument`, as for a call with such a header.
impl From<InvalidMetadata> for Error {
    #[track_caller]
    fn from(invalid: InvalidMetadata) -> Self {
        Self::new(Code::InvalidArgument, invalid.to_string())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.displays_public_text() && !f.alternate() {
            return write!(f, "{}: {}", self.public_code(), self.text_about_foreign());
        }
        write!(f, "{}: {}", self.0.code, EscapeControl(&self.0.message))?;
        if f.alternate() {
            self.write_chain(f)
        } else {
            Ok(())
        }
    }
}

/// Prints as `{:#}`, because `fn main() -> Result<()>` prints errors with `Debug`.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:#}")
    }
}

//! Headers and trailers of the response, as a handler sets them.

use std::borrow::Cow;
use std::sync::Mutex;

use crate::error::{Code, Error};
use crate::metadata::Metadata;
use crate::sync::MutexExt as _;

/// Headers and trailers. Boxed, because most calls set none.
pub(super) type Parts = Option<Box<(Metadata, Metadata)>>;

/// The metadata of the response to the current call.
///
/// ```
/// use rpc_runtime::{Context, Result};
///
/// async fn handler() -> Result<u32> {
///     let context = Context::current();
///     context.response().header("x-cache", "hit")?;
///     context.response().trailer_bin("x-digest-bin", &[0, 255])?;
///     Ok(3)
/// }
/// ```
#[derive(Debug)]
pub struct ResponseMetadata<'a>(Option<&'a Mutex<Parts>>);

impl<'a> ResponseMetadata<'a> {
    pub(super) fn new(parts: Option<&'a Mutex<Parts>>) -> Self {
        Self(parts)
    }

    /// Adds a header to the response.
    ///
    /// # Errors
    ///
    /// `internal` for invalid metadata, see [`Metadata::append`], and outside a call.
    pub fn header(
        &self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<String>,
    ) -> Result<(), Error> {
        self.edit(|parts| parts.0.append(name, value))
    }

    /// Adds a header with bytes, under a name that ends in `-bin`.
    ///
    /// # Errors
    ///
    /// `internal` for an invalid name, see [`Metadata::append_bin`], and outside a call.
    pub fn header_bin(
        &self,
        name: impl Into<Cow<'static, str>>,
        value: &[u8],
    ) -> Result<(), Error> {
        self.edit(|parts| parts.0.append_bin(name, value))
    }

    /// Adds a trailer, which is sent after the message.
    ///
    /// # Errors
    ///
    /// See [`header`](Self::header).
    pub fn trailer(
        &self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<String>,
    ) -> Result<(), Error> {
        self.edit(|parts| parts.1.append(name, value))
    }

    /// Adds a trailer with bytes, under a name that ends in `-bin`.
    ///
    /// # Errors
    ///
    /// See [`header_bin`](Self::header_bin).
    pub fn trailer_bin(
        &self,
        name: impl Into<Cow<'static, str>>,
        value: &[u8],
    ) -> Result<(), Error> {
        self.edit(|parts| parts.1.append_bin(name, value))
    }

    fn edit<E: std::error::Error + Send + Sync + 'static>(
        &self,
        change: impl FnOnce(&mut (Metadata, Metadata)) -> Result<(), E>,
    ) -> Result<(), Error> {
        let Some(parts) = self.0 else {
            return Err(Error::without_location(
                Code::Internal,
                "no current call: response metadata can be set only in a handler or within its `Context::scope`",
            ));
        };
        let mut parts = parts.lock_unpoisoned();
        change(parts.get_or_insert_default()).map_err(|invalid| {
            Error::without_location(Code::Internal, invalid.to_string()).with_source(invalid)
        })
    }
}

pub(super) fn take(parts: &Mutex<Parts>) -> (Metadata, Metadata) {
    let parts = parts.lock_unpoisoned().take();
    parts.map(|parts| *parts).unwrap_or_default()
}

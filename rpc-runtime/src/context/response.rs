//! Headers and trailers of the answer, as a handler sets them.

use std::borrow::Cow;
use std::sync::Mutex;

use crate::error::{Code, Error};
use crate::metadata::Metadata;
use crate::sync::MutexExt as _;

/// Headers and trailers. Boxed, because most calls set none.
pub(super) type Parts = Option<Box<(Metadata, Metadata)>>;

/// The metadata of the answer to the call that runs here.
///
/// ```
/// use rpc_runtime::{Context, Result};
///
/// async fn handler() -> Result<u32> {
///     Context::current().response().header("x-cache", "hit")?;
///     Ok(3)
/// }
/// ```
#[derive(Debug)]
pub struct ResponseMetadata<'a>(Option<&'a Mutex<Parts>>);

impl<'a> ResponseMetadata<'a> {
    pub(super) fn new(parts: Option<&'a Mutex<Parts>>) -> Self {
        Self(parts)
    }

    /// Adds a header to the answer.
    ///
    /// # Errors
    ///
    /// `internal` for what cannot travel, see [`Metadata::append`], and outside a call.
    pub fn header(
        &self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<String>,
    ) -> Result<(), Error> {
        self.edit(|parts| parts.0.append(name, value))
    }

    /// Adds metadata that goes out behind the message.
    ///
    /// # Errors
    ///
    /// As [`header`](Self::header).
    pub fn trailer(
        &self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<String>,
    ) -> Result<(), Error> {
        self.edit(|parts| parts.1.append(name, value))
    }

    fn edit<E: std::error::Error + Send + Sync + 'static>(
        &self,
        change: impl FnOnce(&mut (Metadata, Metadata)) -> Result<(), E>,
    ) -> Result<(), Error> {
        let Some(parts) = self.0 else {
            return Err(Error::without_location(
                Code::Internal,
                "there is no call here whose answer could get metadata; see Context::scope",
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

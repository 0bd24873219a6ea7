//! The common parts of all request heads.

use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName};

use crate::compression::Encoding;
use crate::error::{Code, Error};

pub(super) static PROTOCOL_VERSION: HeaderName =
    HeaderName::from_static("connect-protocol-version");

/// The parts of the head of a request that concern the protocol.
#[derive(Debug)]
pub(crate) struct RequestHead {
    /// The content encoding of the message.
    pub(crate) encoding: Encoding,
    /// The message, if it is in the query of a `GET`.
    pub(crate) message: Option<Bytes>,
    /// The timeout that the caller has set.
    pub(crate) timeout: Option<Duration>,
}

/// Checks the version of the protocol, which may be left out.
pub(super) fn check_version(headers: &HeaderMap) -> Result<(), Error> {
    let mut versions = headers.get_all(&PROTOCOL_VERSION).iter();
    match (versions.next(), versions.next()) {
        (None, _) => Ok(()),
        (Some(version), None) if version == "1" => Ok(()),
        _ => Err(Error::without_location(
            Code::InvalidArgument,
            "the header connect-protocol-version must be 1 and occur once",
        )),
    }
}

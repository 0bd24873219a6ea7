//! Reads what a successful response and an error have in common.

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderMap, LOCATION};

use super::content::read_encoding;
use crate::compression::{self, DecompressError};
use crate::error::{Code, Error, PUBLIC_MESSAGE_LIMIT};
use crate::protocol::{metadata, printable};

/// The maximum length of received text in a message, in bytes.
const QUOTED: usize = 128;

/// The maximum size of a page after decompression, in bytes. Only its start is quoted.
const PAGE_LIMIT: usize = 4 << 20;

/// Adds the leading and the trailing metadata of the response to an error.
pub(super) fn with_metadata(mut error: Error, headers: &HeaderMap) -> Error {
    let (leading, trailing) = metadata::read_both(headers);
    error.metadata_mut().extend(leading);
    error.metadata_mut().extend(trailing);
    error
}

/// Decompresses a message of a server.
pub(super) fn read_encoded(headers: &HeaderMap, body: Bytes, limit: usize) -> Result<Bytes, Error> {
    let encoding = read_encoding(headers).map_err(|name| {
        let name = printable(name, QUOTED);
        Error::without_location(
            Code::Internal,
            format!("the response has the unsupported compression {name}"),
        )
    })?;
    compression::decompress(body, encoding, limit).map_err(|problem| match problem {
        DecompressError::TooLarge => Error::without_location(
            Code::ResourceExhausted,
            format!("the response exceeds the client's limit of {limit} bytes"),
        ),
        DecompressError::Invalid(error) => Error::without_location(
            Code::Internal,
            format!("the response is not valid gzip: {error}"),
        ),
    })
}

/// Describes a response that is not one of the protocol. Quotes the body, because the text of a
/// proxy is often the only hint at the cause, and the target of a redirect.
pub(super) fn describe_non_rpc_response(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
) -> String {
    let kind = headers.get(CONTENT_TYPE).map_or_else(String::new, |kind| {
        format!(" ({})", printable(kind.as_bytes(), QUOTED))
    });
    let target = headers.get(LOCATION).map_or_else(String::new, |target| {
        // The query of a login page may be secret.
        let target = target.as_bytes().split(|b| *b == b'?').next();
        format!(" to {}", printable(target.unwrap_or_default(), QUOTED))
    });
    if body.is_empty() {
        return format!("HTTP {status}{target}{kind} without a body");
    }
    // A page may be compressed. One that cannot be decompressed is quoted as it is.
    let body = read_encoded(headers, Bytes::copy_from_slice(body), PAGE_LIMIT)
        .unwrap_or_else(|_| Bytes::copy_from_slice(body));
    // Leaves space for the status and the content type within the limit of a public message.
    let snippet = printable(&body, PUBLIC_MESSAGE_LIMIT - 4 * QUOTED);
    format!("HTTP {status}{target}{kind}: {snippet}")
}

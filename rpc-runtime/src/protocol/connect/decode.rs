//! Reads what a successful response and an error have in common.

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderMap, LOCATION};

use super::content::read_encoding;
use crate::compression::{self, DecompressError, Encoding};
use crate::error::{Code, Error, PUBLIC_MESSAGE_LIMIT};
use crate::protocol::{QUOTED, metadata, printable};

/// The maximum length of the start of a page in a message, in bytes. Leaves space for the status
/// and the content type within the limit of a public message.
const SNIPPET: usize = PUBLIC_MESSAGE_LIMIT - 4 * QUOTED;

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
    let may_take = |_| true;
    compression::decompress(body, encoding, limit, may_take).map_err(|problem| match problem {
        DecompressError::TooLarge | DecompressError::NoMemory => Error::without_location(
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
        format!(" to {}", printable(&public_part(target.as_bytes()), QUOTED))
    });
    if body.is_empty() {
        return format!("HTTP {status}{target}{kind} without a body");
    }
    match page_start(headers, body) {
        Some(start) => {
            let snippet = printable(&start, SNIPPET);
            format!("HTTP {status}{target}{kind}: {snippet}")
        }
        None => format!(
            "HTTP {status}{target}{kind} with a body of {} bytes that is not text",
            body.len()
        ),
    }
}

/// Returns the part of the target of a redirect that can be shown. Credentials, the query of a
/// login page, a fragment with a token and the session behind a semicolon may be secret.
fn public_part(target: &[u8]) -> Vec<u8> {
    let end = target.iter().position(|b| matches!(b, b'?' | b'#' | b';'));
    let target = &target[..end.unwrap_or(target.len())];
    match target.iter().rposition(|b| *b == b'@') {
        // A password may contain a slash.
        Some(at) => [b"...", &target[at..]].concat(),
        None => target.to_vec(),
    }
}

/// Returns the start of a page, decompressed. `None` if it is not text.
fn page_start(headers: &HeaderMap, body: &[u8]) -> Option<Vec<u8>> {
    let is_gzip = read_encoding(headers) == Ok(Encoding::Gzip);
    let inflated = if is_gzip {
        // One byte more than is shown tells that there is more.
        compression::decompress_start(body, SNIPPET + 1)
    } else {
        Vec::new()
    };
    let start = if inflated.is_empty() {
        &body[..body.len().min(SNIPPET + 1)]
    } else {
        &inflated
    };
    is_text(start).then(|| start.to_vec())
}

/// Returns whether most bytes are text. A page in another charset than UTF-8 has a few others.
fn is_text(start: &[u8]) -> bool {
    let (mut all, mut other) = (0_usize, 0_usize);
    for c in String::from_utf8_lossy(start).chars() {
        all += 1;
        let is_other = c == char::REPLACEMENT_CHARACTER || (c.is_control() && !c.is_whitespace());
        other += usize::from(is_other);
    }
    other <= 2 || other * 8 <= all
}

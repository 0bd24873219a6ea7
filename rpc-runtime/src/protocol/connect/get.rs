//! The query of a `GET` request, by which methods without side effects can be called.

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};

use super::rejection::{CallRejection, RejectionFormat};
use crate::codec::base64::{self, Engine as _};
use crate::compression::{Encoding, SUPPORTED};
use crate::error::{Code, Error};

/// The maximum length of the target of a request that is sent by `GET`, which is the path and the
/// query, in bytes. Proxies and servers accept URLs of 8 KiB.
const MAX_TARGET: usize = 4 << 10;

/// The characters that are not escaped.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// The parameters of the query, in any order. Other parameters are ignored.
#[derive(Default)]
struct GetQuery {
    connect: Option<Vec<u8>>,
    encoding: Option<Vec<u8>>,
    message: Option<Vec<u8>>,
    base64: Option<Vec<u8>>,
    compression: Option<Vec<u8>>,
}

/// Reads the message of a `GET` request and its encoding.
pub(super) fn read(query: &str) -> Result<(Bytes, Encoding), CallRejection> {
    let query = GetQuery::parse(query)?;
    // As for the content type of a POST, an unsupported codec takes precedence over errors in the
    // message.
    if query.encoding.as_deref() != Some(b"json") {
        return Err(CallRejection::media_type(
            "the query parameter `encoding` must be `json`",
        ));
    }
    if query.connect.is_some_and(|version| version != b"v1") {
        return Err(invalid_query("the query parameter `connect` must be `v1`"));
    }
    let encoding = match query.compression {
        None => Encoding::Identity,
        Some(name) => std::str::from_utf8(&name)
            .ok()
            .and_then(Encoding::parse)
            .ok_or_else(|| CallRejection::encoding(&name))?,
    };
    let message = query
        .message
        .ok_or_else(|| invalid_query("the query parameter `message` is missing"))?;
    let message = match query.base64.as_deref() {
        Some(b"1") => base64::URL_SAFE.decode(message).map_err(|error| {
            invalid_query(format!(
                "the query parameter `message` is not valid URL-safe base64: {}",
                base64::describe(&error)
            ))
        })?,
        _ => message,
    };
    Ok((message.into(), encoding))
}

/// Writes the query of a `GET` request whose path has `path` bytes. `None` if the target would be
/// too long.
pub(super) fn write(path: usize, message: &[u8], encoding: Encoding) -> Option<String> {
    use std::fmt::Write as _;
    // Escaped JSON is never shorter than the message.
    if message.len() > MAX_TARGET {
        return None;
    }
    let mut query = String::from("connect=v1");
    // Writing to a `String` cannot fail.
    let _ = match encoding {
        // Readable in the logs of proxies. Escapes all that is not unreserved in a URL.
        Encoding::Identity => write!(
            query,
            "&encoding=json&message={}",
            percent_encoding::percent_encode(message, UNRESERVED)
        ),
        Encoding::Gzip => write!(
            query,
            "&base64=1&compression={SUPPORTED}&encoding=json&message={}",
            base64::URL_SAFE.encode(message)
        ),
    };
    // With the question mark.
    (path + 1 + query.len() <= MAX_TARGET).then_some(query)
}

impl GetQuery {
    fn parse(text: &str) -> Result<Self, CallRejection> {
        let mut query = Self::default();
        for pair in text.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            // Names are escaped as values are. An invalid escape is not the name of a parameter.
            let Some(name) = percent_decode(name) else {
                continue;
            };
            let (name, slot) = match name.as_slice() {
                b"connect" => ("connect", &mut query.connect),
                b"encoding" => ("encoding", &mut query.encoding),
                b"message" => ("message", &mut query.message),
                b"base64" => ("base64", &mut query.base64),
                b"compression" => ("compression", &mut query.compression),
                _ => continue,
            };
            let value = percent_decode(value).ok_or_else(|| {
                invalid_query(format!(
                    "the query parameter `{name}` has an invalid percent escape"
                ))
            })?;
            if slot.replace(value).is_some() {
                return Err(invalid_query(format!(
                    "the query parameter `{name}` occurs twice"
                )));
            }
        }
        Ok(query)
    }
}

/// Decodes percent escapes and `+`. `None` for an incomplete escape, which [`percent_encoding`]
/// would keep as text.
fn percent_decode(text: &str) -> Option<Vec<u8>> {
    let complete = text.split('%').skip(1).all(|rest| {
        matches!(rest.as_bytes(), [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit())
    });
    complete.then(|| percent_encoding::percent_decode_str(&text.replace('+', " ")).collect())
}

/// Decodes a name or value of a query. `None` if it has an invalid escape, or is not UTF-8.
pub(crate) fn query_text(text: &str) -> Option<String> {
    String::from_utf8(percent_decode(text)?).ok()
}

fn invalid_query(message: impl Into<std::borrow::Cow<'static, str>>) -> CallRejection {
    CallRejection::new(
        Error::without_location(Code::InvalidArgument, message),
        RejectionFormat::Error,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::connect::content::JSON;

    #[test]
    fn parameters_can_be_in_any_order() {
        for (query, message) in [
            (
                "connect=v1&encoding=json&message=%7B%22n%22%3A3%7D",
                "{\"n\":3}",
            ),
            ("message=%7B%7d&utm=1&encoding=json", "{}"),
            ("base64=1&encoding=json&message=eyJuIjozfQ", "{\"n\":3}"),
            (
                "base64=1&encoding=json&message=eyJuIjozfQ%3D%3D",
                "{\"n\":3}",
            ),
            ("base64=0&encoding=json&message=a+b%2B", "a b+"),
            ("encoding=json&message=", ""),
            ("encoding=json&%6Dessage=%7B%7D", "{}"),
            ("%65ncodin%67=json&%6d%65ssage={}&%=1&%zz=2", "{}"),
            ("encoding=json&message={}&compression=identity", "{}"),
        ] {
            let (bytes, encoding) = read(query).unwrap_or_else(|_| panic!("{query}"));
            assert_eq!(
                (&bytes[..], encoding),
                (message.as_bytes(), Encoding::Identity),
                "{query}"
            );
        }
        let (_, encoding) =
            read("encoding=json&message=&base64=1&compression=gzip").unwrap_or_else(|_| panic!());
        assert_eq!(encoding, Encoding::Gzip);
    }

    #[test]
    fn a_written_query_is_read() {
        for message in ["{}", "{\"a\":\"b c+d&e=f%g/?#\u{e9}\"}", ""] {
            for encoding in [Encoding::Identity, Encoding::Gzip] {
                let query = write(6, message.as_bytes(), encoding).unwrap();
                let (bytes, as_read) = read(&query).unwrap_or_else(|_| panic!("{query}"));
                assert_eq!((&bytes[..], as_read), (message.as_bytes(), encoding));
                http::uri::PathAndQuery::try_from(format!("/a.B/C?{query}")).unwrap();
            }
        }
        assert_eq!(
            write(6, b"{\"n\":3}", Encoding::Identity).unwrap(),
            "connect=v1&encoding=json&message=%7B%22n%22%3A3%7D"
        );
        assert_eq!(
            write(6, b"{\"n\":3}", Encoding::Gzip).unwrap(),
            "connect=v1&base64=1&compression=gzip&encoding=json&message=eyJuIjozfQ"
        );
    }

    #[test]
    fn a_long_message_has_no_query() {
        for (length, fits) in [(3000, true), (MAX_TARGET, false), (1 << 20, false)] {
            let message = vec![b'x'; length];
            assert_eq!(
                write(6, &message, Encoding::Identity).is_some(),
                fits,
                "{length}"
            );
        }
        // The path counts.
        let fixed = "connect=v1&encoding=json&message=".len() + 1;
        for path in [6, 40, 2000] {
            let longest = MAX_TARGET - fixed - path;
            for (length, fits) in [(longest, true), (longest + 1, false)] {
                let query = write(path, &vec![b'x'; length], Encoding::Identity);
                assert_eq!(query.is_some(), fits, "{path} {length}");
            }
        }
        // The escapes count.
        assert!(write(6, &[b'"'; 3000], Encoding::Identity).is_none());
    }

    #[test]
    fn each_error_has_its_format_and_code() {
        for (query, format, code) in [
            (
                "",
                RejectionFormat::MediaType { accept: JSON },
                Code::InvalidArgument,
            ),
            (
                "message={}",
                RejectionFormat::MediaType { accept: JSON },
                Code::InvalidArgument,
            ),
            (
                "encoding=proto&message={}",
                RejectionFormat::MediaType { accept: JSON },
                Code::InvalidArgument,
            ),
            (
                "encoding=json",
                RejectionFormat::Error,
                Code::InvalidArgument,
            ),
            (
                "connect=v2&encoding=json&message={}",
                RejectionFormat::Error,
                Code::InvalidArgument,
            ),
            (
                "encoding=json&message=%7",
                RejectionFormat::Error,
                Code::InvalidArgument,
            ),
            (
                "encoding=json&message=%zz",
                RejectionFormat::Error,
                Code::InvalidArgument,
            ),
            (
                "encoding=json&%6Dessage=a&message=b",
                RejectionFormat::Error,
                Code::InvalidArgument,
            ),
            (
                "encoding=json&message=%+1",
                RejectionFormat::Error,
                Code::InvalidArgument,
            ),
            (
                "encoding=json&message=a&message=b",
                RejectionFormat::Error,
                Code::InvalidArgument,
            ),
            (
                "encoding=json&base64=1&message=***",
                RejectionFormat::Error,
                Code::InvalidArgument,
            ),
            (
                "encoding=json&message=a&%6dessage=b",
                RejectionFormat::Error,
                Code::InvalidArgument,
            ),
            (
                "encoding=json&message=a&compression=br",
                RejectionFormat::Encoding,
                Code::Unimplemented,
            ),
        ] {
            let rejection = read(query).err().unwrap_or_else(|| panic!("{query}"));
            assert_eq!(
                (rejection.format, rejection.error.code()),
                (format, code),
                "{query}"
            );
        }
    }
}

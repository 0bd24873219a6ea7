//! The headers `content-type`, `content-encoding` and `accept-encoding`.

use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName};

use crate::compression::Encoding;

/// The content type of all messages that we send.
pub(super) const JSON: &str = "application/json";

/// The content type of streams of JSON messages.
pub(super) const STREAM_JSON: &str = "application/connect+json";

/// The compression of the messages of a stream, and those that its sender accepts.
pub(super) static STREAM_ENCODING: HeaderName = HeaderName::from_static("connect-content-encoding");
pub(super) static STREAM_ACCEPTS: HeaderName = HeaderName::from_static("connect-accept-encoding");

/// The kind of a content type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ContentType {
    /// A JSON message.
    Json,
    /// A stream of JSON messages.
    StreamJson,
    /// Another `application/connect+…` type: a stream of another codec.
    OtherStream,
    /// Another `application/…` type: another codec.
    OtherApplication,
    /// Any other type, or none.
    Other,
}

impl ContentType {
    /// Reads the header. Several headers are ambiguous and count as `Other`.
    pub(super) fn read(headers: &HeaderMap) -> Self {
        let mut values = headers.get_all(CONTENT_TYPE).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Self::Other;
        };
        // Fast path for the value that nearly all peers send.
        if value == JSON {
            return Self::Json;
        }
        value.to_str().map_or(Self::Other, Self::parse)
    }

    /// Parses a value, ignoring case. JSON with a charset other than UTF-8, or with any other
    /// parameter, is not `Json`. Parameters may be empty (RFC 9110, section 5.6.6).
    fn parse(value: &str) -> Self {
        let mut parts = value.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        let utf8 = |parameter: &str| {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            parameter.is_empty()
                || name.trim().eq_ignore_ascii_case("charset")
                    && value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        };
        let starts_with = |start: &str| {
            kind.get(..start.len())
                .is_some_and(|found| found.eq_ignore_ascii_case(start))
        };
        let is_plain = parts.all(utf8);
        if kind.eq_ignore_ascii_case(JSON) && is_plain {
            Self::Json
        } else if kind.eq_ignore_ascii_case(STREAM_JSON) && is_plain {
            Self::StreamJson
        } else if starts_with("application/connect+") {
            Self::OtherStream
        } else if starts_with("application/") {
            Self::OtherApplication
        } else {
            Self::Other
        }
    }
}

/// Reads `content-encoding`. The error is the value of an encoding that is not supported.
pub(super) fn read_encoding(headers: &HeaderMap) -> Result<Encoding, &[u8]> {
    read_encoding_of(headers, &CONTENT_ENCODING)
}

/// Reads the encoding in this header.
pub(super) fn read_encoding_of<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> Result<Encoding, &'h [u8]> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(Encoding::Identity);
    };
    // Several encodings would be nested. No client does that for a message except to hide its
    // content.
    match value.to_str().ok().and_then(Encoding::parse) {
        Some(encoding) if values.next().is_none() => Ok(encoding),
        _ => Err(value.as_bytes()),
    }
}

/// Returns whether the peer accepts a response in gzip.
pub(super) fn accepts_gzip(headers: &HeaderMap) -> bool {
    accepts_gzip_by(headers, &ACCEPT_ENCODING)
}

/// Returns whether the peer accepts gzip by this header.
pub(super) fn accepts_gzip_by(headers: &HeaderMap, name: &HeaderName) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|entry| {
            let mut parts = entry.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            // Connect clients send no weights, but browsers do. A weight of 0 excludes the
            // encoding.
            name.eq_ignore_ascii_case("gzip") && !parts.any(is_zero_weight)
        })
}

/// Returns whether a parameter is a weight of 0. The names of parameters ignore case.
fn is_zero_weight(parameter: &str) -> bool {
    let weight = parameter.split_once('=');
    weight.is_some_and(|(name, value)| {
        name.trim().eq_ignore_ascii_case("q")
            && value.trim().bytes().all(|b| matches!(b, b'0' | b'.'))
    })
}

#[cfg(test)]
mod tests {
    use http::header::HeaderValue;

    use super::*;

    fn headers(name: &HeaderName, values: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name.clone(), HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn content_types() {
        let table: [(&[&'static str], ContentType); 20] = [
            (&["application/json"], ContentType::Json),
            (&["Application/JSON"], ContentType::Json),
            (&["application/json; charset=utf-8"], ContentType::Json),
            (&["application/json;Charset=UTF-8"], ContentType::Json),
            (&["application/json;"], ContentType::Json),
            (&["application/json; ; charset=utf-8 ;"], ContentType::Json),
            (&["; application/json"], ContentType::Other),
            (&["application/json; charset=\"utf-8\""], ContentType::Json),
            (
                &["application/json; charset=latin1"],
                ContentType::OtherApplication,
            ),
            (
                &["application/json; boundary=x"],
                ContentType::OtherApplication,
            ),
            (&["application/connect+json"], ContentType::StreamJson),
            (&["Application/Connect+JSON;"], ContentType::StreamJson),
            (&["application/connect+json;a=b"], ContentType::OtherStream),
            (&["application/connect+proto"], ContentType::OtherStream),
            (&["application/proto"], ContentType::OtherApplication),
            (&["application/jsonp"], ContentType::OtherApplication),
            (&["text/plain"], ContentType::Other),
            (&["application"], ContentType::Other),
            (&[], ContentType::Other),
            (
                &["application/json", "application/json"],
                ContentType::Other,
            ),
        ];
        for (values, expected) in table {
            assert_eq!(
                ContentType::read(&headers(&CONTENT_TYPE, values)),
                expected,
                "{values:?}"
            );
        }
    }

    #[test]
    fn encodings() {
        let read = |values| read_encoding(&headers(&CONTENT_ENCODING, values)).ok();
        assert_eq!(read(&[]), Some(Encoding::Identity));
        assert_eq!(read(&["identity"]), Some(Encoding::Identity));
        assert_eq!(read(&["GZIP"]), Some(Encoding::Gzip));
        assert_eq!(read(&["foo"]), None);
        assert_eq!(read(&["gzip, gzip"]), None);
        assert_eq!(read(&["gzip", "gzip"]), None);
    }

    #[test]
    fn accepted_encodings() {
        let accepts = |values: &[&'static str]| accepts_gzip(&headers(&ACCEPT_ENCODING, values));
        for yes in [
            "gzip",
            "br, GZIP",
            "deflate, gzip;q=1.0, *;q=0.5",
            "gzip;q=0.1",
            "GZIP;Q=1",
            "gzip;level=0",
            "gzip;",
        ] {
            assert!(accepts(&[yes]), "{yes}");
        }
        for no in [
            "",
            "identity",
            "br",
            "gzip;q=0",
            "gzip; q=0.000",
            "gzip;Q=0",
            "gzip;level=9;q=0",
            "br, GZIP ; Q = 0.0",
            "xgzip",
            "*",
        ] {
            assert!(!accepts(&[no]), "{no}");
        }
        assert!(accepts(&["br", "gzip"]));
    }
}

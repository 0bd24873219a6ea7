//! The body of a request. The shop needs none, but a request whose body is broken is not the one
//! that its sender meant.

use std::io::{self, Read};
use std::time::Duration;

use flate2::bufread::{MultiGzDecoder, ZlibDecoder};
use futures_util::StreamExt as _;
use rpc_runtime::Code;
use rpc_runtime::axum::body::Body;
use rpc_runtime::axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use rpc_runtime::axum::http::{HeaderMap, StatusCode};
use serde::de::IgnoredAny;
use tokio::time::timeout;

use super::response::ErrorResponse;

/// Maximum size of a body, in bytes, also after each of its encodings is removed.
const MAX_BYTES: usize = 64 << 10;

/// Timeout for the end of a body, shorter than the time that a server has for the whole request.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Reads the body to its end, and ignores its content.
///
/// # Errors
///
/// A response for the caller: the body is not complete, does not end in time, is too large, does
/// not have the encoding that its headers promise, or is not the JSON that its content type
/// promises.
pub(super) async fn read(headers: &HeaderMap, body: Body) -> Result<(), ErrorResponse> {
    let mut chunks = body.into_data_stream();
    let mut bytes = Vec::new();
    let reading = async {
        while let Some(chunk) = chunks.next().await {
            bytes
                .extend(chunk.map_err(|_| broken("the request body is broken or ends too early"))?);
            if bytes.len() > MAX_BYTES {
                return Err(too_large());
            }
        }
        Ok(())
    };
    timeout(TIMEOUT, reading)
        .await
        .unwrap_or_else(|_| Err(broken("the request body did not end in time")))?;
    let bytes = decoded(headers, bytes)?;
    if is_json(headers) && !is_empty_or_json(&bytes) {
        return Err(broken("the request body is not valid JSON"));
    }
    Ok(())
}

fn too_large() -> ErrorResponse {
    let text = format!("the request body exceeds {MAX_BYTES} bytes; this route needs no body");
    ErrorResponse::new(StatusCode::PAYLOAD_TOO_LARGE, Code::ResourceExhausted, text)
}

fn broken(why: &str) -> ErrorResponse {
    ErrorResponse::invalid(format!("{why}; this route needs no body"))
}

/// An encoding of the header `content-encoding`.
#[derive(Debug, Clone, Copy)]
enum Encoding {
    Identity,
    Gzip,
    Deflate,
}

/// Removes the encodings of a body. A body without content has none.
fn decoded(headers: &HeaderMap, mut bytes: Vec<u8>) -> Result<Vec<u8>, ErrorResponse> {
    if bytes.is_empty() {
        return Ok(bytes);
    }
    // The last one was applied last.
    for encoding in encodings(headers)?.into_iter().rev() {
        let mut plain = Vec::new();
        let (name, outcome) = match encoding {
            Encoding::Identity => continue,
            Encoding::Gzip => ("gzip", read_whole(MultiGzDecoder::new(&*bytes), &mut plain)),
            Encoding::Deflate => ("deflate", {
                let mut decoder = ZlibDecoder::new(&*bytes);
                let outcome = read_whole(&mut decoder, &mut plain);
                let is_whole = plain.len() > MAX_BYTES || decoder.get_ref().is_empty();
                outcome.and(if is_whole {
                    Ok(())
                } else {
                    Err(io::ErrorKind::InvalidData.into())
                })
            }),
        };
        if outcome.is_err() {
            return Err(broken(&format!("the request body is not valid {name}")));
        }
        if plain.len() > MAX_BYTES {
            return Err(too_large());
        }
        bytes = plain;
    }
    Ok(bytes)
}

/// Reads to the end, or to one byte more than a body may have.
fn read_whole(decoder: impl Read, plain: &mut Vec<u8>) -> io::Result<()> {
    let limit = MAX_BYTES as u64 + 1;
    decoder.take(limit).read_to_end(plain).map(drop)
}

fn encodings(headers: &HeaderMap) -> Result<Vec<Encoding>, ErrorResponse> {
    let mut encodings = Vec::new();
    for value in headers.get_all(CONTENT_ENCODING) {
        let value = String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
        for name in value.split(',').map(str::trim) {
            encodings.push(match name {
                "" | "identity" => Encoding::Identity,
                "gzip" | "x-gzip" => Encoding::Gzip,
                "deflate" => Encoding::Deflate,
                _ => {
                    let text = "unknown Content-Encoding, expected `gzip`, `deflate` or `identity`; this route needs no body";
                    let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
                    return Err(ErrorResponse::new(status, Code::InvalidArgument, text));
                }
            });
        }
    }
    Ok(encodings)
}

/// Returns whether a content type is `application/json`, or ends in `+json`. A proxy may have
/// joined several of them with commas.
fn is_json(headers: &HeaderMap) -> bool {
    headers.get_all(CONTENT_TYPE).iter().any(|value| {
        let value = String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
        value.split(',').any(|value| {
            let kind = value.split(';').next().unwrap_or_default().trim();
            kind == "application/json" || kind.ends_with("+json")
        })
    })
}

fn is_empty_or_json(bytes: &[u8]) -> bool {
    bytes.is_empty()
        || (serde_json::from_slice::<IgnoredAny>(bytes).is_ok()
            && str::from_utf8(bytes).is_ok_and(are_strings_text))
}

/// Returns whether each string of a text with the grammar of JSON is a text, without halves of
/// surrogate pairs. [`IgnoredAny`] does not check strings; it accepts any depth, and so does this.
fn are_strings_text(json: &str) -> bool {
    let mut rest = json;
    while let Some(start) = rest.find('"') {
        rest = &rest[start..];
        let mut strings = serde_json::Deserializer::from_str(rest).into_iter::<String>();
        let Some(Ok(_)) = strings.next() else {
            return false;
        };
        rest = &rest[strings.byte_offset()..];
    }
    true
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::io;

    use futures_util::stream;
    use rpc_runtime::axum::http::HeaderValue;

    use super::*;

    async fn refused(headers: &HeaderMap, body: Body) -> String {
        let refused = read(headers, body).await.unwrap_err();
        refused.text().to_owned()
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_must_end_in_time() {
        let started = tokio::time::Instant::now();
        let text = refused(
            &HeaderMap::new(),
            Body::from_stream(stream::pending::<Result<Vec<u8>, Infallible>>()),
        )
        .await;
        assert!(
            text.starts_with("the request body did not end in time"),
            "{text}"
        );
        assert_eq!(started.elapsed(), TIMEOUT);
        let parts = [Ok(b"abc".to_vec()), Err(io::Error::other("reset"))];
        let text = refused(&HeaderMap::new(), Body::from_stream(stream::iter(parts))).await;
        assert!(text.starts_with("the request body is broken"), "{text}");
    }

    #[tokio::test]
    async fn only_what_is_called_json_must_be_json() {
        for (kind, is_json) in [
            ("application/json", true),
            ("Application/JSON ; charset=utf-8", true),
            ("application/problem+json", true),
            ("application/jsonp", false),
            ("text/plain", false),
            ("application/x-www-form-urlencoded", false),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]);
            assert_eq!(
                read(&headers, Body::from("{")).await.is_err(),
                is_json,
                "{kind}"
            );
            for body in ["", "{}", "null", " [1] "] {
                assert!(
                    read(&headers, Body::from(body)).await.is_ok(),
                    "{kind} {body}"
                );
            }
        }
    }

    #[tokio::test]
    async fn strings_of_json_must_be_text() {
        let headers =
            HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        for body in [
            &b"{\"a\":\"\xff\"}"[..],
            b"{\"\xc3\":1}",
            b"\"\xed\xa0\x80\"",
            br#"{"a":"\ud800"}"#,
            br#"{"a":"x","\udc00":1}"#,
            br#"["\\","\"",[["\ud83dx"]]]"#,
            b"\xef\xbb\xbf{}",
        ] {
            let text = refused(&headers, Body::from(body)).await;
            assert!(text.starts_with("the request body is not valid JSON"));
        }
        let deep = format!("{}\"\\n\"{}", "[".repeat(1000), "]".repeat(1000));
        for body in [
            r#"{"a":"\ud83d\ude00 \" \\","ü":["\u0000",1e999]}"#,
            r#""" "#,
            &deep,
        ] {
            let outcome = read(&headers, Body::from(body.to_owned())).await;
            assert!(outcome.is_ok(), "{body}");
        }
    }

    #[tokio::test]
    async fn each_content_type_counts() {
        for (kinds, is_json) in [
            (&[&b"text/plain"[..], b"application/json"][..], true),
            (&[b"application/json", b"text/plain"], true),
            (&[b"text/plain, application/a+json; a=b"], true),
            (&[b"application/json; name=\xe4"], true),
            (&[b"text/plain", b"text/html; a=application/json"], false),
        ] {
            let mut headers = HeaderMap::new();
            for kind in kinds {
                headers.append(CONTENT_TYPE, HeaderValue::from_bytes(kind).unwrap());
            }
            let outcome = read(&headers, Body::from("{")).await;
            assert_eq!(outcome.is_err(), is_json, "{kinds:?}");
        }
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        io::Write::write_all(&mut encoder, text).unwrap();
        encoder.finish().unwrap()
    }

    fn deflate(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        io::Write::write_all(&mut encoder, text).unwrap();
        encoder.finish().unwrap()
    }

    /// Returns the error of a body with these encodings that is called JSON.
    async fn outcome(encodings: &[&str], body: Vec<u8>) -> Result<(), String> {
        let mut headers =
            HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        for encoding in encodings {
            headers.append(CONTENT_ENCODING, HeaderValue::from_str(encoding).unwrap());
        }
        let outcome = read(&headers, Body::from(body)).await;
        outcome.map_err(|refused| refused.text().to_owned())
    }

    #[tokio::test]
    async fn a_body_must_have_its_encoding() {
        let zipped = gzip(b"{}");
        let members = [gzip(b"{"), gzip(b"}")].concat();
        for (encodings, body) in [
            (&[][..], b"{}".to_vec()),
            (&["identity"], b"{}".to_vec()),
            (&["gzip"], Vec::new()),
            (&["gzip"], zipped.clone()),
            (&["X-GZip"], members),
            (&["deflate"], deflate(b"{}")),
            (&["deflate, gzip"], gzip(&deflate(b"{}"))),
            (&["deflate", "", "identity, gzip"], gzip(&deflate(b"{}"))),
        ] {
            assert_eq!(outcome(encodings, body).await, Ok(()), "{encodings:?}");
        }
        let cut = zipped[..zipped.len() - 1].to_vec();
        let mut wrong_sum = zipped.clone();
        let sum = wrong_sum.len() - 8;
        wrong_sum[sum] ^= 1;
        for (encodings, body, expected) in [
            (&["gzip"][..], b"ab".to_vec(), "not valid gzip"),
            (&["gzip"], b"{}".to_vec(), "not valid gzip"),
            (&["gzip"], cut, "not valid gzip"),
            (&["gzip"], wrong_sum, "not valid gzip"),
            (&["gzip"], [&*zipped, b"junk"].concat(), "not valid gzip"),
            (&["gzip"], deflate(b"{}"), "not valid gzip"),
            (&["gzip"], gzip(b"{"), "not valid JSON"),
            (&["gzip, gzip"], zipped.clone(), "not valid gzip"),
            (&["deflate"], zipped.clone(), "not valid deflate"),
            (
                &["deflate"],
                [deflate(b"{}"), b"junk".to_vec()].concat(),
                "not valid deflate",
            ),
            (
                &["gzip", "deflate"],
                gzip(&deflate(b"{}")),
                "not valid deflate",
            ),
            (&["identity"], zipped.clone(), "not valid JSON"),
            (&["br"], b"ab".to_vec(), "unknown Content-Encoding"),
            (&["gzip, zstd"], zipped, "unknown Content-Encoding"),
            (&["gzip"], gzip(&vec![b' '; MAX_BYTES + 1]), "exceeds"),
            (&["deflate"], deflate(&vec![b' '; 8 << 20]), "exceeds"),
        ] {
            let text = outcome(encodings, body).await.unwrap_err();
            assert!(text.contains(expected), "{encodings:?} {expected}: {text}");
        }
    }
}

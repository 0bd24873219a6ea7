//! The body of a request. The shop needs none, but a request whose body is broken is not the one
//! that its sender meant.

use std::time::Duration;

use futures_util::StreamExt as _;
use rpc_runtime::Code;
use rpc_runtime::axum::body::Body;
use rpc_runtime::axum::http::header::CONTENT_TYPE;
use rpc_runtime::axum::http::{HeaderMap, StatusCode};
use serde::de::IgnoredAny;
use tokio::time::timeout;

use super::response::ErrorResponse;

/// Maximum size of a body, in bytes.
const MAX_BYTES: usize = 64 << 10;

/// Timeout for the end of a body, shorter than the time that a server has for the whole request.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Reads the body to its end, and ignores its content.
///
/// # Errors
///
/// A response for the caller: the body is not complete, does not end in time, is too large, or is
/// not the JSON that its content type promises.
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
}

//! Error responses of other servers and of proxies.

use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};

use super::super::*;
use super::{headers, status};
use crate::compression;
use crate::error::{Code, PUBLIC_MESSAGE_LIMIT};

#[test]
fn errors_of_any_server_or_proxy_are_read() {
    let json = "application/json";
    // status, content type, body, expected code, expected message
    let table: [(u16, &str, &str, Code, &str); 32] = [
        (
            404,
            json,
            r#"{"code":"not_found","message":"no"}"#,
            Code::NotFound,
            "no",
        ),
        (
            200,
            json,
            r#"{"code":"not_found","message":"no"}"#,
            Code::NotFound,
            "no",
        ),
        (
            404,
            json,
            r#"{"error":"not found"}"#,
            Code::Unimplemented,
            r#"HTTP 404 Not Found (application/json): {"error":"not found"}"#,
        ),
        (
            400,
            json,
            "{}",
            Code::Internal,
            "HTTP 400 Bad Request (application/json): {}",
        ),
        (
            503,
            json,
            "null",
            Code::Unavailable,
            "HTTP 503 Service Unavailable (application/json): null",
        ),
        (
            404,
            json,
            r#"{"timestamp":1,"status":404,"path":"/x"}"#,
            Code::Unimplemented,
            r#"HTTP 404 Not Found (application/json): {"timestamp":1,"status":404,"path":"/x"}"#,
        ),
        (
            500,
            "application/problem+json",
            r#"{"title":"x","message":"m"}"#,
            Code::Unknown,
            r#"HTTP 500 Internal Server Error (application/problem+json): {"title":"x","message":"m"}"#,
        ),
        (
            403,
            json,
            r#"{"message":"","code":"nope"}"#,
            Code::PermissionDenied,
            r#"HTTP 403 Forbidden (application/json): {"message":"","code":"nope"}"#,
        ),
        (
            403,
            json,
            r#"{"message":"Forbidden"}"#,
            Code::PermissionDenied,
            "Forbidden",
        ),
        (
            503,
            json,
            r#"{"code":null,"message":"m"}"#,
            Code::Unavailable,
            "m",
        ),
        (
            401,
            json,
            r#"{"code":"whatever","message":"m"}"#,
            Code::Unauthenticated,
            "m",
        ),
        (
            403,
            json,
            r#"{"code":5,"message":"m"}"#,
            Code::PermissionDenied,
            r#"HTTP 403 Forbidden (application/json): {"code":5,"message":"m"}"#,
        ),
        (
            502,
            json,
            r#"{"message":"bad gateway","request_id":"x"}"#,
            Code::Unavailable,
            r#"HTTP 502 Bad Gateway (application/json): {"message":"bad gateway","request_id":"x"}"#,
        ),
        (
            404,
            json,
            r#"{"code":"E12","message":"m","status":404}"#,
            Code::Unimplemented,
            r#"HTTP 404 Not Found (application/json): {"code":"E12","message":"m","status":404}"#,
        ),
        (
            404,
            json,
            r#"{"code":"not_found","error":"no route"}"#,
            Code::NotFound,
            r#"HTTP 404 Not Found (application/json): {"code":"not_found","error":"no route"}"#,
        ),
        (
            404,
            json,
            r#"{"code":"not_found","message":"no user","path":"/x"}"#,
            Code::NotFound,
            "no user",
        ),
        (
            409,
            json,
            r#"{"code":"aborted","code":"not_found","message":"the last one"}"#,
            Code::NotFound,
            "the last one",
        ),
        (
            503,
            json,
            "\"text\"",
            Code::Unavailable,
            "HTTP 503 Service Unavailable (application/json): \"text\"",
        ),
        (
            403,
            "application/problem+json",
            r#"{"code":"not_found","message":"m","title":"t","detail":"d"}"#,
            Code::PermissionDenied,
            r#"HTTP 403 Forbidden (application/problem+json): {"code":"not_found","message":"m","title":"t","detail":"d"}"#,
        ),
        (
            429,
            json,
            r#"{"message":7,"more":{"a":[1]}}"#,
            Code::Unavailable,
            r#"HTTP 429 Too Many Requests (application/json): {"message":7,"more":{"a":[1]}}"#,
        ),
        (
            400,
            json,
            r#"{"code":"aborted","details":null}"#,
            Code::Aborted,
            r#"HTTP 400 Bad Request (application/json): {"code":"aborted","details":null}"#,
        ),
        (
            400,
            json,
            r#"{"code":"aborted","details":[1,{},{"type":"a"}]}"#,
            Code::Aborted,
            r#"HTTP 400 Bad Request (application/json): {"code":"aborted","details":[1,{},{"type":"a"}]}"#,
        ),
        (
            400,
            json,
            r#"{"code":"aborted","details":[{"type":"a","value":"*"}]}"#,
            Code::Aborted,
            r#"HTTP 400 Bad Request (application/json): {"code":"aborted","details":[{"type":"a","value":"*"}]}"#,
        ),
        (
            502,
            json,
            r#"{"code":"unavailable"}"#,
            Code::Unavailable,
            r#"HTTP 502 Bad Gateway (application/json): {"code":"unavailable"}"#,
        ),
        (
            400,
            json,
            r#"{"code":"invalid_argument","message":7}"#,
            Code::InvalidArgument,
            r#"HTTP 400 Bad Request (application/json): {"code":"invalid_argument","message":7}"#,
        ),
        (
            404,
            json,
            r#"{"code":"not_found","message":""}"#,
            Code::NotFound,
            r#"HTTP 404 Not Found (application/json): {"code":"not_found","message":""}"#,
        ),
        (
            404,
            json,
            "[]",
            Code::Unimplemented,
            "HTTP 404 Not Found (application/json): []",
        ),
        (
            500,
            json,
            "{",
            Code::Unknown,
            "HTTP 500 Internal Server Error (application/json): {",
        ),
        (
            502,
            "text/html",
            "<h1>\n",
            Code::Unavailable,
            "HTTP 502 Bad Gateway (text/html): <h1>\\n",
        ),
        (
            400,
            "text/plain",
            "",
            Code::Internal,
            "HTTP 400 Bad Request (text/plain) without a body",
        ),
        (
            418,
            "",
            "",
            Code::Unknown,
            "HTTP 418 I'm a teapot () without a body",
        ),
        (
            800,
            json,
            "",
            Code::Unknown,
            "HTTP 800 <unknown status code> (application/json) without a body",
        ),
    ];
    for (number, kind, body, code, message) in table {
        let error = read_error(
            status(number),
            &headers(&[("content-type", kind)]),
            body.as_bytes(),
        );
        assert_eq!(
            (error.code(), error.message()),
            (code, message),
            "{number} {body}"
        );
        assert!(error.details().is_empty(), "{body}");
    }
}

#[test]
fn an_error_with_broken_text_keeps_its_code() {
    // `JSON.stringify` of JavaScript before ES2019, a server with text in Latin-1, one that escapes
    // nothing, and one that begins with a byte order mark.
    for (body, message) in [
        (&br#"{"code":"not_found","message":"a\ud800b"}"#[..], "a\u{fffd}b"),
        (br#"{"code":"not_found","message":"\udc00\ud83d\ude00"}"#, "\u{fffd}\u{1f600}"),
        (b"{\"code\":\"not_found\",\"message\":\"caf\xe9\"}", "caf\u{fffd}"),
        (b"{\"code\":\"not_found\",\"message\":\"a\nb\"}", "a\nb"),
        (b"\xef\xbb\xbf{\"code\":\"not_found\",\"message\":\"m\"}", "m"),
        (br#"{"message":"m","code":"not_found","x":"\udead","\ud800":[]}"#, "m"),
        (
            br#"{"code":"not_found","message":"m","details":[{"type":"a.B","value":"AA","debug":"\ud800"}]}"#,
            "m",
        ),
    ] {
        let error = read_error(status(404), &headers(&[("content-type", "application/json")]), body);
        assert_eq!((error.code(), error.message()), (Code::NotFound, message));
        let details = body.windows(7).filter(|text| text == b"details").count();
        assert_eq!(error.details().len(), details);
    }
}

#[test]
fn an_error_without_code_has_its_response_as_cause() {
    for body in [
        r#"{"message":"no route"}"#,
        r#"{"code":"whatever","message":"no route"}"#,
        r#"{"code":null,"message":"no route","details":[]}"#,
    ] {
        let lines = headers(&[("content-type", "application/json")]);
        let error = read_error(status(404), &lines, body.as_bytes());
        // The protocol wants the message as it is.
        assert_eq!(error.to_string(), "unimplemented: no route", "{body}");
        let cause = format!("caused by: HTTP 404 Not Found (application/json): {body}");
        assert!(format!("{error:#}").contains(&cause), "{error:#}");
    }
}

#[test]
fn a_non_rpc_response_is_quoted_shortly() {
    let page = "<html>\u{1b}[31m".repeat(10_000);
    let error = read_error(status(502), &HeaderMap::new(), page.as_bytes());
    assert!(
        error.message().len() <= PUBLIC_MESSAGE_LIMIT,
        "{}",
        error.message().len()
    );
    assert!(
        error
            .message()
            .starts_with("HTTP 502 Bad Gateway: <html>\\u{1b}[31m<html>"),
        "{error}"
    );
}

#[test]
fn a_compressed_page_is_quoted_as_text() {
    let page = "<h1>Bad Gateway</h1>".repeat(10);
    let compressed = compression::gzip(page.as_bytes()).unwrap();
    for kind in ["text/html", "application/json"] {
        let mut lines = headers(&[("content-encoding", "gzip")]);
        lines.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        let error = read_error(status(502), &lines, &compressed);
        let expected = format!("HTTP 502 Bad Gateway ({kind}): {page}");
        assert_eq!(error.message(), expected);
        // What cannot be decompressed is quoted as it is.
        let error = read_error(status(502), &lines, b"no gzip");
        assert!(error.message().ends_with(": no gzip"), "{error}");
    }
}

#[test]
fn a_page_that_is_not_text_is_counted() {
    let page = "<h1>Bad Gateway</h1>".repeat(10);
    let compressed = compression::gzip(page.as_bytes()).unwrap();
    let mut broken = compressed.to_vec();
    broken[2] = 0;
    let brotli: Vec<u8> = (0_u8..=255).rev().collect();
    for (encoding, body) in [("gzip", &broken), ("br", &brotli), ("identity", &brotli)] {
        let lines = headers(&[("content-encoding", encoding)]);
        let error = read_error(status(502), &lines, body);
        let expected = format!(
            "HTTP 502 Bad Gateway with a body of {} bytes that is not text",
            body.len()
        );
        assert_eq!(error.message(), expected, "{encoding}");
    }
    // One that is cut off has a start, and a page in Latin-1 some letters.
    let lines = headers(&[("content-encoding", "gzip")]);
    let error = read_error(status(502), &lines, &compressed[..compressed.len() - 8]);
    assert!(error.message().contains(": <h1>Bad"), "{error}");
    let error = read_error(
        status(502),
        &headers(&[]),
        b"D\xe9sol\xe9, r\xe9essayez plus tard, merci",
    );
    assert!(error.message().ends_with("merci"), "{error}");
}

#[test]
fn a_redirect_has_its_target_without_secrets() {
    for (location, shown) in [
        (
            "https://login.example/start?state=canary",
            "https://login.example/start",
        ),
        ("/cb#access_token=canary", "/cb"),
        ("/cb;jsessionid=canary", "/cb"),
        ("http://u:canary@h/x", "...@h/x"),
        ("//canary@h/x?y", "...@h/x"),
        ("http://u:can/canary@h/x", "...@h/x"),
        ("/x?canary@h#canary", "/x"),
    ] {
        let error = read_error(status(302), &headers(&[("location", location)]), b"");
        let expected = format!("HTTP 302 Found to {shown} without a body");
        assert_eq!(error.message(), expected, "{location}");
    }
}

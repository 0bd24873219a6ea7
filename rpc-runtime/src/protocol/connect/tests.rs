use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::*;
use crate::compression::{self, Compression, Encoding};
use crate::context::RequestId;
use crate::descriptor::MethodDescriptor;
use crate::error::{Code, Detail, Error, Hop, PUBLIC_MESSAGE_LIMIT, Payload};
use crate::metadata::Metadata;
use crate::protocol::SendOptions;

fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    lines
        .iter()
        .map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        })
        .collect()
}

fn json_headers() -> HeaderMap {
    headers(&[("content-type", "application/json")])
}

fn status(number: u16) -> StatusCode {
    StatusCode::from_u16(number).unwrap()
}

/// Returns an error with all fields that are sent.
fn full() -> Error {
    let mut error = Error::without_location(Code::FailedPrecondition, "insufficient credit(0)")
        .with_reason("INSUFFICIENT_CREDIT")
        .with_violation("user", "has no credit")
        .with_violation("records[3].level", "is `loud`")
        .with_retry_after(Duration::from_millis(1500))
        .with_detail(Detail::new("google.rpc.Help", vec![0xff, 0x00]));
    let inner = Payload {
        reason: "NO_USER".to_owned(),
        fields: json!({ "id": u64::MAX }).as_object().unwrap().clone(),
        inner: None,
        public: false,
        reason_only: false,
    };
    let fields = json!({ "credit": -1, "user": "é" });
    error.set_payload(Some(Arc::new(Payload {
        reason: "INSUFFICIENT_CREDIT".to_owned(),
        fields: fields.as_object().unwrap().clone(),
        inner: Some(Box::new(inner)),
        public: false,
        reason_only: false,
    })));
    error.set_reason(
        Some("INSUFFICIENT_CREDIT".to_owned()),
        Some("fibpro.v1.Pricing".to_owned()),
    );
    error.set_request_id(RequestId::parse("3b9d41f8a0c2e576").unwrap());
    let hop = |source: &str, location| Hop {
        source: source.to_owned(),
        method: "fibpro.v1.Pricing/Pay".to_owned(),
        location,
        code: Code::FailedPrecondition,
        message: "insufficient credit(0)".to_owned(),
        reason: Some("INSUFFICIENT_CREDIT".to_owned()),
    };
    error.set_hops(vec![
        hop("controller@prod/1", Some(("src/a.rs".to_owned(), 57))),
        hop("pricing@prod/2", None),
    ]);
    error
}

#[test]
fn an_error_survives_the_wire_with_its_details() {
    let sent = full();
    let body = error_json(&sent);
    let read = read_error(status(400), &json_headers(), &body);
    assert_eq!(read.code(), sent.code());
    assert_eq!(read.message(), sent.message());
    assert_eq!(
        (read.reason(), read.domain()),
        (Some("INSUFFICIENT_CREDIT"), Some("fibpro.v1.Pricing"))
    );
    assert_eq!(read.violations(), sent.violations());
    assert_eq!(read.retry_after(), sent.retry_after());
    assert_eq!(read.details(), sent.details());
    assert_eq!(read.payload(), sent.payload());
    assert_eq!(read.hops(), sent.hops());
    assert_eq!(
        error_json(&read),
        body,
        "a server that passes it on writes the same"
    );
}

#[test]
fn an_error_has_no_other_keys_and_unpadded_details() {
    let body: Value = serde_json::from_slice(&error_json(&full())).unwrap();
    let keys = |value: &Value| {
        let mut keys: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
        keys.sort_unstable();
        keys
    };
    assert_eq!(keys(&body), ["code", "details", "message"]);
    let details = body["details"].as_array().unwrap();
    let types: Vec<_> = details
        .iter()
        .map(|detail| detail["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        types,
        [
            "google.rpc.ErrorInfo",
            "google.rpc.BadRequest",
            "google.rpc.RetryInfo",
            "google.rpc.Help",
            "rpc.v1.ErrorPayload",
            "rpc.v1.HopChain",
        ]
    );
    for detail in details {
        assert!(!detail["value"].as_str().unwrap().contains('='), "{detail}");
    }
    // Encoded by hand from the .proto: field 1 is a message of 1 s and 500,000,000 ns.
    assert_eq!(details[2]["value"], "CggIARCAyrXuAQ");
    assert_eq!(details[2]["debug"], json!({ "retryDelay": "1.500s" }));
    assert_eq!(
        details[1]["debug"]["fieldViolations"][1],
        json!({ "field": "records[3].level", "description": "is `loud`" })
    );
    assert_eq!(
        details[4]["debug"],
        json!({
            "reason": "INSUFFICIENT_CREDIT",
            "fields": { "credit": -1, "user": "é" },
            "inner": { "reason": "NO_USER", "fields": { "id": u64::MAX } },
        })
    );
    assert_eq!(details[5]["debug"]["hops"][0]["line"], 57);
    assert!(details[3].get("debug").is_none());
}

#[test]
fn an_error_without_message_is_its_code() {
    let error = Error::without_location(Code::NotFound, "");
    assert_eq!(error_json(&error), b"{\"code\":\"not_found\"}");
    let error = Error::without_location(Code::Internal, "table users is gone");
    assert_eq!(
        error_json(&error),
        b"{\"code\":\"internal\",\"message\":\"internal error\"}"
    );
    let error = Error::without_location(Code::NotFound, "x".repeat(5000));
    assert!(error_json(&error).len() < PUBLIC_MESSAGE_LIMIT + 100);
}

#[test]
fn errors_of_any_server_or_proxy_are_read() {
    let json = "application/json";
    // status, content type, body, expected code, expected message
    let table: [(u16, &str, &str, Code, &str); 22] = [
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
            "m",
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
            "",
        ),
        (
            400,
            json,
            r#"{"code":"aborted","details":[1,{},{"type":"a"}]}"#,
            Code::Aborted,
            "",
        ),
        (
            400,
            json,
            r#"{"code":"aborted","details":[{"type":"a","value":"*"}]}"#,
            Code::Aborted,
            "",
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
fn a_redirect_has_its_target_without_the_query() {
    let lines = headers(&[("location", "https://login.example/start?state=canary")]);
    let error = read_error(status(302), &lines, b"");
    assert_eq!(
        error.message(),
        "HTTP 302 Found to https://login.example/start without a body"
    );
}

#[test]
fn unknown_details_are_kept_as_bytes() {
    let body = r#"{"code":"aborted","details":[
        {"type":"foreign.v1.Thing","value":"AAE=","debug":"not even an object"},
        {"type":"type.googleapis.com/google.rpc.RequestInfo","value":"CgFh"},
        {"type":"google.rpc.BadRequest","value":"//8"},
        {"type":"google.rpc.RequestInfo","value":"CgFhEgFi"}
    ]}"#;
    let error = read_error(status(409), &json_headers(), body.as_bytes());
    assert_eq!(error.request_id(), Some("a"));
    assert_eq!(
        error.details(),
        [
            Detail::new("foreign.v1.Thing", vec![0, 1]),
            Detail::new("google.rpc.RequestInfo", b"\x0a\x01a".to_vec()),
            Detail::new("google.rpc.BadRequest", vec![0xff, 0xff]),
            Detail::new("google.rpc.RequestInfo", b"\x0a\x01a\x12\x01b".to_vec()),
        ]
    );
    let written: Value = serde_json::from_slice(&error_json(&error)).unwrap();
    assert_eq!(written["details"].as_array().unwrap().len(), 4, "{written}");
}

#[test]
fn attached_details_survive_a_store() {
    let attached = [
        Detail::new("a.B", vec![1]),
        Detail::new("google.rpc.RequestInfo", b"\x0a\x01a".to_vec()),
        Detail::new("a.B", Vec::new()),
        Detail::new("a.B", vec![1]),
    ];
    let error = Error::without_location(Code::NotFound, "none").with_reason("NONE");
    let error = attached.iter().cloned().fold(error, Error::with_detail);
    let stored = error_from_json(&error_json(&error)).unwrap();
    assert_eq!(stored.details(), attached);
    assert_eq!(stored.reason(), Some("NONE"));
}

#[test]
fn a_long_chain_is_truncated() {
    let hop = |n: usize| Hop {
        source: format!("s{n}@prod/1"),
        method: "a.B/C".to_owned(),
        location: None,
        code: Code::Internal,
        message: String::new(),
        reason: None,
    };
    let mut sent = Error::without_location(Code::Internal, "");
    sent.set_hops((0..20_000).map(hop).collect());
    let read = read_error(status(500), &json_headers(), &error_json(&sent));
    assert_eq!(read.hops().len(), 16);
    assert_eq!(read.hops()[0].source, "s0@prod/1");
    assert_eq!(read.hops()[15].source, "s19999@prod/1");
}

#[test]
fn an_error_has_the_metadata_and_id_of_its_response() {
    let mut lines = json_headers();
    lines.extend(headers(&[
        ("x-request-id", "r-1"),
        ("x-leading", "1"),
        ("trailer-x-trailing", "2"),
        ("date", "today"),
    ]));
    let error = read_error(status(404), &lines, br#"{"code":"not_found"}"#);
    assert_eq!(error.request_id(), Some("r-1"));
    let metadata: Vec<_> = error.metadata().iter().collect();
    assert_eq!(metadata, [("x-leading", "1"), ("x-trailing", "2")]);
}

#[test]
fn a_compressed_error_is_decompressed() {
    let long = Error::without_location(Code::Aborted, "again ".repeat(100));
    let mut lines = json_headers();
    lines.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    let compressed = compression::gzip(&error_json(&long)).unwrap();
    assert_eq!(
        read_error(status(409), &lines, &compressed).message(),
        long.message()
    );
}

fn receive(status: u16, lines: &[(&'static str, &'static str)], body: &[u8]) -> WireResponse {
    let mut response = http::Response::new(());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    *response.headers_mut() = headers(lines);
    read_response(&response.into_parts().0, Bytes::copy_from_slice(body), 1000)
}

#[test]
fn a_response_has_its_headers_and_trailers() {
    let lines = [
        ("content-type", "application/json; charset=UTF-8"),
        ("x-a", "1"),
        ("trailer-x-b", "2"),
    ];
    let response = receive(200, &lines, b"{\"result\":1}");
    assert_eq!(response.result.unwrap(), "{\"result\":1}");
    assert_eq!(response.headers.iter().collect::<Vec<_>>(), [("x-a", "1")]);
    assert_eq!(response.trailers.iter().collect::<Vec<_>>(), [("x-b", "2")]);
}

#[test]
fn a_non_rpc_response_becomes_a_descriptive_error() {
    let compressed = compression::gzip(&[b'x'; 5000]).unwrap();
    let table: [(u16, &str, &str, &[u8], Code); 9] = [
        (200, "text/html", "", b"<html>", Code::Unknown),
        (200, "", "", b"", Code::Unknown),
        (200, "application/proto", "", b"", Code::Internal),
        (200, "application/connect+json", "", b"", Code::Internal),
        (200, "application/json", "br", b"{}", Code::Internal),
        (200, "application/json", "gzip", b"{}", Code::Internal),
        (
            200,
            "application/json",
            "gzip",
            &compressed,
            Code::ResourceExhausted,
        ),
        (204, "", "", b"", Code::Unknown),
        (302, "text/html", "", b"moved", Code::Unknown),
    ];
    for (number, kind, encoding, body, code) in table {
        let lines = [
            ("content-type", kind),
            ("content-encoding", encoding),
            ("x-a", "1"),
        ];
        let response = receive(number, &lines, body);
        let error = response.result.unwrap_err();
        assert_eq!(error.code(), code, "{number} {kind} {encoding}");
        assert_eq!(error.metadata().get("x-a"), Some("1"));
    }
}

#[test]
fn a_request_is_written_as_a_server_reads_it() {
    let start = std::time::Instant::now();
    let context = crate::context::Context::builder(crate::context::Propagated::new(
        RequestId::parse("r-1").unwrap(),
    ))
    .deadline(start + Duration::from_secs(5))
    .build();
    let mut metadata = Metadata::new();
    metadata.append("x-tenant", "blue").unwrap();
    let uri = "http://127.0.0.1:9002/a.B/C".parse().unwrap();
    let method = MethodDescriptor::new("a.B", "c", "C", "/a.B/C");
    let message = Bytes::from_static(b"{}");
    let message = OutgoingMessage::new(&method, &message, &SendOptions::default());
    assert_eq!(message.query(), None);
    let request = write_request(uri, &context, &metadata, message);
    assert_eq!(
        (request.method().as_str(), request.uri().path()),
        ("POST", "/a.B/C")
    );
    let (head, body) = request.into_parts();
    assert_eq!(body, "{}");
    assert_eq!(head.headers["x-tenant"], "blue");
    assert_eq!(
        head.headers["user-agent"],
        concat!("rpc-runtime/", env!("CARGO_PKG_VERSION"))
    );
    let read = read_request(&head, &method).unwrap();
    let timeout = read.timeout.unwrap();
    // The rest has passed, apart from the rounding to milliseconds.
    assert!(timeout <= Duration::from_secs(5), "{timeout:?}");
    assert!(
        start.elapsed() + timeout + Duration::from_millis(1) >= Duration::from_secs(5),
        "{timeout:?}"
    );
    assert_eq!(read.encoding, Encoding::Identity);
    assert!(read.message.is_none());
}

#[test]
fn a_request_has_the_form_of_its_options() {
    let context = crate::context::Context::builder(crate::context::Propagated::new(
        RequestId::parse("r-1").unwrap(),
    ))
    .build();
    let plain = MethodDescriptor::new("a.B", "c", "C", "/a.B/C");
    let safe = MethodDescriptor::new("a.B", "c", "C", "/a.B/C").no_side_effects();
    let text = format!("{{\"text\":\"{}\"}}", "x".repeat(2000));
    let long = "x".repeat(10_000);
    for (method, gzip, use_get, message, verb, encoding) in [
        (&plain, false, false, &text, "POST", Encoding::Identity),
        (&plain, true, true, &text, "POST", Encoding::Gzip),
        (&safe, false, false, &text, "POST", Encoding::Identity),
        (&safe, false, true, &text, "GET", Encoding::Identity),
        (&safe, true, true, &text, "GET", Encoding::Gzip),
        // Too long for a URL, unless it is compressed.
        (&safe, false, true, &long, "POST", Encoding::Identity),
        (&safe, true, true, &long, "GET", Encoding::Gzip),
    ] {
        let compression = if gzip {
            Compression::gzip()
        } else {
            Compression::off()
        };
        let options = SendOptions {
            compression,
            use_get,
            ..SendOptions::default()
        };
        let bytes = Bytes::copy_from_slice(message.as_bytes());
        let outgoing = OutgoingMessage::new(method, &bytes, &options);
        let query = outgoing.query().map(|query| format!("?{query}"));
        let uri = format!("http://a/a.B/C{}", query.unwrap_or_default());
        let request = write_request(uri.parse().unwrap(), &context, &Metadata::new(), outgoing);
        assert_eq!(request.method(), verb);
        let accepts = request.headers().get("accept-encoding");
        assert_eq!(accepts.is_some_and(|name| name == "gzip"), gzip);
        let is_get = verb == "GET";
        for name in ["content-type", "connect-protocol-version"] {
            assert_eq!(request.headers().contains_key(name), !is_get, "{name}");
        }
        let (head, body) = request.into_parts();
        let read = read_request(&head, method).unwrap();
        assert_eq!(read.encoding, encoding);
        let received = read.message.unwrap_or(body);
        let read = compression::decompress(received, encoding, 1 << 20).unwrap();
        assert_eq!(read, message);
    }
}

#[test]
fn a_response_is_compressed_if_that_pays() {
    let write = |message: &Bytes, gzip| {
        let response = WireResponse {
            headers: Metadata::new(),
            trailers: Metadata::new(),
            result: Ok(message.clone()),
        };
        write_response(response, Accepts { gzip, get: gzip })
    };
    let message = Bytes::from("{\"result\": 1}".repeat(100));
    let response = write(&message, true);
    assert_eq!(response.headers()[CONTENT_ENCODING], "gzip");
    assert_eq!(response.headers()["vary"], "accept-encoding");
    assert!(response.body().len() < message.len() / 2);
    let response = write(&message, false);
    assert!(!response.headers().contains_key(CONTENT_ENCODING));
    assert_eq!(
        response.body().as_ptr(),
        message.as_ptr(),
        "it is not copied"
    );
    let response = write(&Bytes::from_static(b"{}"), true);
    assert!(!response.headers().contains_key(CONTENT_ENCODING));
    assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
}

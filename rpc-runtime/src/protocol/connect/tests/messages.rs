//! Requests and responses with their messages.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};

use super::super::*;
use super::headers;
use crate::compression::{self, Compression, Encoding};
use crate::context::RequestId;
use crate::descriptor::MethodDescriptor;
use crate::error::Code;
use crate::metadata::Metadata;
use crate::protocol::SendOptions;

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
    let message = OutgoingMessage::new(&method, 0, &message, &SendOptions::default());
    assert_eq!(message.query(), None);
    let request = write_request(uri, &context, &metadata, message, None);
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
        let outgoing = OutgoingMessage::new(method, 0, &bytes, &options);
        let query = outgoing.query().map(|query| format!("?{query}"));
        let uri = format!("http://a/a.B/C{}", query.unwrap_or_default());
        let uri = uri.parse().unwrap();
        let request = write_request(uri, &context, &Metadata::new(), outgoing, None);
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
        let read = compression::decompress(received, encoding, 1 << 20, |_| true).unwrap();
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

//! Errors of a hostile server: what is kept of them takes little memory.

use prost::Message as _;

use super::super::*;
use super::{json_headers, status};
use crate::codec::base64::{self, Engine as _};
use crate::codec::error_details::ErrorPayload;
use crate::error::{CHAIN_LIMIT, Code, Detail, Error, Hop};

/// Returns the body of an error with one detail.
fn with_detail(type_name: &str, value: &[u8]) -> String {
    let value = base64::STANDARD_NO_PAD.encode(value);
    format!(
        "{{\"code\":\"aborted\",\"details\":[{{\"type\":\"{type_name}\",\"value\":\"{value}\"}}]}}"
    )
}

#[test]
fn a_detail_with_many_entries_stays_encoded() {
    let entry = b"\x0a\x00";
    let metadata: Vec<u8> = (0..50_000_u32)
        .flat_map(|n| [&b"\x1a\x06\x0a\x04"[..], &n.to_be_bytes()].concat())
        .collect();
    let fields: Vec<_> = (0..50_000).map(|n| format!("\"a{n}\":1")).collect();
    let fields = format!("{{{}}}", fields.join(","));
    let payload = ErrorPayload {
        fields,
        ..ErrorPayload::default()
    };
    for (type_name, value) in [
        ("google.rpc.BadRequest", entry.repeat(300_000)),
        ("google.rpc.BadRequest", entry.repeat(1001)),
        ("google.rpc.ErrorInfo", metadata),
        ("rpc.v1.ErrorPayload", payload.encode_to_vec()),
    ] {
        let body = with_detail(type_name, &value);
        let error = read_error(status(400), &json_headers(), body.as_bytes());
        assert_eq!(error.code(), Code::Aborted);
        assert!(error.violations().is_empty() && error.payload().is_none());
        assert_eq!(error.details(), [Detail::new(type_name, value)]);
    }
    let body = with_detail("google.rpc.BadRequest", &entry.repeat(1000));
    let error = read_error(status(400), &json_headers(), body.as_bytes());
    assert_eq!((error.violations().len(), error.details().len()), (1000, 0));
}

#[test]
fn a_chain_of_large_hops_is_truncated() {
    let hop = Hop {
        source: "s".repeat(100_000),
        method: "m".repeat(100_000),
        location: Some(("f".repeat(100_000), 1)),
        code: Code::Internal,
        message: "x".repeat(100_000),
        reason: Some("r".repeat(100_000)),
    };
    let mut sent = Error::without_location(Code::Internal, "");
    sent.set_hops(vec![hop]);
    let read = read_error(status(500), &json_headers(), &error_json(&sent));
    assert_eq!(read.hops().len(), 1);
    assert!(format!("{read:#}").len() < 2 * CHAIN_LIMIT);
}

#[test]
fn what_is_kept_of_an_error_is_limited() {
    let details = |count| {
        let detail = r#"{"type":"a.B","value":""}"#;
        format!("[{}]", vec![detail; count].join(","))
    };
    let others: String = (0..100_000).map(|n| format!("\"x{n}\":0,")).collect();
    let body = format!(
        "{{{others}\"code\":\"aborted\",\"message\":\"{}\",\"details\":{}}}",
        "\\u0007".repeat(100_000),
        details(10_000)
    );
    let error = read_error(status(400), &json_headers(), body.as_bytes());
    assert_eq!((error.code(), error.details().len()), (Code::Aborted, 64));
    assert!(error.message().ends_with("\u{7}…"));
    assert_eq!(error.message().len(), (4 << 10) + '…'.len_utf8());
    // The size of the details counts as well as their number.
    let large = format!(
        "{{\"type\":\"a.B\",\"value\":\"{}\"}}",
        "AAAA".repeat(200_000)
    );
    let body = format!(
        "{{\"code\":\"aborted\",\"details\":[{}]}}",
        vec![large; 3].join(",")
    );
    let error = read_error(status(400), &json_headers(), body.as_bytes());
    assert_eq!((error.code(), error.details().len()), (Code::Aborted, 2));
}

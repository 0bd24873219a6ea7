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

/// Returns a body of an error with details.
fn with_details(details: &[(&str, Vec<u8>)]) -> String {
    let details: Vec<_> = details
        .iter()
        .map(|(type_name, value)| {
            let value = base64::STANDARD_NO_PAD.encode(value);
            format!("{{\"type\":\"{type_name}\",\"value\":\"{value}\"}}")
        })
        .collect();
    format!(
        "{{\"code\":\"aborted\",\"details\":[{}]}}",
        details.join(",")
    )
}

/// Returns a payload of this many levels with this many fields each.
fn nested(levels: usize, fields: usize) -> Vec<u8> {
    let fields: Vec<_> = (0..fields).map(|n| format!("\"a{n}\":1")).collect();
    let fields = format!("{{{}}}", fields.join(","));
    let level = |inner| ErrorPayload {
        fields: fields.clone(),
        inner,
        ..ErrorPayload::default()
    };
    let payload = (1..levels).fold(level(None), |inner, _| level(Some(Box::new(inner))));
    payload.encode_to_vec()
}

#[test]
fn the_entries_of_all_details_are_limited_together() {
    const PAYLOAD: &str = "rpc.v1.ErrorPayload";
    const VIOLATIONS: &str = "google.rpc.BadRequest";
    let violations = |count| b"\x0a\x00".repeat(count);
    for (details, decoded, kept, has_payload) in [
        (vec![(PAYLOAD, nested(9, 100))], 0, 0, true),
        (vec![(PAYLOAD, nested(10, 100))], 0, 1, false),
        (vec![(PAYLOAD, nested(60, 999))], 0, 1, false),
        (vec![(VIOLATIONS, violations(600)); 60], 600, 59, false),
        (
            vec![(VIOLATIONS, violations(600)), (PAYLOAD, nested(1, 500))],
            600,
            1,
            false,
        ),
        // A detail that is not decoded takes no entries from the others.
        (
            vec![("a.B", violations(2000)), (VIOLATIONS, violations(1000))],
            1000,
            1,
            false,
        ),
    ] {
        let body = with_details(&details);
        let error = read_error(status(400), &json_headers(), body.as_bytes());
        let found = (error.violations().len(), error.details().len());
        assert_eq!(found, (decoded, kept));
        assert_eq!(error.payload().is_some(), has_payload);
    }
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

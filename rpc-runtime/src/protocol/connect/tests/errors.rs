//! Error JSON: what is written is read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_ENCODING, HeaderValue};
use serde_json::{Value, json};

use super::super::*;
use super::{headers, json_headers, status};
use crate::compression;
use crate::context::RequestId;
use crate::error::{Code, Detail, Error, Hop, Origin, PUBLIC_MESSAGE_LIMIT, Payload};

fn texts(fields: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
    fields.iter().map(owned).collect()
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
        fields: texts(&[("id", "18446744073709551615")]),
        inner: None,
        public: false,
        reason_only: false,
    };
    error.set_payload(Some(Arc::new(Payload {
        reason: "INSUFFICIENT_CREDIT".to_owned(),
        fields: texts(&[("credit", "-1"), ("user", "\"é\"")]),
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
        error_json(&read.with_origin(Origin::Own)),
        body,
        "nothing of it is lost"
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

/// Returns an error with a payload that has this field.
fn with_field(text: &str) -> Error {
    let mut error = Error::without_location(Code::Aborted, "m");
    error.set_payload(Some(Arc::new(Payload {
        reason: "R".to_owned(),
        fields: texts(&[("a", text), ("\"\\\n", "1")]),
        inner: None,
        public: false,
        reason_only: false,
    })));
    error
}

#[test]
fn the_text_of_a_field_survives_the_wire() {
    let deep = |levels| "[".repeat(levels) + &"]".repeat(levels);
    for text in [
        "1e400",
        "123456789012345678901234567890.50",
        r#"{"b":1.50,"a":[-0.0,null],"b":2}"#,
        &deep(122),
        // Not in `debug`, where it would be nested too deeply for a reader of the error.
        &deep(123),
        &deep(126),
    ] {
        let sent = with_field(text);
        let body = error_json(&sent);
        let read = read_error(status(409), &json_headers(), &body);
        assert_eq!(read.payload(), sent.payload(), "{text}");
        let own = read.with_origin(Origin::Own);
        assert_eq!(error_json(&own), body, "{text}");
        let has_debug = String::from_utf8_lossy(&body).contains(text);
        assert_eq!(has_debug, text.len() < 2 * 123, "{text}");
    }
}

#[test]
fn a_debug_of_any_form_is_ignored() {
    for debug in ["1e999", &("[".repeat(120) + &"]".repeat(120))] {
        let body = format!(
            r#"{{"code":"aborted","message":"m","details":[{{"type":"a.B","value":"AAE","debug":{debug}}}]}}"#
        );
        let error = read_error(status(409), &json_headers(), body.as_bytes());
        assert_eq!((error.code(), error.message()), (Code::Aborted, "m"));
        assert_eq!(error.details(), [Detail::new("a.B", vec![0, 1])]);
    }
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

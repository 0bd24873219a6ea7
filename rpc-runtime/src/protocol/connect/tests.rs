//! Tests of the protocol in both directions, with the headers that they share.

mod errors;
mod foreign;
mod large_errors;
mod messages;

use http::StatusCode;
use http::header::{HeaderMap, HeaderName, HeaderValue};

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

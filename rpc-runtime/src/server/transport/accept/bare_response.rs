//! Responses of hyper to bytes that are not valid HTTP/1: a status without a word. Adds the error.

use std::sync::Arc;

use super::raw_head::RawHead;
use crate::error::{Code, Error};
use crate::protocol::connect::error_json;
use crate::server::cors::CorsHeaders;
use crate::server::limits::{Limits, headers_too_large, path_too_long};

/// The start of every response that hyper sends by itself.
pub(super) const START: &[u8] = b"HTTP/1.1 4";

/// Returns the text of each error, with the limits of the server.
#[derive(Debug)]
pub(super) struct BareResponses {
    path_bytes: usize,
    header_bytes: usize,
    header_count: usize,
    message_bytes: usize,
    /// The headers by which web pages may read the responses.
    pub(super) cors: Option<Arc<CorsHeaders>>,
}

impl BareResponses {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            path_bytes: limits.path_bytes,
            header_bytes: limits.header_bytes,
            header_count: limits.header_count,
            message_bytes: limits.message_bytes,
            cors: None,
        }
    }

    /// Returns a response of hyper with an error in its body; `None` for anything else than such a
    /// response.
    pub(super) fn complete(&self, bare: &[u8], head: &RawHead) -> Option<Vec<u8>> {
        let bare = std::str::from_utf8(bare).ok()?;
        let lines = bare.strip_suffix("\r\n\r\n")?;
        let (status, fields) = lines.split_once("\r\n")?;
        if lines.contains("\r\n\r\n") || !fields.contains("content-length: 0") {
            return None;
        }
        let (status, error) = self.error(status, head)?;
        let body = error_json(&error);
        let mut response = format!("{status}\r\n");
        for field in fields.split("\r\n") {
            if field != "content-length: 0" {
                response.push_str(field);
                response.push_str("\r\n");
            }
        }
        let cors = self.cors.iter();
        let cors = cors.flat_map(|cors| cors.lines_of(head.request_line(), head.origin()));
        for (name, value) in cors {
            response.push_str(&format!("{name}: {value}\r\n"));
        }
        response.push_str("content-type: application/json\r\ncontent-length: ");
        response.push_str(&body.len().to_string());
        response.push_str("\r\n\r\n");
        let mut response = response.into_bytes();
        response.extend_from_slice(&body);
        Some(response)
    }

    /// Returns the status line and the error for a status line of hyper.
    fn error<'s>(&self, status: &'s str, head: &RawHead) -> Option<(&'s str, Error)> {
        let number = status.split(' ').nth(1)?;
        let error = match number {
            "400" if head.is_tls() => Error::without_location(
                Code::InvalidArgument,
                "this port speaks HTTP without TLS: use an http:// URL, or a proxy that terminates TLS",
            ),
            "400" => Error::without_location(
                Code::InvalidArgument,
                "the request is not valid HTTP/1.1: check its request line and the names and values of its headers",
            ),
            "414" => path_too_long(self.path_bytes),
            "431" if head.has_huge_length() => {
                let text = format!(
                    "the content length of the request exceeds the server's limit of {} bytes",
                    self.message_bytes
                );
                let error = Error::without_location(Code::ResourceExhausted, text);
                return Some(("HTTP/1.1 413 Payload Too Large", error));
            }
            "431" => headers_too_large(self.header_count, self.header_bytes),
            _ => return None,
        };
        Some((status, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bare_responses_are_completed() {
        let responses = BareResponses::new(&Limits::default());
        let complete = |text: &str| {
            let response = responses.complete(text.as_bytes(), &RawHead::default());
            response.map(|response| String::from_utf8(response).unwrap())
        };
        let response = complete(
            "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\ndate: x\r\n\r\n",
        );
        let response = response.unwrap();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\nconnection: close\r\ndate: x\r\n"));
        assert!(
            head.ends_with(&format!("content-length: {}", body.len())),
            "{head}"
        );
        assert!(body.contains("\"invalid_argument\""), "{body}");
        for other in [
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n{}",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\nHTTP/1.1 400 Bad Request\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-le",
            "",
        ] {
            assert_eq!(complete(other), None, "{other}");
        }
    }
}

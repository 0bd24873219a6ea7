//! The bytes of a request head in HTTP/1 as they were received, for what the HTTP library does not
//! tell: a content length that it ignores, and the cause of an error that it responds to.

use crate::server::limits::Limits;

/// Minimum size of the HTTP/1 read buffer limit, in bytes; raised if the limits allow larger
/// request heads. Large enough to read a path of 64 KiB and respond with 414, small enough for
/// every connection.
const HEAD_BUFFER: usize = 80 << 10;

/// The number of bytes that a connection without a running call may keep.
const MAX_IDLE_BYTES: usize = 4 << 10;

/// Returns the maximum size of a request head, in bytes. It is slightly above the limits, so that
/// this crate and not hyper responds to a head that is slightly too large.
pub(super) fn head_size(limits: &Limits) -> usize {
    const MARGIN: usize = 8 << 10;
    let head = limits.path_bytes.saturating_add(limits.header_bytes);
    head.saturating_add(MARGIN)
}

/// Returns the size of the buffer for a head of HTTP/1.
pub(super) fn head_buffer(limits: &Limits) -> usize {
    head_size(limits).max(HEAD_BUFFER)
}

/// The bytes that were received since a head began, up to the size of the largest head. Bytes after
/// the head belong to its body, or to requests that follow without waiting for the response.
#[derive(Debug, Default)]
pub(super) struct RawHead {
    bytes: Vec<u8>,
    /// The number of bytes since the head began, with those that are not kept.
    received: usize,
    /// The number of bytes of the running request that have not arrived. `None` without a running
    /// request, and for a body in chunks, whose end is not known here.
    missing: Option<u64>,
    /// Whether the bytes are those of the head after the running request.
    is_next: bool,
}

impl RawHead {
    /// Begins a new head.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.received = 0;
    }

    /// Frees what an idle connection need not keep. The start stays, because requests that were
    /// received together with the first one may follow.
    pub(super) fn release_excess(&mut self) {
        self.bytes.truncate(MAX_IDLE_BYTES);
        self.bytes.shrink_to(MAX_IDLE_BYTES);
    }

    /// Adds received bytes, as long as there are at most `limit`.
    pub(super) fn push(&mut self, bytes: &[u8], limit: usize) {
        self.received = self.received.saturating_add(bytes.len());
        let available = limit.saturating_sub(self.bytes.len());
        self.bytes
            .extend_from_slice(&bytes[..bytes.len().min(available)]);
    }

    /// Records that the head is complete, and the length of the body if it is known. What follows
    /// is the next head.
    pub(super) fn complete(&mut self, body: Option<u64>) {
        self.is_next = false;
        self.missing = None;
        let (Some(body), Some(head)) = (body, body.and_then(|body| self.end(body))) else {
            return;
        };
        let of_body = (self.received - head) as u64;
        self.missing = Some(body.saturating_sub(of_body));
        if of_body > body {
            let next = self.received - usize::try_from(of_body - body).unwrap_or(0);
            self.bytes.drain(..next.min(self.bytes.len()));
            self.received -= next;
            self.is_next = true;
        }
    }

    /// Adds bytes that were received while the request is running: of its body, and then of the
    /// next head.
    pub(super) fn push_running(&mut self, bytes: &[u8], limit: usize) {
        let Some(missing) = &mut self.missing else {
            return;
        };
        let of_body = usize::try_from(*missing).map_or(bytes.len(), |n| n.min(bytes.len()));
        *missing -= of_body as u64;
        let next = &bytes[of_body..];
        if next.is_empty() {
            return;
        }
        if !std::mem::replace(&mut self.is_next, true) {
            self.clear();
        }
        self.push(next, limit);
    }

    /// Returns whether the bytes begin the next head, whose request is running from now on or is
    /// not complete.
    pub(super) fn begin_next(&mut self) -> bool {
        self.missing = None;
        std::mem::take(&mut self.is_next)
    }

    /// Returns the length of the head, which has a body of this length.
    fn end(&self, body: u64) -> Option<usize> {
        // Usually one request was received, or its head.
        let body = usize::try_from(body).ok();
        let without_body = body.and_then(|body| self.received.checked_sub(body));
        for end in [without_body, Some(self.received)].into_iter().flatten() {
            let head = self.bytes.get(..end);
            if head.is_some_and(|head| head.ends_with(b"\r\n\r\n")) {
                return Some(end);
            }
        }
        let start = self
            .bytes
            .iter()
            .position(|byte| !matches!(byte, b'\r' | b'\n'))?;
        let lines = self.bytes[start..].split_inclusive(|byte| *byte == b'\n');
        let mut end = start;
        for line in lines {
            end += line.len();
            if matches!(line, b"\n" | b"\r\n") {
                return Some(end);
            }
        }
        None
    }

    /// Returns whether a head has both a content length and a transfer encoding. `is_first` is
    /// false for requests that followed the first one without waiting. Where those begin is not
    /// known, so that each later block of lines counts.
    pub(super) fn has_two_lengths(&self, is_first: bool) -> bool {
        let has = |block: &[&[u8]], name| block.iter().any(|line| field(line, name).is_some());
        let has_both =
            |block: &[&[u8]]| has(block, b"content-length") && has(block, b"transfer-encoding");
        let lines = self.lines();
        let mut blocks = lines.split(|line| line.is_empty());
        let first = blocks.next().unwrap_or_default();
        if is_first {
            has_both(first)
        } else {
            blocks.any(has_both)
        }
    }

    /// Returns whether a content length is larger than any length that the HTTP library can count.
    pub(super) fn has_huge_length(&self) -> bool {
        self.lines().into_iter().any(|line| {
            let value = field(line, b"content-length").map(<[u8]>::trim_ascii);
            value.is_some_and(|value| value.len() >= 20 && value.iter().all(u8::is_ascii_digit))
        })
    }

    /// Returns the origin of the web page that has sent the head, as far as it has arrived.
    pub(super) fn origin(&self) -> Option<&[u8]> {
        let mut lines = self.lines().into_iter().take_while(|line| !line.is_empty());
        lines.find_map(|line| field(line, b"origin").map(<[u8]>::trim_ascii))
    }

    /// Returns the verb and the target of the request, as far as they have arrived.
    pub(super) fn request_line(&self) -> Option<(&[u8], &[u8])> {
        let line = *self.lines().first()?;
        let mut parts = line.split(|byte| *byte == b' ');
        let (verb, target) = (parts.next()?, parts.next()?);
        // One that may go on is not known.
        parts.next().map(|_| (verb, target))
    }

    /// Returns whether the bytes begin a TLS handshake. Source: RFC 8446, section 5.1.
    pub(super) fn is_tls(&self) -> bool {
        self.bytes.starts_with(&[22, 3])
    }

    /// Returns the lines from the request line on. The head ends at the first empty one.
    fn lines(&self) -> Vec<&[u8]> {
        let lines = self.bytes.split(|byte| *byte == b'\n');
        let lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        // Empty lines before the request line are allowed.
        lines.skip_while(|line| line.is_empty()).collect()
    }
}

/// Returns the value of a header line with this name in lower case.
fn field<'l>(line: &'l [u8], name: &[u8]) -> Option<&'l [u8]> {
    let (start, rest) = line.split_at_checked(name.len())?;
    let value = rest.strip_prefix(b":")?;
    start.eq_ignore_ascii_case(name).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> RawHead {
        let mut head = RawHead::default();
        // Received in two parts.
        let (start, rest) = text.as_bytes().split_at(text.len() / 2);
        head.push(start, 1000);
        head.push(rest, 1000);
        head
    }

    #[test]
    fn two_lengths_of_one_head() {
        for both in [
            "\r\nPOST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\ntransfer-encoding:chunked\nhost: a\nCONTENT-LENGTH:5\n\n",
        ] {
            assert!(head(both).has_two_lengths(true), "{both}");
        }
        let body = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n40\r\n\r\n\
                    content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n";
        assert!(!head(body).has_two_lengths(true));
        assert!(
            head(body).has_two_lengths(false),
            "the head of a later request"
        );
        for one in [
            "POST / HTTP/1.1\r\nx-content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
            "POST /content-length:5 HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n",
            "",
        ] {
            assert!(!head(one).has_two_lengths(true), "{one}");
        }
    }

    /// Returns the bytes of the next head after one request, whose bytes arrive in two reads: one
    /// before the head is complete, and one while the request runs.
    fn next_head(before: &str, body: Option<u64>, during: &str) -> Option<String> {
        let mut head = RawHead::default();
        head.push(before.as_bytes(), 1000);
        head.complete(body);
        head.push_running(during.as_bytes(), 1000);
        let is_next = head.begin_next();
        is_next.then(|| String::from_utf8(head.bytes).unwrap())
    }

    #[test]
    fn bytes_after_a_request_are_the_next_head() {
        let get = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
        let post = "POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\n";
        let bare = "\r\nPOST / HTTP/1.1\ncontent-length: 3\n\n";
        for (before, body, during, next) in [
            (get.to_owned(), Some(0), "", None),
            (get.to_owned(), Some(0), "GE", Some("GE")),
            (format!("{get}G"), Some(0), "ET", Some("GET")),
            (post.to_owned(), Some(3), "abc", None),
            (post.to_owned(), Some(3), "abcGET /", Some("GET /")),
            (format!("{post}a"), Some(3), "bc", None),
            (format!("{post}a"), Some(3), "bc\r\n", Some("\r\n")),
            (format!("{post}abc"), Some(3), "", None),
            (format!("{post}abcG"), Some(3), "E", Some("GE")),
            (format!("{bare}ab"), Some(3), "cG", Some("G")),
            (format!("{post}a"), Some(u64::MAX), "bc", None),
            // The end of chunks is not known.
            (format!("{post}3\r\nabc\r\n"), None, "0\r\n\r\nGET", None),
        ] {
            let found = next_head(&before, body, during);
            assert_eq!(found.as_deref(), next, "{before:?} {during:?}");
        }
    }

    #[test]
    fn two_lengths_in_a_head_that_came_during_a_call() {
        let mut head = RawHead::default();
        head.push(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", 1000);
        head.complete(Some(0));
        head.push_running(b"POST / HTTP/1.1\r\ncontent-len", 1000);
        assert!(head.begin_next());
        head.push(b"gth: 5\r\ntransfer-encoding: chunked\r\n\r\n", 1000);
        assert!(head.has_two_lengths(true));
    }

    #[test]
    fn lengths_that_cannot_be_counted() {
        for (value, is_huge) in [
            ("18446744073709551615", true),
            (" 99999999999999999999999999 ", true),
            ("1844674407370955161", false),
            ("-18446744073709551615", false),
            ("", false),
        ] {
            let text = format!("POST / HTTP/1.1\r\nContent-Length: {value}\r\n\r\n");
            assert_eq!(head(&text).has_huge_length(), is_huge, "{value}");
        }
    }

    #[test]
    fn a_copy_has_a_limit() {
        let mut head = RawHead::default();
        head.push(&[b'x'; 100], 150);
        head.push(&[b'x'; 100], 150);
        assert_eq!(head.bytes.len(), 150);
        head.push(&vec![b'x'; 1 << 20], 1 << 20);
        head.release_excess();
        assert_eq!(head.bytes.len(), MAX_IDLE_BYTES);
        assert!(head.bytes.capacity() < 2 * MAX_IDLE_BYTES);
        head.clear();
        assert!(head.bytes.is_empty());
    }
}

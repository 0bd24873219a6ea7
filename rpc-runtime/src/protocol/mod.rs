//! The wire: HTTP parts become the parts of a call, and back. Nothing here reads or writes a socket.
//!
//! [`context`], [`identity`] and [`metadata`] are the headers that every protocol shares, [`body`] puts a message together;
//! [`connect`] is the first protocol.
//! Both directions of one header, one status, one body stand side by side, since a change of one is a change of both.

pub(crate) mod body;
pub(crate) mod connect;
pub(crate) mod context;
pub(crate) mod identity;
pub(crate) mod metadata;

/// Bytes of a stranger as text that may stand in a log line, an error or a terminal: escaped, at most `limit` bytes.
pub(crate) fn printable(bytes: &[u8], limit: usize) -> String {
    // Nothing gets shorter by escaping, so what is behind the limit is not even looked at.
    let start = &bytes[..bytes.len().min(limit)];
    let mut text = String::with_capacity(start.len());
    for c in String::from_utf8_lossy(start).chars() {
        match c {
            // They end nothing where this text stands, and escapes of them are hard to read.
            '"' | '\'' => text.push(c),
            _ => text.extend(c.escape_debug()),
        }
    }
    if text.len() > limit || bytes.len() > start.len() {
        text.truncate(text.floor_char_boundary(limit));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn what_is_printed_is_one_short_line_without_tricks() {
        assert_eq!(printable(b"/a.b/C", 64), "/a.b/C");
        assert_eq!(
            printable(b"a\r\nb\x1b[31m\0\"", 64),
            "a\\r\\nb\\u{1b}[31m\\0\""
        );
        assert_eq!(printable("é\u{202e}".as_bytes(), 64), "é\\u{202e}");
        assert_eq!(printable(&[0xff, b'a'], 64), "\u{fffd}a");
        assert_eq!(printable(b"abcdef", 3), "abc…");
        assert_eq!(printable(b"\n\n", 3), "\\n\\…");
    }
}

//! Converts HTTP requests and responses to the parts of a call and back. Does no I/O.
//!
//! [`context`], [`identity`] and [`metadata`] are headers that all protocols share. [`body`] reads
//! a body into memory. [`connect`] is the Connect protocol, the only one for now.
//!
//! Reading and writing of each header, status and body are in the same file, because a change of
//! one requires a change of the other.

pub(crate) mod authority;
pub(crate) mod body;
pub(crate) mod connect;
pub(crate) mod context;
pub(crate) mod identity;
mod manual_signature;
pub(crate) mod metadata;

use crate::compression::Compression;

/// The maximum size of a message, unless a client or server sets another.
pub(crate) const MESSAGE_LIMIT: usize = 4 << 20;

/// The maximum length of received text in a message, in bytes.
pub(crate) const QUOTED: usize = 128;

/// The form in which a client sends the message of a call, and the responses that it accepts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SendOptions {
    pub(crate) compression: Compression,
    /// Whether methods without side effects are called by `GET`.
    pub(crate) use_get: bool,
    /// The maximum size of the response, in bytes, before and after decompression.
    pub(crate) message_limit: usize,
    pub(crate) disclosure: Disclosure,
}

/// The part of the context of a call that a client sends.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Disclosure {
    pub(crate) servers: TrustedServers,
    pub(crate) to_others: SentToOthers,
}

/// The servers that receive the context of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum TrustedServers {
    /// Those of signed calls, and those on this host.
    #[default]
    Known,
    All,
    None,
}

/// The part of the context for servers that do not receive all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct SentToOthers {
    pub(crate) request_id: bool,
    pub(crate) trace: bool,
}

impl Disclosure {
    /// Returns what a server receives instead of the context; `None` if it receives the context.
    /// `is_known` tells whether the call is signed or the server is on this host.
    pub(crate) fn restriction(self, is_known: bool) -> Option<SentToOthers> {
        let is_trusted = match self.servers {
            TrustedServers::Known => is_known,
            TrustedServers::All => true,
            TrustedServers::None => false,
        };
        (!is_trusted).then_some(self.to_others)
    }
}

impl Default for SendOptions {
    fn default() -> Self {
        Self {
            compression: Compression::off(),
            use_get: false,
            message_limit: MESSAGE_LIMIT,
            disclosure: Disclosure::default(),
        }
    }
}

/// Converts untrusted bytes to text that is safe in a log line, an error or a terminal: escaped,
/// and at most `limit` bytes plus an ellipsis. In contrast to
/// [`EscapeControl`](crate::text::EscapeControl) it also escapes backslashes and all characters
/// that the standard library does not print.
pub(crate) fn printable(bytes: &[u8], limit: usize) -> String {
    // Escaping never shortens text, so bytes after the limit need not be read.
    let start = &bytes[..bytes.len().min(limit)];
    let mut text = String::with_capacity(start.len());
    for c in String::from_utf8_lossy(start).chars() {
        match c {
            // Quotes are safe in these contexts, and easier to read unescaped.
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
    fn printable_text_is_one_short_escaped_line() {
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

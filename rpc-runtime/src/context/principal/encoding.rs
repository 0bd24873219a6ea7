//! The form of a principal in a header: `sub=alice;role=operator;claim=tenant:blue`.
//!
//! Texts are percent-encoded UTF-8. It is not JSON, because a server reads it and checks its
//! signature with every call.

use std::borrow::Cow;
use std::fmt::Write as _;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use super::{Fields, Principal};

/// The characters that are escaped, beside those above ASCII.
const ESCAPED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'%')
    .add(b',')
    .add(b':')
    .add(b';')
    .add(b'\\');

pub(super) fn encode(principal: &Principal) -> String {
    let text = |text| utf8_percent_encode(text, ESCAPED);
    let mut encoded = format!("sub={}", text(principal.subject()));
    // Writing to a `String` cannot fail.
    for role in principal.roles() {
        let _ = write!(encoded, ";role={}", text(role));
    }
    for (name, value) in principal.claims() {
        let _ = write!(encoded, ";claim={}:{}", text(name), text(value));
    }
    encoded
}

/// Reads the fields. `None` for anything else, so that no two servers read one text differently.
pub(super) fn decode(encoded: &str) -> Option<Fields> {
    let mut parts = encoded.split(';');
    let subject = text(parts.next()?.strip_prefix("sub=")?)?;
    let mut fields = Fields {
        text: String::with_capacity(encoded.len()),
        ..Fields::default()
    };
    fields.subject = fields.push(&subject);
    for part in parts {
        if let Some(role) = part.strip_prefix("role=") {
            fields.add_role(&text(role)?);
        } else {
            let (name, value) = part.strip_prefix("claim=")?.split_once(':')?;
            let name = text(name)?;
            if fields.claim_index(&name).is_ok() {
                return None;
            }
            fields.set_claim(&name, &text(value)?);
        }
    }
    Some(fields)
}

/// Decodes a text in which everything is escaped that has to be, and nothing is cut.
fn text(encoded: &str) -> Option<Cow<'_, str>> {
    let mut bytes = encoded.bytes();
    while let Some(byte) = bytes.next() {
        let digits = if byte == b'%' { 2 } else { 0 };
        let is_escape =
            (0..digits).all(|_| bytes.next().is_some_and(|digit| digit.is_ascii_hexdigit()));
        let is_plain =
            byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b':' | b';' | b'\\');
        if !(is_escape && is_plain) {
            return None;
        }
    }
    percent_decode_str(encoded).decode_utf8().ok()
}

//! Formats a record as one line that its text cannot break or forge.

use std::borrow::Cow;

use rpc_runtime::RequestId;

use crate::api::logsink::{Record, TEXT_LIMIT};
use crate::terminal;

/// Name of a caller that sends none. It is a valid part of a source, so it can be stored as one.
pub(super) const UNKNOWN: &str = "-";

/// Cuts a text to [`TEXT_LIMIT`] bytes and appends how many bytes were cut off.
pub(super) fn shorten(text: &str) -> Cow<'_, str> {
    let kept = &text[..text.floor_char_boundary(TEXT_LIMIT)];
    match text.len() - kept.len() {
        0 => Cow::Borrowed(text),
        cut => Cow::Owned(format!("{kept}… ({cut} more bytes)")),
    }
}

/// Appends the line of a record, with a line feed: `[ENVIRONMENT_SERVER] REQUEST_ID TEXT`.
///
/// Source and request ID contain neither spaces nor control characters, so only the text is
/// escaped.
pub fn append_line(record: &Record, out: &mut String) {
    out.push('[');
    out.push_str(record.source.environment());
    out.push('_');
    out.push_str(record.source.server());
    out.push_str("] ");
    out.push_str(
        record
            .request_id
            .as_ref()
            .map_or(UNKNOWN, RequestId::as_str),
    );
    out.push(' ');
    terminal::escape(&record.text, out);
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::logsink::Level;

    fn record(text: &str) -> Record {
        let source = "userstore@prod/a1".parse().unwrap();
        let time = "2026-11-22T12:25:34.021Z".parse().unwrap();
        let mut record = Record::new(source, time, Level::Info, text);
        record.request_id = RequestId::parse("3b9d41f8a0c2e576");
        record
    }

    fn line(text: &str) -> String {
        let mut out = String::new();
        append_line(&record(text), &mut out);
        out
    }

    #[test]
    fn g04_the_golden_line() {
        assert_eq!(
            line("Credit for username incremented -1 yielding 3"),
            "[prod_userstore] 3b9d41f8a0c2e576 Credit for username incremented -1 yielding 3\n"
        );
    }

    #[test]
    fn what_is_not_known_is_a_dash() {
        let mut out = String::new();
        let mut unknown = record("up");
        unknown.source = "-@-/-".parse().unwrap();
        unknown.request_id = None;
        append_line(&unknown, &mut out);
        assert_eq!(out, "[-_-] - up\n");
    }

    #[test]
    fn g09_no_text_makes_a_second_line_or_changes_its_own() {
        for (text, shown) in [
            (
                "a\n[prod_controller] - paid",
                r"a\n[prod_controller] - paid",
            ),
            (
                "a\r[prod_controller] - paid",
                r"a\r[prod_controller] - paid",
            ),
            ("a\r\nb", r"a\r\nb"),
            ("a\tb", r"a\tb"),
            ("a\u{b}b\u{c}c", r"a\u{b}b\u{c}c"),
            ("a\u{85}b\u{2028}c\u{2029}d", r"a\u{85}b\u{2028}c\u{2029}d"),
            ("a\0b", r"a\u{0}b"),
            ("\u{1b}[2K\u{1b}[1Aup", r"\u{1b}[2K\u{1b}[1Aup"),
            ("\u{9b}2Kup", r"\u{9b}2Kup"),
            ("\u{1b}]0;title\u{7}up", r"\u{1b}]0;title\u{7}up"),
            ("ab\u{8}\u{8}cd\u{7f}", r"ab\u{8}\u{8}cd\u{7f}"),
            ("user \u{202e}nimda\u{202c}", r"user \u{202e}nimda\u{202c}"),
            (
                "\u{2066}x\u{2069}\u{200f}\u{61c}",
                r"\u{2066}x\u{2069}\u{200f}\u{61c}",
            ),
            ("\n", r"\n"),
        ] {
            let printed = line(text);
            assert_eq!(
                printed,
                format!("[prod_userstore] 3b9d41f8a0c2e576 {shown}\n")
            );
        }
    }

    #[test]
    fn what_only_shows_stays_as_it_is() {
        for text in [
            "Ada zahlte 3 €",
            "日本語",
            "שלום",
            "👩‍💻 done",
            r"C:\new\table \d+",
            "a\u{a0}b",
            "\"quoted\" 'text'",
        ] {
            assert_eq!(
                line(text),
                format!("[prod_userstore] 3b9d41f8a0c2e576 {text}\n")
            );
        }
    }

    #[test]
    fn a_long_text_is_cut_between_characters_and_says_so() {
        let whole = "é".repeat(TEXT_LIMIT / 2);
        assert_eq!(shorten(&whole), whole);
        let long = format!("a{whole}b");
        let short = shorten(&long);
        assert!(
            short.ends_with("é… (3 more bytes)"),
            "{}",
            &short[short.len() - 40..]
        );
    }
}

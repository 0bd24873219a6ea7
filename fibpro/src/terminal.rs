//! Texts of other processes on a terminal: they must not send commands to it or forge lines.

use std::borrow::Cow;
use std::fmt::Write as _;

use rpc_runtime::text::is_invisible;
use serde::Serialize;

/// Returns whether a character ends a line, controls a terminal, changes the reading direction or
/// cannot be seen.
#[must_use]
pub fn is_unsafe(c: char) -> bool {
    // Line and paragraph separator of Unicode; all other line ends are control characters.
    let is_separator = matches!(c, '\u{2028}' | '\u{2029}');
    c.is_control() || is_separator || (is_invisible(c) && !is_part_of_words(c))
}

/// Returns whether this is a joiner or a variation selector, which are parts of words and emoji.
/// Tags are not, although three flags have them: they can hide a text of any length.
fn is_part_of_words(c: char) -> bool {
    matches!(c,
        '\u{180b}'..='\u{180d}' | '\u{180f}' | '\u{200c}'..='\u{200d}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}')
}

/// Appends a text on one line, with its unsafe characters escaped.
///
/// The escapes are for readers and cannot be reversed: a backslash is not escaped, so that paths
/// and patterns stay readable. `\
/// ` in the output was either a line feed or these two characters.
pub fn escape(text: &str, out: &mut String) {
    escape_except(text, out, |_| false);
}

/// Returns a text on one line, with its unsafe characters escaped; see [`escape`].
#[must_use]
pub fn one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    escape(text, &mut out);
    Cow::Owned(out)
}

/// Returns a text of several lines, with all other unsafe characters escaped.
#[must_use]
pub fn lines(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    escape_except(text, &mut out, |c| matches!(c, '\n' | '\t'));
    out
}

/// Returns a value as JSON on one line, whose strings contain no unsafe characters.
///
/// # Errors
///
/// Those of the value's serialization.
pub fn json(value: &impl Serialize) -> serde_json::Result<String> {
    serde_json::to_string(value).map(escape_json)
}

/// Like [`json`], indented.
///
/// # Errors
///
/// As [`json`].
pub fn json_pretty(value: &impl Serialize) -> serde_json::Result<String> {
    serde_json::to_string_pretty(value).map(escape_json)
}

/// Returns JSON text with a line for each value, as [`json_pretty`] does. Names and numbers stay as
/// they are written.
#[must_use]
pub fn json_indented(json: &str) -> String {
    let mut out = String::with_capacity(2 * json.len());
    let mut depth = 0;
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    let mut rest = json.trim_matches(JSON_SPACE);
    while let Some(first) = rest.chars().next() {
        let length = if first == '"' {
            string_length(rest)
        } else {
            first.len_utf8()
        };
        let (token, after) = rest.split_at(length);
        rest = after.trim_start_matches(JSON_SPACE);
        match first {
            '{' | '[' if rest.starts_with(['}', ']']) => out.push(first),
            '{' | '[' => {
                depth += 1;
                out.push(first);
                line(&mut out, depth);
            }
            '}' | ']' if out.ends_with(['{', '[']) => out.push(first),
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(first);
            }
            ',' => {
                out.push(first);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            _ => out.push_str(token),
        }
    }
    escape_json(out)
}

const JSON_SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

/// Returns the length of the string with which a text begins, with its quotes.
fn string_length(text: &str) -> usize {
    let mut is_escaped = false;
    let end = text.char_indices().skip(1).find(|(_, c)| {
        let ends = *c == '"' && !is_escaped;
        is_escaped = *c == '\\' && !is_escaped;
        ends
    });
    end.map_or(text.len(), |(at, _)| at + 1)
}

/// Escapes what serde does not. Outside of strings JSON has no such characters but line feeds.
fn escape_json(json: String) -> String {
    let needs_escape = |c: char| is_unsafe(c) && c != '\n';
    if !json.contains(needs_escape) {
        return json;
    }
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if needs_escape(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

fn escape_except(text: &str, out: &mut String, is_allowed: impl Fn(char) -> bool) {
    let needs_escape = |c: char| is_unsafe(c) && !is_allowed(c);
    let mut rest = text;
    // Most texts need no escapes: one scan and one copy.
    while let Some((at, c)) = rest.char_indices().find(|(_, c)| needs_escape(*c)) {
        out.push_str(&rest[..at]);
        out.extend(c.escape_default());
        rest = &rest[at + c.len_utf8()..];
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVIL: &str = "a\u{1b}[2J\u{9b}1A\r\nb\t\u{7f}\u{202e}\u{2028}é\\";

    #[test]
    fn nothing_unsafe_is_left() {
        assert_eq!(
            one_line(EVIL),
            r"a\u{1b}[2J\u{9b}1A\r\nb\t\u{7f}\u{202e}\u{2028}é\"
        );
        assert_eq!(
            lines(EVIL),
            "a\\u{1b}[2J\\u{9b}1A\\r\nb\t\\u{7f}\\u{202e}\\u{2028}é\\"
        );
        assert!(matches!(one_line("日本語 👩‍💻"), Cow::Borrowed(_)));
    }

    #[test]
    fn characters_that_cannot_be_seen_are_escaped() {
        for c in [
            '\u{ad}',
            '\u{200b}',
            '\u{2060}',
            '\u{3164}',
            '\u{feff}',
            '\u{e0001}',
            '\u{e0041}',
            '\u{180e}',
            '\u{fff9}',
        ] {
            assert_eq!(
                one_line(&format!("Zoë{c}")),
                format!("Zoë{}", c.escape_unicode())
            );
        }
        for visible in ["می\u{200c}خواهم", "❤\u{fe0f}", "e\u{301}"] {
            assert_eq!(one_line(visible), visible);
        }
    }

    #[test]
    fn escaped_json_is_the_same_value() {
        for text in [EVIL, "", "\u{2066}\"\\\u{85}"] {
            let value = serde_json::json!({ text: [text] });
            for json in [json(&value).unwrap(), json_pretty(&value).unwrap()] {
                assert!(!json.replace('\n', "").contains(is_unsafe), "{json:?}");
                let read: serde_json::Value = serde_json::from_str(&json).unwrap();
                assert_eq!(read, value);
            }
        }
    }

    #[test]
    fn indented_json_has_the_same_tokens() {
        let value = serde_json::json!({
            "a": [1, [], {}, [{"b": "{[,:]} \"x\" \\"}], null], "": {"c": [[2.5]]}, "d": ""
        });
        for json in [
            value.to_string(),
            serde_json::to_string_pretty(&value).unwrap(),
        ] {
            assert_eq!(json_indented(&json), json_pretty(&value).unwrap());
        }
        for (json, expected) in [
            (" { } ", "{}"),
            (
                "{\"n\":18446744073709551616}",
                "{\n  \"n\": 18446744073709551616\n}",
            ),
            (
                "{\"n\":-0,\"n\":1E400}",
                "{\n  \"n\": -0,\n  \"n\": 1E400\n}",
            ),
            ("[\"\u{202e}\"]", "[\n  \"\\u202e\"\n]"),
        ] {
            assert_eq!(json_indented(json), expected);
        }
    }
}

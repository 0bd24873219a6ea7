//! Text for error messages and logs: escaping, truncation, suggestions.

use std::borrow::Cow;
use std::fmt;

/// The maximum length of a URL in an error message, in characters.
const URL_LIMIT: usize = 128;

/// The lowest similarity, from 0 to 1, at which [`suggest`] offers a name; 1 means equal.
const MIN_SIMILARITY: f64 = 0.6;

/// Displays a text on one line: control characters, the Unicode line separators and characters that
/// cannot be seen or change the reading direction are escaped as `\u{…}`.
///
/// Such a text may quote a peer. It must not forge lines of a log or send commands to a terminal,
/// and must not look like another text.
pub(crate) struct EscapeControl<'t>(pub(crate) &'t str);

impl<'t> EscapeControl<'t> {
    /// Returns the escaped text. Most texts stay as they are.
    pub(crate) fn to_cow(&self) -> Cow<'t, str> {
        if self.0.chars().any(is_escaped) {
            Cow::Owned(self.to_string())
        } else {
            Cow::Borrowed(self.0)
        }
    }

    /// Returns the escaped text, ended by `…` at the first character that starts at or after
    /// `limit` bytes.
    pub(crate) fn truncated(&self, limit: usize) -> String {
        let mut out = String::with_capacity(self.0.len().min(limit));
        for c in self.0.chars() {
            if out.len() >= limit {
                out.push('…');
                break;
            }
            // Writing to a `String` cannot fail.
            let _ = write_escaped(&mut out, c);
        }
        out
    }
}

impl fmt::Display for EscapeControl<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| write_escaped(f, c))
    }
}

fn write_escaped(out: &mut impl fmt::Write, c: char) -> fmt::Result {
    if is_escaped(c) {
        write!(out, "{}", c.escape_unicode())
    } else {
        out.write_char(c)
    }
}

fn is_escaped(c: char) -> bool {
    c.is_control() || is_separator(c) || is_invisible(c)
}

/// Returns whether this is a line or paragraph separator of Unicode. All other line ends are
/// control characters.
fn is_separator(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}')
}

/// Returns whether this has the Unicode property Default_Ignorable_Code_Point, which includes
/// Bidi_Control, or marks an annotation. Terminals show nothing for it.
#[must_use]
pub fn is_invisible(c: char) -> bool {
    !c.is_ascii()
        && matches!(c,
            '\u{00ad}' | '\u{034f}' | '\u{061c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// Returns a URL in printable form for an error: escaped, shortened, and without the parts that may
/// be secret.
pub(crate) fn public_url(url: &str) -> String {
    let url = url.rsplit_once('@').map_or(url, |(_, host)| host);
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let mut shown: String = url[..end].escape_debug().take(URL_LIMIT).collect();
    if end < url.len() || url.escape_debug().nth(URL_LIMIT).is_some() {
        shown.push('…');
    }
    shown
}

/// Formats a text of at most `limit` bytes, ended by `…` where it is truncated. No more of it is
/// formatted.
pub(crate) fn format_truncated(text: fmt::Arguments<'_>, limit: usize) -> String {
    let mut truncated = TruncatedText {
        text: String::new(),
        limit,
    };
    if fmt::write(&mut truncated, text).is_err() {
        truncated.text.push('…');
    }
    truncated.text
}

/// A text that takes no more than its limit.
struct TruncatedText {
    text: String,
    limit: usize,
}

impl fmt::Write for TruncatedText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.limit - self.text.len();
        self.text.push_str(truncate_str(text, room));
        if text.len() > room {
            return Err(fmt::Error);
        }
        Ok(())
    }
}

/// Returns the longest prefix of `text` that has at most `limit` bytes and ends at a character
/// boundary.
pub(crate) fn truncate_str(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

/// Returns the candidate that is most similar to `name`, if any is similar enough to be meant ("did
/// you mean").
///
/// Both sides are compared in the form that `normalize` gives them.
pub(crate) fn suggest<'n>(
    name: &str,
    candidates: impl Iterator<Item = &'n str>,
    normalize: impl Fn(&str) -> String,
) -> Option<&'n str> {
    let name = normalize(name);
    let similarity =
        |candidate: &'n str| strsim::normalized_damerau_levenshtein(&normalize(candidate), &name);
    candidates
        .map(|candidate| (similarity(candidate), candidate))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|nearest| nearest.0 >= MIN_SIMILARITY)
        .map(|nearest| nearest.1)
}

/// Returns the log level that is probably meant by a word that is not one.
pub(crate) fn suggest_level(word: &str) -> Option<&'static str> {
    const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
    /// The levels of other logging systems.
    const OTHERS: [(&str, &str); 14] = [
        ("all", "trace"),
        ("alert", "error"),
        ("critical", "error"),
        ("emerg", "error"),
        ("err", "error"),
        ("fatal", "error"),
        ("fine", "debug"),
        ("none", "off"),
        ("notice", "info"),
        ("quiet", "warn"),
        ("severe", "error"),
        ("silent", "off"),
        ("verbose", "debug"),
        ("warning", "warn"),
    ];
    let word = word
        .trim_matches(|c: char| !c.is_alphanumeric())
        .to_lowercase();
    let other = OTHERS.iter().find(|other| other.0 == word);
    match other {
        Some(other) => Some(other.1),
        None => suggest(&word, LEVELS.into_iter(), str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_url_has_no_secrets() {
        for url in [
            "http://user:canary@a",
            "http://user:can/canary@a:1",
            "http://a?token=canary",
            "http://a/b#canary",
            "user:canary@a",
            "pricing=http://user:canary@a?canary",
        ] {
            let shown = public_url(url);
            assert!(!shown.contains("canary"), "{shown}");
        }
        assert_eq!(public_url("http://a?b"), "http://a…");
        assert_eq!(public_url("http://a"), "http://a");
        assert_eq!(public_url(&"x".repeat(500)).chars().count(), URL_LIMIT + 1);
    }

    #[test]
    fn control_characters_are_escaped() {
        let escaped = EscapeControl("a\n\u{1b}[31m\u{2028}\u{202e}é\\\"").to_string();
        assert_eq!(escaped, "a\\u{a}\\u{1b}[31m\\u{2028}\\u{202e}é\\\"");
    }

    #[test]
    fn characters_that_cannot_be_seen_are_escaped() {
        for c in [
            '\u{ad}',
            '\u{34f}',
            '\u{61c}',
            '\u{1160}',
            '\u{180e}',
            '\u{200b}',
            '\u{200d}',
            '\u{2060}',
            '\u{2064}',
            '\u{2069}',
            '\u{206f}',
            '\u{3164}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{ffa0}',
            '\u{fffb}',
            '\u{1d173}',
            '\u{e0001}',
            '\u{e01ef}',
        ] {
            let escaped = EscapeControl(&format!("log_rpc{c}")).to_string();
            assert_eq!(escaped, format!("log_rpc{}", c.escape_unicode()));
        }
        for visible in [
            "e\u{301}",
            "한",
            "日本\u{3000}語",
            "\u{fffd}",
            "😀",
            "ا",
            "a\u{a0}b",
        ] {
            assert_eq!(EscapeControl(visible).to_string(), visible);
        }
    }

    #[test]
    fn an_escaped_text_ends_at_its_limit() {
        assert_eq!(EscapeControl("abc").truncated(3), "abc");
        assert_eq!(EscapeControl("abcd").truncated(3), "abc…");
        assert_eq!(EscapeControl("\nabcd").truncated(3), "\\u{a}…");
        assert_eq!(EscapeControl("").truncated(0), "");
    }

    #[test]
    fn truncation_splits_no_character() {
        assert_eq!(truncate_str("aé", 2), "a");
        assert_eq!(truncate_str("aé", 3), "aé");
        assert_eq!(truncate_str("a", 9), "a");
    }

    #[test]
    fn only_a_similar_name_is_suggested() {
        let suggest = |name: &str| {
            suggest(
                name,
                ["log_rpc", "largest_n"].into_iter(),
                str::to_lowercase,
            )
        };
        assert_eq!(suggest("LOG_RCP"), Some("log_rpc"));
        assert_eq!(suggest("largest"), Some("largest_n"));
        assert_eq!(suggest("colour"), None);
        assert_eq!(super::suggest("a", std::iter::empty(), str::to_owned), None);
    }
}

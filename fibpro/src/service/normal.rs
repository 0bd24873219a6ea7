//! Unicode normalization of names and passwords.
//!
//! Keyboards and systems send `é` as one character (NFC) or as a letter and an accent (NFD). Names
//! and passwords are compared in NFC.

use std::borrow::Cow;

use unicode_normalization::{IsNormalized, UnicodeNormalization as _, is_nfc_quick};

/// Returns a text in NFC.
pub(super) fn nfc(text: &str) -> Cow<'_, str> {
    match is_nfc_quick(text.chars()) {
        IsNormalized::Yes => Cow::Borrowed(text),
        _ => Cow::Owned(text.nfc().collect()),
    }
}

/// Returns the spellings under which a text may be stored: NFC, and those that an earlier version
/// stored as they were: as typed, and NFD.
pub(super) fn spellings(typed: &str) -> Vec<String> {
    let mut spellings = vec![nfc(typed).into_owned()];
    if !typed.is_ascii() {
        for spelling in [typed.to_owned(), typed.nfd().collect()] {
            if !spellings.contains(&spelling) {
                spellings.push(spelling);
            }
        }
    }
    spellings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_compared_in_nfc() {
        for (text, normal) in [
            ("ada", "ada"),
            ("jörg", "jörg"),
            ("jo\u{308}rg", "jörg"),
            ("\u{1112}\u{1161}\u{11ab}", "한"),
            ("\u{212b}", "Å"),
            ("q\u{307}\u{323}", "q\u{323}\u{307}"),
            // Compatibility characters stay apart.
            ("ﬁ", "ﬁ"),
        ] {
            assert_eq!(nfc(text), normal);
        }
        assert!(matches!(nfc("jörg"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_text_has_one_to_three_spellings() {
        assert_eq!(spellings("secret"), ["secret"]);
        assert_eq!(spellings("ß"), ["ß"]);
        assert_eq!(spellings("é"), ["é", "e\u{301}"]);
        assert_eq!(spellings("e\u{301}"), ["é", "e\u{301}"]);
        assert_eq!(
            spellings("éo\u{308}"),
            ["éö", "éo\u{308}", "e\u{301}o\u{308}"]
        );
    }
}

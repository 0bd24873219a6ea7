//! The base64 engines of the wire formats. Decoding accepts values with and without padding.

use base64::DecodeError;
use base64::alphabet::{STANDARD as STANDARD_ALPHABET, URL_SAFE as URL_SAFE_ALPHABET};
use base64::engine::DecodePaddingMode;
pub(crate) use base64::engine::Engine;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

const PADDED: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);

/// Standard alphabet, written with padding: bytes in messages, as in ProtoJSON.
pub(crate) const STANDARD: GeneralPurpose = GeneralPurpose::new(&STANDARD_ALPHABET, PADDED);

/// Standard alphabet, written without padding: details of errors, as in Connect.
pub(crate) const STANDARD_NO_PAD: GeneralPurpose =
    GeneralPurpose::new(&STANDARD_ALPHABET, PADDED.with_encode_padding(false));

/// URL-safe alphabet, written without padding: messages in the query of a `GET`.
pub(crate) const URL_SAFE: GeneralPurpose =
    GeneralPurpose::new(&URL_SAFE_ALPHABET, PADDED.with_encode_padding(false));

/// Describes what is wrong with a text.
pub(crate) fn describe(error: &DecodeError) -> String {
    match error {
        DecodeError::InvalidByte(position, byte) => format!(
            "the character `{}` at position {position} is not in the alphabet",
            byte.escape_ascii()
        ),
        DecodeError::InvalidLength(_) => "a part of it is missing at the end".to_owned(),
        DecodeError::InvalidLastSymbol { offset, .. } => {
            format!("the last character, at position {offset}, has bits that belong to no byte")
        }
        DecodeError::InvalidPadding => "its padding is wrong".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_text_is_described() {
        for (text, what) in [
            (
                "eyJ/",
                "the character `/` at position 3 is not in the alphabet",
            ),
            ("e\nJa", "the character `\\n` at position 1"),
            ("\u{e9}aaa", "the character `\\xc3` at position 0"),
            ("aaaaa", "a part of it is missing"),
            ("aa=a", "`=` at position 2"),
            ("aab", "the last character, at position 2"),
        ] {
            let described = describe(&URL_SAFE.decode(text).unwrap_err());
            assert!(described.contains(what), "{text:?}: {described}");
        }
    }

    #[test]
    fn each_engine_writes_its_form_and_reads_both() {
        for (engine, written, other) in [
            (&STANDARD, "+/8=", "+/8"),
            (&STANDARD_NO_PAD, "+/8", "+/8="),
            (&URL_SAFE, "-_8", "-_8="),
        ] {
            assert_eq!(engine.encode([0xfb, 0xff]), written);
            for text in [written, other] {
                assert_eq!(engine.decode(text).unwrap(), [0xfb, 0xff]);
            }
        }
        assert!(STANDARD.decode("-_8=").is_err());
        assert!(URL_SAFE.decode("+/8=").is_err());
    }
}

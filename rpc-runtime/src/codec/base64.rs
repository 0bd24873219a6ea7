//! The base64 engines of the wire formats. Decoding accepts values with and without padding.

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

#[cfg(test)]
mod tests {
    use super::*;

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

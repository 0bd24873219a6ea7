//! The fields of an encoded protobuf message, before it is decoded: an entry of two bytes may take
//! more than a hundred when it is.

use prost::encoding::{DecodeContext, decode_key, skip_field};

/// The encoded fields of a message, without those of its inner messages. Ends at a malformed one,
/// which is the rest of the message.
#[derive(Clone)]
pub(super) struct EncodedFields<'v>(&'v [u8]);

impl<'v> EncodedFields<'v> {
    pub(super) fn of(message: &'v [u8]) -> Self {
        Self(message)
    }

    /// Returns a message of the first and the last `number` fields.
    pub(super) fn first_and_last(self, number: usize) -> Vec<u8> {
        let last = self.clone().count().saturating_sub(number);
        let fields = self
            .enumerate()
            .filter(|(index, _)| *index < number || *index >= last);
        fields.flat_map(|(_, field)| field).copied().collect()
    }
}

impl<'v> Iterator for EncodedFields<'v> {
    type Item = &'v [u8];

    fn next(&mut self) -> Option<&'v [u8]> {
        let mut rest = self.0;
        if rest.is_empty() {
            return None;
        }
        let skipped = decode_key(&mut rest)
            .and_then(|(tag, kind)| skip_field(kind, tag, &mut rest, DecodeContext::default()));
        let length = match skipped {
            Ok(()) => self.0.len() - rest.len(),
            Err(_) => self.0.len(),
        };
        let (field, rest) = self.0.split_at(length);
        self.0 = rest;
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_split_without_decoding_them() {
        // A string, a number, a message with two fields, and a length beyond the end.
        let message = b"\x0a\x01a\x10\x05\x1a\x04\x08\x01\x10\x02\x0a\x7fab";
        let fields: Vec<_> = EncodedFields::of(message).collect();
        assert_eq!(
            fields,
            [
                &b"\x0a\x01a"[..],
                b"\x10\x05",
                b"\x1a\x04\x08\x01\x10\x02",
                b"\x0a\x7fab"
            ]
        );
        assert_eq!(EncodedFields::of(b"").count(), 0);
        let fields =
            EncodedFields::of(b"\x08\x01\x08\x02\x08\x03\x08\x04\x08\x05").first_and_last(2);
        assert_eq!(fields, b"\x08\x01\x08\x02\x08\x04\x08\x05");
        let all = EncodedFields::of(b"\x08\x01\x08\x02\x08\x03").first_and_last(2);
        assert_eq!(all, b"\x08\x01\x08\x02\x08\x03");
    }
}

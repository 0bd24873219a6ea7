//! Computes the fingerprint of a message, independent of field order and white space.

use sha2::{Digest as _, Sha256};

use super::Fingerprint;

impl Fingerprint {
    /// Computes the fingerprint of a message that has been decoded, so it is valid JSON.
    ///
    /// One pass, without a tree and without recursion: the nesting is only limited by the length of
    /// the message. Each object is replaced by a digest of its sorted fields, so no part of a
    /// message is moved more than once.
    pub(crate) fn of(message: &[u8]) -> Self {
        let mut writer = CanonicalWriter {
            out: Vec::with_capacity(message.len().min(4 << 10)),
            open: Vec::new(),
            fields: Vec::new(),
        };
        let mut rest = message;
        while let Some((&first, behind)) = rest.split_first() {
            let length = match first {
                b' ' | b'\t' | b'\n' | b'\r' => 1,
                b'"' => {
                    let length = string(rest);
                    writer.out.extend_from_slice(&rest[..length]);
                    length
                }
                sign => {
                    writer.sign(sign);
                    1
                }
            };
            rest = behind.get(length - 1..).unwrap_or_default();
        }
        Self::from_bytes(Sha256::digest(&writer.out).into())
    }
}

struct CanonicalWriter {
    out: Vec<u8>,
    open: Vec<OpenContainer>,
    /// The offsets in `out` at which the fields of the open objects begin.
    fields: Vec<usize>,
}

enum OpenContainer {
    Array,
    /// The number of entries in `fields` that belong to outer objects.
    Object(usize),
}

impl CanonicalWriter {
    fn sign(&mut self, sign: u8) {
        match (sign, self.open.last()) {
            (b'{', _) => {
                self.open.push(OpenContainer::Object(self.fields.len()));
                self.fields.push(self.out.len());
            }
            (b',', Some(OpenContainer::Object(_))) => self.fields.push(self.out.len()),
            (b'}', Some(&OpenContainer::Object(outer))) => {
                self.open.pop();
                self.close(outer);
            }
            (b'[', _) => {
                self.open.push(OpenContainer::Array);
                self.out.push(sign);
            }
            (b']', _) => {
                self.open.pop();
                self.out.push(sign);
            }
            // Commas of arrays, colons, and the characters of numbers and literals.
            _ => self.out.push(sign),
        }
    }

    fn close(&mut self, outer: usize) {
        let begins = &self.fields[outer..];
        let start = begins.first().copied().unwrap_or(self.out.len());
        if start == self.out.len() {
            self.fields.truncate(outer);
            self.out.extend_from_slice(b"{}");
            return;
        }
        let ends = begins.iter().skip(1).copied().chain([self.out.len()]);
        let mut fields: Vec<&[u8]> = begins
            .iter()
            .zip(ends)
            .map(|(&begin, end)| &self.out[begin..end])
            .collect();
        fields.sort_unstable();
        let mut digest = Sha256::new();
        for field in fields {
            digest.update(field.len().to_le_bytes());
            digest.update(field);
        }
        self.fields.truncate(outer);
        self.out.truncate(start);
        // No JSON value begins with this letter, and digests have a fixed length, so no value can
        // imitate a digest.
        self.out.push(b'o');
        self.out.extend_from_slice(&digest.finalize());
    }
}

/// Returns the length of the string at the beginning of `json`, including its quotes.
fn string(json: &[u8]) -> usize {
    let mut escaped = false;
    for (index, &byte) in json.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return index + 1,
            _ => {}
        }
    }
    json.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(a: &str, b: &str) -> bool {
        Fingerprint::of(a.as_bytes()) == Fingerprint::of(b.as_bytes())
    }

    #[test]
    fn field_order_and_white_space_do_not_matter() {
        assert!(same(
            r#"{"a":1,"b":{"c":[1,2],"d":"x y"}}"#,
            "{ \"b\" : {\"d\":\"x y\",\n\"c\":[1, 2]} , \"a\":1 }"
        ));
        assert!(same("{}", " { } "));
        assert!(same(r#"[{"a":1,"b":2}]"#, r#"[{"b":2,"a":1}]"#));
    }

    #[test]
    fn every_other_difference_matters() {
        let all = [
            "{}",
            "[]",
            "[{}]",
            "{\"a\":{}}",
            "{\"a\":[]}",
            "{\"a\":null}",
            "{\"a\":1}",
            "{\"a\":1.0}",
            "{\"a\":\"1\"}",
            "{\"a\":12}",
            "{\"a\":[1,2]}",
            "{\"a\":[2,1]}",
            "{\"a\":[12]}",
            "{\"a\":[[1],2]}",
            "{\"b\":1}",
            "{\"a\":1,\"b\":1}",
            "{\"a\":{\"b\":1}}",
            "{\"a\":1,\"a\":1}",
            "{\"a\":\"x y\"}",
            "{\"a\":\"xy\"}",
            "{\"a\":\"\\\"b\\\":1\"}",
            "{\"a\":true}",
            "[{\"a\":1},{\"b\":1}]",
            "[{\"b\":1},{\"a\":1}]",
            "18446744073709551617",
            "18446744073709551618",
        ];
        for (n, a) in all.iter().enumerate() {
            for b in &all[n + 1..] {
                assert!(!same(a, b), "{a} {b}");
            }
        }
    }

    #[test]
    fn depth_and_nonsense_do_no_harm() {
        let deep = "{\"b\":0,\"a\":".repeat(300_000) + "1" + &"}".repeat(300_000);
        assert!(!same(&deep, "{}"));
        for nonsense in ["", "}", "]", "{\"", "\"\\", "{,}", "[}", "{]"] {
            Fingerprint::of(nonsense.as_bytes());
        }
    }
}

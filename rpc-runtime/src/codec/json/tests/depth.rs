//! The writer refuses what is nested too deeply for the reader.

use std::collections::BTreeMap;

use super::*;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Nest {
    End,
    Bytes(#[serde(with = "as_bytes")] Vec<u8>),
    Value(Box<Nest>),
    Pair(u8, Box<Nest>),
    Field { inner: Box<Nest> },
    List(Vec<Nest>),
    Map(BTreeMap<u8, Nest>),
}

mod as_bytes {
    use super::*;

    pub(super) fn serialize<S: serde::Serializer>(
        bytes: &[u8],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        Vec::deserialize(deserializer)
    }
}

/// Returns a value of a shape with at least this number of levels.
fn nest(shape: &str, levels: usize, end: Nest) -> Nest {
    let mut value = end;
    let mut level = 0;
    while level < levels {
        let inner = Box::new(value);
        (value, level) = match shape {
            "value" => (Nest::Value(inner), level + 1),
            "pair" => (Nest::Pair(0, inner), level + 2),
            "field" => (Nest::Field { inner }, level + 2),
            "list" => (Nest::List(vec![Nest::End, *inner]), level + 2),
            _ => (Nest::Map(BTreeMap::from([(7, *inner)])), level + 2),
        };
    }
    value
}

/// Returns the nesting of JSON text without brackets in its strings.
fn levels(json: &str) -> usize {
    let deepest = json.bytes().scan(0_usize, |depth, byte| {
        match byte {
            b'[' | b'{' => *depth += 1,
            b']' | b'}' => *depth -= 1,
            _ => {}
        }
        Some(*depth)
    });
    deepest.max().unwrap_or(0)
}

#[test]
fn a_value_is_written_if_its_depth_is_read() {
    let mut refused = 0;
    for shape in ["value", "pair", "field", "list", "map"] {
        for depth in [0, 1, 2, 63, 124, 125, 126, 127, 128, 129, 300, 5_000] {
            for end in [Nest::End, Nest::Bytes(vec![1, 2])] {
                let json = serde_json::to_string(&nest(shape, depth.min(400), Nest::End));
                let deep = match &end {
                    Nest::End => levels(&json.unwrap()),
                    _ => levels(&json.unwrap()) + 2,
                };
                let value = nest(shape, depth, end);
                let mut out = Vec::new();
                let written = write(&value, &mut out, Position::Field);
                assert_eq!(written.is_ok(), deep <= 127, "{shape} {deep}");
                match written {
                    Ok(_) => assert_eq!(read_text::<Nest>(&out).unwrap(), value),
                    Err(error) => {
                        refused += 1;
                        let text = error.to_string();
                        let end = "more than 127 levels of arrays and objects";
                        assert!(text.ends_with(end), "{text}");
                    }
                }
            }
        }
    }
    assert!(refused > 30);
}

#[test]
fn the_error_of_a_deep_value_has_its_path() {
    let error = write_message(&nest("value", 128, Nest::End), &mut Vec::new()).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("Value.Value.Value.Value."), "{text}");
    let error = write_message(&nest("list", 128, Nest::End), &mut Vec::new()).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("List[1].List[1].List[1]"), "{text}");
}

#[test]
fn depth_is_counted_by_value_and_not_by_message() {
    let row = || nest("value", 127, Nest::End);
    let mut out = Vec::new();
    let mut writer = ObjectWriter::open(&mut out);
    for name in ["a", "b"] {
        let written = writer.field(name, |out| write(&row(), out, Position::Field));
        written.unwrap();
    }
    writer.close();
    let mut object = Object::open(&out).unwrap();
    while object.next_name().unwrap().is_some() {
        let value: Nest = read(object.value(), Position::Field).unwrap();
        assert_eq!(value, row());
    }
    // Values side by side do not add up.
    let wide: Vec<_> = (0..500).map(|_| nest("value", 126, Nest::End)).collect();
    let mut out = Vec::new();
    write(&wide, &mut out, Position::Field).unwrap();
    assert_eq!(read_text::<Vec<Nest>>(&out).unwrap(), wide);
}

#[test]
fn json_text_is_checked_where_it_is_written() {
    let list = |levels| "[".repeat(levels) + &"]".repeat(levels);
    let raw = |text: &str| RawJson::check(text.as_bytes().to_vec(), 0).unwrap();
    let mut out = Vec::new();
    write(&vec![raw(&list(126))], &mut out, Position::Field).unwrap();
    assert!(read_text::<Vec<RawJson>>(&out).is_ok());
    for value in [vec![raw(&list(127))], vec![raw("1"), raw(&list(127))]] {
        let error = write(&value, &mut Vec::new(), Position::Field).unwrap_err();
        let path = format!("[{}]: more than 127", value.len() - 1);
        assert!(error.to_string().starts_with(&path), "{error}");
    }
}

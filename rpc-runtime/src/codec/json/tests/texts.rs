//! The texts of errors, and their paths.

use std::collections::BTreeMap;

use super::*;

#[test]
fn bytes_are_expected_as_base64() {
    let expected = "v: invalid type: sequence, expected bytes as base64 text";
    assert_eq!(decode::<Vec<u8>>("[0,255]"), Err(expected.to_owned()));
    assert_eq!(
        decode::<Option<Vec<u8>>>("[0,255]"),
        Err(expected.to_owned())
    );
    assert_eq!(decode::<Bytes>("[]"), Err(expected.to_owned()));
    let error = decode::<Vec<Vec<u8>>>(r#"["AP8=",7]"#).unwrap_err();
    assert!(
        error.starts_with("v[1]: ") && error.contains("base64"),
        "{error}"
    );
}

#[test]
fn text_in_utf_16_is_named() {
    let le = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    let be = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_be_bytes).collect() };
    for text in [r#"{"v":1}"#, " {}", "{}", "\n\n{\"v\":\"a\"}"] {
        for body in [le(text), be(text)] {
            let error = Object::open(&body).map(drop).unwrap_err().to_string();
            assert!(error.contains("UTF-16"), "{error}");
            let error = read_message::<BTreeMap<String, u8>>(&body).unwrap_err();
            assert!(error.to_string().contains("UTF-16"), "{error}");
        }
    }
}

#[test]
fn a_number_out_of_range_has_its_path() {
    type Floats = BTreeMap<String, Vec<f64>>;
    let error = decode::<Floats>(r#"{"a":[1],"b":[2,1e400]}"#).unwrap_err();
    assert_eq!(error, "v.b[1]: number out of range");
    let error = decode::<BTreeMap<String, f64>>(r#"{"a":-1e999}"#).unwrap_err();
    assert_eq!(error, "v.a: number out of range");
    assert_eq!(
        decode::<f64>("1e400").unwrap_err(),
        "v: number out of range"
    );
}

#[test]
fn reader_and_writer_name_a_key_in_the_same_way() {
    for (key, shown) in [
        ("", "v.\"\""),
        ("a b", "v.a b"),
        ("\n\u{1b}", "v.\\u{a}\\u{1b}"),
        ("\u{feff}x", "v.\\u{feff}x"),
        ("é\"\\", "v.é\"\\"),
    ] {
        let map = BTreeMap::from([(key.to_owned(), f64::NAN)]);
        let written = write(&map, &mut Vec::new(), Position::Field);
        let written = written.unwrap_err().within("v").to_string();
        assert_eq!(
            written,
            format!("{shown}: NaN cannot be represented in JSON")
        );
        let json = serde_json::json!({ key: "x" }).to_string();
        let read = decode::<BTreeMap<String, f64>>(&json).unwrap_err();
        assert_eq!(read, format!("{shown}: invalid type: string, expected f64"));
    }
}

#[test]
fn lenient_text_keeps_what_can_be_read() {
    let read = |text: &str| read_lenient::<String>(text.as_bytes()).unwrap();
    assert_eq!(read(r#""a\ud800b""#), "a\u{fffd}b");
    assert_eq!(read(r#""\ud800\n\udc00""#), "\u{fffd}\n\u{fffd}");
    assert_eq!(read(r#""\ud800\u0041\ud83d\ude00""#), "\u{fffd}A😀");
    assert_eq!(read(r#""\ud800\ud83d\ude00""#), "\u{fffd}😀");
    assert_eq!(read("\"a\nb\tc\""), "a\nb\tc");
    assert_eq!(read("\u{feff}\"a\""), "a");
    assert_eq!(
        read_lenient::<String>(b"\"caf\xe9\"").unwrap(),
        "caf\u{fffd}"
    );
    for bad in [r#""\ud80""#, r#""\x""#, "\"a", "{", "\"a\" b"] {
        assert!(
            read_lenient::<serde_json::Value>(bad.as_bytes()).is_err(),
            "{bad}"
        );
    }
    // Messages are read strictly.
    assert!(read_text::<String>(br#""a\ud800b""#).is_err());
    assert!(read_text::<String>(b"\"a\nb\"").is_err());
}

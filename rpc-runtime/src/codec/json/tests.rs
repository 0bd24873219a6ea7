use serde::{Deserialize, Serialize};

use super::*;

mod depth;
mod texts;
mod wide;

fn decode<T: DeserializeOwned + 'static>(json: &str) -> Result<T, String> {
    let body = format!(r#"{{"v":{json}}}"#);
    let mut object =
        Object::open(body.as_bytes()).map_err(|p| p.into_error().message().to_owned())?;
    let mut value = None;
    while let Some(name) = object
        .next_name()
        .map_err(|p| p.into_error().message().to_owned())?
    {
        assert_eq!(name, "v");
        value = Some(
            read::<T>(object.value(), Position::Field)
                .map_err(|p| p.within("v").into_error().message().to_owned())?,
        );
    }
    value.ok_or_else(|| "missing".to_owned())
}

fn encode<T: Serialize + DeserializeOwned + 'static>(value: &T) -> String {
    let mut out = Vec::new();
    write(value, &mut out, Position::Inner).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn integers_of_64_bits_come_as_numbers_or_strings() {
    assert_eq!(decode::<u64>("3"), Ok(3));
    assert_eq!(decode::<u64>(r#""3""#), Ok(3));
    assert_eq!(decode::<u64>("10.0"), Ok(10));
    assert_eq!(decode::<u64>("18446744073709551615"), Ok(u64::MAX));
    assert_eq!(decode::<u64>(r#""18446744073709551615""#), Ok(u64::MAX));
    assert_eq!(decode::<i64>(r#""-9223372036854775808""#), Ok(i64::MIN));
    assert_eq!(decode::<Option<u64>>(r#""7""#), Ok(Some(7)));
    assert_eq!(decode::<Vec<i64>>(r#"["1",2]"#), Ok(vec![1, 2]));
    for bad in [
        "-1",
        "18446744073709551616",
        "1.5",
        "{}",
        r#""+5""#,
        r#""""#,
        r#""1e3""#,
        "1e400",
        "true",
        &"9".repeat(100_000),
    ] {
        let error = decode::<u64>(bad).unwrap_err();
        assert!(
            error.starts_with("v: ") || error.contains("number out of range"),
            "{error}"
        );
        assert!(error.len() < 600, "{}", error.len());
    }
    assert_eq!(encode(&u64::MAX), "18446744073709551615");
}

#[test]
fn integers_of_128_bits_are_decimal_text() {
    assert_eq!(
        encode(&u128::MAX),
        r#""340282366920938463463374607431768211455""#
    );
    assert_eq!(
        decode::<u128>(r#""340282366920938463463374607431768211455""#),
        Ok(u128::MAX)
    );
    assert_eq!(decode::<i128>("-5"), Ok(-5));
    assert_eq!(encode(&Some(3_u128)), r#""3""#);
}

#[test]
fn bytes_are_base64() {
    assert_eq!(encode(&vec![0_u8, 255]), r#""AP8=""#);
    assert_eq!(decode::<Vec<u8>>(r#""AP8=""#), Ok(vec![0, 255]));
    assert_eq!(decode::<Vec<u8>>(r#""AP8""#), Ok(vec![0, 255]));
    assert_eq!(decode::<Vec<u8>>(r#""_w""#), Ok(vec![255]));
    assert_eq!(
        decode::<Vec<Vec<u8>>>(r#"["AP8="]"#),
        Ok(vec![vec![0, 255]])
    );
    assert!(decode::<Vec<u8>>(r#""A""#).unwrap_err().contains("base64"));
    assert!(decode::<Vec<u8>>("[1,2]").is_err());
}

#[test]
fn nan_and_infinities_are_rejected() {
    let mut out = Vec::new();
    assert!(write(&f64::NAN, &mut out, Position::Field).is_err());
    assert!(write(&f32::INFINITY, &mut out, Position::Field).is_err());
    assert_eq!(encode(&1.5_f64), "1.5");
}

#[test]
fn only_an_option_and_a_unit_may_be_missing() {
    assert_eq!(default_if_missing::<Option<u32>>(), Some(None));
    assert_eq!(default_if_missing::<()>(), Some(()));
    assert_eq!(default_if_missing::<u32>(), None);
    assert_eq!(default_if_missing::<String>(), None);
    assert_eq!(default_if_missing::<Vec<u8>>(), None);
}

#[test]
fn a_decode_error_has_the_path() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Inner {
        level: u8,
    }
    #[derive(Debug, PartialEq, Deserialize)]
    struct Outer {
        list: Vec<Inner>,
    }
    let error = decode::<Outer>(r#"{"list":[{"level":1},{"level":"x"}]}"#).unwrap_err();
    assert_eq!(error, "v.list[1].level: invalid type: string, expected u8");
}

#[test]
fn names_match_in_snake_case_and_camel_case() {
    assert!(same_name("user_name", "user_name"));
    assert!(same_name("user_name", "userName"));
    for bad in [
        "username",
        "UserName",
        "user_Name",
        "userNam",
        "userNamee",
        "",
    ] {
        assert!(!same_name("user_name", bad), "{bad}");
    }
}

#[test]
fn only_a_single_complete_object_is_a_message() {
    let read = |body: &str| -> Result<usize, String> {
        let mut object =
            Object::open(body.as_bytes()).map_err(|p| p.into_error().message().to_owned())?;
        let mut fields = 0;
        while object
            .next_name()
            .map_err(|p| p.into_error().message().to_owned())?
            .is_some()
        {
            object
                .skip()
                .map_err(|p| p.into_error().message().to_owned())?;
            fields += 1;
        }
        Ok(fields)
    };
    assert_eq!(read("{}"), Ok(0));
    assert_eq!(
        read(" { \"a\" : [1,{\"b\":null}] ,\n\"c\\u0041\":\"d\"} \n"),
        Ok(2)
    );
    let deep = |n: usize| format!("{{\"x\":{}{}}}", "[".repeat(n), "]".repeat(n));
    assert_eq!(read(&deep(100)), Ok(1));
    for bad in [
        "",
        " ",
        "null",
        "[]",
        "\"x\"",
        "1",
        "{",
        "{\"n\":3",
        "{\"n\"}",
        "{\"n\":}",
        "{\"n\":1,}",
        "{,}",
        "{\"n\":1} x",
        "{\"n\":1}{\"n\":2}",
        "{n:1}",
        "{'n':1}",
        "{\"n\" 1}",
        "{\"n\":1 \"m\":2}",
        "{\"n\":nul}",
        "{\"n\":NaN}",
        "{\"n\":1e400}",
        "{\"\\ud800\":1}",
        "{\"n\":\"\u{0}\"}",
        &deep(129),
        &deep(5_000),
        &deep(100_000),
    ] {
        let error = read(bad).expect_err(&bad[..bad.len().min(40)]);
        assert!(error.len() < 600, "{}", error.len());
    }
}

#[test]
fn a_message_of_a_user_type_must_be_an_object() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Point(u8);
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Named {
        x: u8,
    }
    assert_eq!(read_message::<Named>(b" {\"x\":1}"), Ok(Named { x: 1 }));
    assert!(read_message::<Named>(b"[1]").is_err());
    assert!(read_message::<Named>(b"").is_err());
    assert!(read_message::<Named>(b"{\"x\":1} {}").is_err());
    assert!(write_message(&Point(1), &mut Vec::new()).is_err());
    assert!(write_message(&Named { x: 1 }, &mut Vec::new()).is_ok());
}

#[test]
fn a_syntax_error_has_its_byte_position() {
    let error = decode::<Vec<u32>>("\n[1,\n?]").unwrap_err();
    assert!(error.ends_with("(byte 10)"), "{error}");
    let error = read_message::<serde_json::Value>(b"{\n\"a\":?}")
        .unwrap_err()
        .into_error();
    assert!(error.message().ends_with("(byte 6)"), "{error}");
}

#[test]
fn an_f32_is_finite() {
    assert_eq!(decode::<f32>("1.5"), Ok(1.5));
    for bad in ["1e39", "-1e39"] {
        assert_eq!(
            decode::<f32>(bad),
            Err("v: number out of range for f32".to_owned())
        );
        assert!(
            decode::<Option<f32>>(bad).is_err() && decode::<Vec<f32>>(&format!("[{bad}]")).is_err()
        );
    }
}

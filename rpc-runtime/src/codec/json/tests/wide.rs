//! 128-bit integers in values that serde buffers, and the text of integers.

use std::collections::BTreeMap;

use super::*;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Either {
    Number(u128),
    Text(String),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Short {
    Wide(i128),
    Short(u8),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Big {
    Number(BigNum<u128>),
    List(Vec<String>),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Inner {
    big: u128,
    small: i64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Flat {
    #[serde(flatten)]
    inner: Inner,
    rest: u8,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    Wide { big: i128 },
    Narrow { small: u64 },
}

/// The content comes after the tag and is not buffered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "of")]
enum Adjacent {
    Wide(u128),
    Text(String),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Report {
    rows: Vec<(u128, Option<i128>)>,
    by_name: BTreeMap<String, u128>,
    place: Adjacent,
    text: String,
}

/// A sum that is sent and not read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Sum {
    parts: Vec<u64>,
    #[serde(skip_deserializing)]
    total: Option<u128>,
}

fn written<T: Serialize + DeserializeOwned + 'static>(value: &T) -> Result<String, String> {
    let mut out = Vec::new();
    match write(value, &mut out, Position::Field) {
        Ok(_) => Ok(String::from_utf8(out).unwrap()),
        Err(error) => Err(error.to_string()),
    }
}

fn refused<T: Serialize + DeserializeOwned + 'static>(value: &T) {
    let error = written(value).unwrap_err();
    assert!(error.contains("`untagged`, `flatten` and `tag`"), "{error}");
    assert!(error.ends_with("use `BigNum`"), "{error}");
}

fn arrives<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug + 'static>(value: &T) {
    let text = written(value).unwrap();
    let mut cursor = Cursor::new(text.as_bytes()).unwrap();
    assert_eq!(&read::<T>(&mut cursor, Position::Field).unwrap(), value);
}

#[test]
fn a_wide_integer_that_is_read_as_text_is_refused() {
    for value in [Either::Number(5), Either::Number(u128::MAX)] {
        refused(&value);
        refused(&Some(value.clone()));
        refused(&vec![Either::Text("a".to_owned()), value.clone()]);
        refused(&BTreeMap::from([("a".to_owned(), (value, 1_u8))]));
    }
    refused(&Short::Wide(7));
    let inner = Inner { big: 7, small: 1 };
    refused(&Flat { inner, rest: 1 });
    refused(&Tagged::Wide { big: -1 });
    let mut out = Vec::new();
    let slice: &[Either] = &[Either::Number(1)];
    assert!(write_slice(slice, &mut out, Position::Field).is_err());
    let flat = || Inner { big: 1, small: 1 };
    let message = Flat {
        inner: flat(),
        rest: 0,
    };
    assert!(write_message(&message, &mut Vec::new()).is_err());
}

#[test]
fn wide_integers_outside_of_buffers_arrive() {
    arrives(&Either::Text("5".to_owned()));
    arrives(&Short::Short(7));
    arrives(&Tagged::Narrow { small: u64::MAX });
    arrives(&Big::Number(BigNum(u128::MAX)));
    arrives(&Inner { big: 7, small: 1 });
    for place in [Adjacent::Wide(u128::MAX), Adjacent::Text("5".to_owned())] {
        arrives(&Report {
            rows: vec![(1, None), (u128::MAX, Some(i128::MIN))],
            by_name: BTreeMap::from([("a".to_owned(), 0)]),
            place,
            text: "340282366920938463463374607431768211455".to_owned(),
        });
    }
    arrives(&vec![Some(Some(u128::MAX)), Some(None).flatten()]);
    let sum = Sum {
        parts: vec![1, 2],
        total: Some(3),
    };
    assert_eq!(written(&sum).unwrap(), r#"{"parts":[1,2],"total":"3"}"#);
}

#[test]
fn a_lost_integer_is_named_by_its_reader() {
    let error = decode::<Flat>(r#"{"big":"7","small":1,"rest":1}"#).unwrap_err();
    assert!(
        error.contains("flatten") && error.contains("BigNum"),
        "{error}"
    );
    let error = decode::<Tagged>(r#"{"kind":"Wide","big":7}"#).unwrap_err();
    assert!(error.contains("128-bit"), "{error}");
}

#[test]
fn an_integer_has_one_text() {
    assert_eq!(decode::<u64>(r#""0""#), Ok(0));
    assert_eq!(decode::<i64>(r#""-10""#), Ok(-10));
    assert_eq!(decode::<BigNum<u8>>(r#""10""#), Ok(BigNum(10)));
    for bad in [r#""010""#, r#""00""#, r#""-0""#, r#""-01""#, r#""0x1""#] {
        assert!(decode::<u64>(bad).is_err(), "{bad}");
        assert!(decode::<i64>(bad).is_err(), "{bad}");
        assert!(decode::<i128>(bad).is_err(), "{bad}");
        assert!(decode::<BigNum<i128>>(bad).is_err(), "{bad}");
    }
    for bad in [r#"{"01":1,"1":2}"#, r#"{"-0":1,"0":2}"#, r#"{"00":1}"#] {
        let error = decode::<BTreeMap<i64, u8>>(bad).unwrap_err();
        assert!(error.contains("without leading zeros"), "{error}");
        assert!(decode::<BTreeMap<u8, u8>>(bad).is_err());
        assert!(decode::<BTreeMap<BigNum<i128>, u8>>(bad).is_err());
    }
    let map = BTreeMap::from([(0, 1), (-10, 2)]);
    assert_eq!(decode::<BTreeMap<i64, u8>>(r#"{"0":1,"-10":2}"#), Ok(map));
}

#[test]
fn a_big_number_is_written_as_digits_or_not_at_all() {
    assert_eq!(
        written(&BigNum(i128::MIN)).unwrap(),
        format!("\"{}\"", i128::MIN)
    );
    assert_eq!(written(&BigNum(5.0_f64)).unwrap(), r#""5""#);
    // Longer than the text of any integer of the language.
    let long = "9".repeat(400);
    assert_eq!(
        written(&BigNum(long.clone())).unwrap(),
        format!("\"{long}\"")
    );
    arrives(&BigNum(1e300));
    for bad in [0.1, -0.0, f64::NAN, f64::INFINITY] {
        let error = written(&vec![BigNum(bad)]).unwrap_err();
        assert!(
            error.starts_with("[0]: a `BigNum` holds integers"),
            "{error}"
        );
    }
    for bad in ["x", "", "1e3", "+1", "007", "1 "] {
        assert!(written(&BigNum(bad.to_owned())).is_err(), "{bad}");
        assert!(serde_json::to_string(&BigNum(bad)).is_err(), "{bad}");
    }
}

//! Random values of many types keep their value, wherever plain serde_json would bring them back,
//! and are never changed without an error. Random documents are read as serde_json reads them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Debug;
use std::net::IpAddr;
use std::num::NonZeroI64;
use std::time::Duration;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use rpc_runtime::__private::{
    Argument, ArgumentDescriptor, Arguments, MethodDescriptor, Owned, argument, argument_or_default,
};
use rpc_runtime::{BigNum, Bytes};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

static ARGUMENTS: [ArgumentDescriptor; 1] = [ArgumentDescriptor::new("v", "T")];

fn method() -> MethodDescriptor {
    MethodDescriptor::new("p.v1.P", "m", "M", "/p.v1.P/M").arguments(&ARGUMENTS)
}

/// Returns the message with the value as its argument.
fn encode<T: Argument>(value: &T) -> Result<Vec<u8>, String> {
    <(Owned<T>,)>::encode(&(argument::<Owned<T>>(),), &method(), (value,))
        .map_err(|error| error.to_string())
}

/// Returns the argument in a message.
fn decode<T: Argument>(message: &[u8]) -> Result<T, String> {
    <(Owned<T>,)>::decode(&(argument::<Owned<T>>(),), &method(), message)
        .map(|arguments| arguments.0)
        .map_err(|error| error.to_string())
}

/// Shows a value with all of its bits, except for those of a NaN.
fn shown<T: Debug>(value: &T) -> String {
    format!("{value:?}")
}

/// Asserts that a value arrives, or that the error says why not and plain serde_json loses it too.
fn keeps<T: Argument + Debug>(value: &T) {
    let sent = shown(value);
    let plain = serde_json::to_string(value).and_then(|json| serde_json::from_str::<T>(&json));
    let plain = plain.map(|value| shown(&value)).ok();
    let arrived = encode(value).and_then(|message| {
        decode::<T>(&message)
            .map_err(|error| format!("{error} in {}", String::from_utf8_lossy(&message)))
    });
    match arrived {
        Ok(arrived) => {
            let arrived = shown(&arrived);
            // What the type's own attributes change, such as a skipped field, is not our concern.
            assert!(
                arrived == sent || plain.as_ref() == Some(&arrived),
                "{sent} arrived as {arrived}"
            );
        }
        Err(error) => assert!(
            plain.as_ref() != Some(&sent),
            "{sent} did not arrive: {error}"
        ),
    }
}

/// Asserts that a value arrives as it is.
fn arrives<T: Argument + Debug>(value: &T) {
    let message = encode(value).unwrap();
    let arrived = decode::<T>(&message).map(|value| shown(&value));
    assert_eq!(
        arrived,
        Ok(shown(value)),
        "{}",
        String::from_utf8_lossy(&message)
    );
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Marker;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Newtype<T>(T);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
struct Transparent<T> {
    inner: T,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Renamed<T> {
    #[serde(rename = "the \"name\"\n")]
    first_field: T,
    second_field: Option<T>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
struct Optional<T> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    maybe: Option<T>,
    #[serde(default)]
    list: Vec<T>,
    #[serde(skip)]
    skipped: u8,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Flattened<T> {
    before: u8,
    #[serde(flatten)]
    inner: Inner<T>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Inner<T> {
    inner: T,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum External<T> {
    Unit,
    One(T),
    Two(T, T),
    Named { value: T },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Tagged<T> {
    Unit,
    Named { value: T },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "content")]
enum Adjacent<T> {
    Unit,
    One(T),
    Named { value: T },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged<T> {
    Unit,
    Named { value: T },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct With {
    #[serde(with = "as_text")]
    id: u64,
    #[serde(
        serialize_with = "as_text::serialize",
        deserialize_with = "as_text::deserialize"
    )]
    other: u64,
}

/// A developer's own form of a field.
mod as_text {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("id \"{value}\""))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text.trim_matches(|c: char| !c.is_ascii_digit());
        digits.parse().map_err(D::Error::custom)
    }
}

/// Checks a value in each type around it.
fn keeps_everywhere<T: Argument + Debug + Clone>(value: &T) {
    keeps(value);
    keeps(&Some(value.clone()));
    keeps(&vec![value.clone(), value.clone()]);
    keeps(&(value.clone(), 1_u8, value.clone()));
    keeps(&[value.clone(), value.clone()]);
    keeps(&BTreeMap::from([("a b".to_owned(), value.clone())]));
    keeps(&HashMap::from([(-7_i64, Some(value.clone()))]));
    keeps(&Box::new(value.clone()));
    keeps(&Newtype(value.clone()));
    keeps(&Transparent {
        inner: value.clone(),
    });
    keeps(&Renamed {
        first_field: value.clone(),
        second_field: Some(value.clone()),
    });
    keeps(&Optional {
        maybe: Some(value.clone()),
        list: vec![value.clone()],
        skipped: 0,
    });
    keeps(&Flattened {
        before: 1,
        inner: Inner {
            inner: value.clone(),
        },
        rest: BTreeMap::from([("more".to_owned(), Value::Null)]),
    });
    for external in [
        External::Unit,
        External::One(value.clone()),
        External::Two(value.clone(), value.clone()),
        External::Named {
            value: value.clone(),
        },
    ] {
        keeps(&external);
    }
    keeps(&Tagged::Named {
        value: value.clone(),
    });
    keeps(&Adjacent::One(value.clone()));
    keeps(&Untagged::Named {
        value: value.clone(),
    });
    keeps::<Result<T, u8>>(&Ok(value.clone()));
}

/// A value with a default that is neither `None` nor the value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Preset<T>(T);

impl Default for Preset<Option<u64>> {
    fn default() -> Self {
        Self(Some(10))
    }
}

impl Default for Preset<Bare<u64>> {
    fn default() -> Self {
        Self(Bare::Value(Some(10)))
    }
}

impl Default for Preset<Option<Option<u64>>> {
    fn default() -> Self {
        Self(Some(None))
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Bare<T> {
    Value(Option<T>),
    Text(String),
}

/// Asserts that an argument with `#[rpc(default)]` arrives as it is.
fn arrives_or_default<T: Argument + Debug + Default>(value: &T) {
    let codecs = (argument_or_default::<Owned<T>>(),);
    let message = <(Owned<T>,)>::encode(&codecs, &method(), (value,)).unwrap();
    let arrived = <(Owned<T>,)>::decode(&codecs, &method(), &message).unwrap();
    assert_eq!(shown(&arrived.0), shown(value));
}

/// Checks a value as the content of an outermost `Option`, which must not lose a level.
fn keeps_levels<T: Argument + Debug + Clone>(value: &T) {
    arrives::<Option<T>>(&None);
    arrives(&Some(value.clone()));
    arrives::<Option<Option<T>>>(&None);
    arrives(&Some(Some(value.clone())));
    arrives(&Newtype(Some(value.clone())));
    arrives::<Newtype<Option<T>>>(&Newtype(None));
    arrives::<Bare<T>>(&Bare::Value(None));
    arrives::<Option<Bare<T>>>(&None);
    arrives(&Some(Bare::Value(None::<T>)));
    arrives(&vec![Bare::Value(None::<T>)]);
}

fn float() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<u64>().prop_map(f64::from_bits),
        any::<i64>().prop_map(|cents| cents as f64 / 100.0),
        Just(f64::MIN_POSITIVE),
        Just(5e-324),
        Just(-0.0),
    ]
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        float().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::from),
            btree_map(any::<String>(), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// Everything that is not an integer, a float or bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Rest {
    text: String,
    letter: char,
    flag: bool,
    unit: (),
    marker: Marker,
    set: BTreeSet<String>,
    bytes: Bytes,
    big: BigNum<u128>,
    address: IpAddr,
    duration: Duration,
    id: NonZeroI64,
    range: std::ops::Range<u64>,
    keys: BTreeMap<bool, char>,
}

fn rest() -> impl Strategy<Value = Rest> {
    let text = (any::<String>(), any::<char>(), any::<bool>());
    let numbers = (any::<u128>(), any::<u64>(), 1..i64::MAX);
    (text, numbers, vec(any::<u8>(), 0..40)).prop_map(
        |((text, letter, flag), (big, n, id), bytes)| Rest {
            set: BTreeSet::from([text.clone(), String::new()]),
            text,
            letter,
            flag,
            unit: (),
            marker: Marker,
            bytes: Bytes::from(bytes),
            big: BigNum(big),
            address: IpAddr::from(big.to_be_bytes()),
            duration: Duration::from_nanos(n),
            id: NonZeroI64::new(id).unwrap(),
            range: n..u64::MAX,
            keys: BTreeMap::from([(flag, letter)]),
        },
    )
}

/// Reads a document as the argument of a method, and by serde_json.
fn both<T: Argument + DeserializeOwned>(json: &[u8]) -> (Result<T, String>, Option<T>) {
    let message = [b"{\"v\":", json, b"}"].concat();
    (decode(&message), serde_json::from_slice(json).ok())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn integers_arrive_everywhere(a: u128, b: i128, c: u64, d: i64, e: u32, f: i16) {
        keeps_everywhere(&(c, d, e, f));
        keeps(&a);
        keeps(&Some(vec![b]));
        keeps(&External::One(a));
        keeps(&Tagged::Named { value: b });
        keeps(&Untagged::Named { value: a });
        arrives(&(a, b, c, d));
        arrives(&BTreeMap::from([(a, b)]));
        arrives(&Renamed { first_field: (a, c), second_field: Some((a, c)) });
        arrives(&External::Named { value: vec![Some(b), None] });
        arrives(&With { id: c, other: c });
        keeps_levels(&a);
        keeps_levels(&d);
    }

    #[test]
    fn arguments_with_a_default_arrive(a: u64, levels in 0..3, text: String) {
        let one = (levels > 0).then_some(a);
        let two = (levels > 0).then_some((levels > 1).then_some(a));
        arrives_or_default(&one);
        arrives_or_default(&two);
        arrives_or_default(&Preset(one));
        arrives_or_default(&Preset(Bare::Value(one)));
        arrives_or_default(&Preset(Bare::<u64>::Text(text.clone())));
        arrives_or_default(&a);
        arrives_or_default(&text);
        arrives_or_default(&());
        // `None` would arrive as `Some(None)`, which is the default.
        if levels > 0 {
            arrives_or_default(&Preset(two));
        }
    }

    #[test]
    fn floats_arrive_bit_by_bit_or_are_refused(a in float(), b: f32) {
        keeps_everywhere(&(a, b));
        if a.is_finite() && b.is_finite() {
            for (a, b) in [(a, b), (-a, -b), (a.abs(), b.abs())] {
                arrives(&a);
                arrives(&b);
                arrives(&vec![Some(a)]);
                arrives(&Flattened { before: 0, inner: Inner { inner: a }, rest: BTreeMap::new() });
                arrives(&Untagged::Named { value: a });
                arrives(&BTreeMap::from([("a".to_owned(), b)]));
                let (read, _) = both::<f64>(a.to_string().as_bytes());
                prop_assert_eq!(read.map(f64::to_bits), Ok(a.to_bits()));
            }
        } else {
            let error = encode(&Some(vec![BTreeMap::from([("k".to_owned(), (a, b))])])).unwrap_err();
            prop_assert!(error.contains("v[0].k[") && error.contains("cannot be represented"), "{}", error);
        }
    }

    #[test]
    fn other_types_arrive_everywhere(rest in rest(), json in json()) {
        keeps_everywhere(&rest);
        keeps_everywhere(&json);
        keeps_everywhere(&Marker);
        arrives(&rest);
        arrives(&rest.bytes.to_vec());
        arrives(&Some(rest.bytes.to_vec()));
        arrives(&Some(Some(rest.bytes.to_vec())));
        arrives(&vec![rest.bytes.to_vec()]);
        // `Some(Some(null))` would be a third level of `null`.
        if !json.is_null() {
            keeps_levels(&json);
        }
        arrives(&Some(Value::Null));
        arrives(&Some(()));
        arrives(&Some(Marker));
        arrives::<Option<Option<u32>>>(&Some(None));
        // Three kinds of `null` have no form in JSON.
        let error = encode(&Some(Some(Marker))).unwrap_err();
        prop_assert!(error.contains("`Some(None)`"), "{}", error);
        prop_assert!(encode(&Some(Some(Value::Null))).is_err());
        prop_assert!(encode(&Some(Some(None::<u32>))).is_err());
    }

    /// A document with errors is refused exactly where serde_json refuses it.
    #[test]
    fn documents_are_read_as_serde_json_reads_them(
        json in json(),
        pretty: bool,
        edits in vec((any::<prop::sample::Index>(), prop::sample::select(b"{}[]\",:\\0123456789-+.eEuUnx \n\t\x00\x7f\xc3\xff".to_vec())), 0..3),
        cut in proptest::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let text = if pretty { serde_json::to_vec_pretty(&json) } else { serde_json::to_vec(&json) };
        let mut text = text.unwrap();
        for (at, byte) in edits {
            let at = at.index(text.len());
            text[at] = byte;
        }
        if let Some(cut) = cut {
            text.truncate(cut.index(text.len()));
        }
        // A comma or a brace at the end would belong to the message around it.
        if let (read, Some(plain)) = both::<Value>(&text) {
            let exact = |number: &Value| number.to_string();
            prop_assert!(
                read.as_ref().is_ok_and(|read| same(read, &plain)),
                "{}: {:?} and not {}",
                String::from_utf8_lossy(&text), read.as_ref().map(exact), exact(&plain)
            );
        } else {
            let object = [b"{\"a\":", text.as_slice(), b"}"].concat();
            let message = [b"{\"v\":", object.as_slice(), b"}"].concat();
            let plain = serde_json::from_slice::<Value>(&object).is_ok();
            prop_assert_eq!(decode::<Value>(&message).is_ok(), plain, "{}", String::from_utf8_lossy(&text));
        }
    }
}

/// Compares documents. serde_json's floats may differ in the last bit, those of the runtime are
/// exact.
fn same(read: &Value, plain: &Value) -> bool {
    match (read, plain) {
        (Value::Array(read), Value::Array(plain)) => {
            read.len() == plain.len()
                && read
                    .iter()
                    .zip(plain)
                    .all(|(read, plain)| same(read, plain))
        }
        (Value::Object(read), Value::Object(plain)) => {
            read.len() == plain.len()
                && read
                    .iter()
                    .all(|(name, read)| plain.get(name).is_some_and(|plain| same(read, plain)))
        }
        (Value::Number(read), Value::Number(plain)) if read != plain => {
            let (read, plain) = (read.as_f64().unwrap(), plain.as_f64().unwrap());
            (read - plain).abs() <= plain.abs() * f64::EPSILON
        }
        (read, plain) => read == plain,
    }
}

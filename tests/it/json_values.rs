//! Values keep their value on the way: `null` and missing fields, integers and floats at every
//! depth, numbers by their digits. Tested over a raw socket and with the client.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU64;

use rpc_runtime::prelude::*;
use rpc_runtime::{BigNum, Remote};
use rpc_tests::Running;
use rpc_tests::raw::{Raw, Response, post};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A unit struct, which is `null` in JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Marker;

/// An enum with a variant that is `null` in JSON and is not the default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Mode {
    Off,
    Level(u8),
}

impl Default for Mode {
    fn default() -> Self {
        Self::Level(3)
    }
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Shop {
    name: String,
    prices: BTreeMap<String, Vec<f64>>,
    scale: Option<f32>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Entry {
    Moved(i64),
    Split { parts: Vec<u64> },
    Pair(u64, i128),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Account {
    id: i64,
    limit: Option<u64>,
    serial: NonZeroU64,
    total: u128,
    entries: Vec<Entry>,
    by_user: BTreeMap<u64, i64>,
    size: usize,
}

#[derive(Debug, RpcError)]
enum ValueError {
    /// The values are too large.
    #[rpc(code = "out_of_range")]
    TooLarge {
        total: u128,
        id: i64,
        twice: Option<Option<u32>>,
        ratio: f64,
        rest: Option<Value>,
    },
    #[rpc(other)]
    Other(Error),
}

#[rpc_service(package = "values.v1")]
trait Values {
    async fn value(&self, v: Value) -> Result<Value>;
    async fn maybe_value(&self, v: Option<Value>) -> Result<Option<Value>>;
    async fn borrowed_value(&self, v: Option<&Value>) -> Result<Option<Value>>;
    async fn twice(&self, v: Option<Option<u32>>) -> Result<Option<Option<u32>>>;
    async fn borrowed_twice(&self, v: Option<&Option<u32>>) -> Result<Option<Option<u32>>>;
    async fn maybe_unit(&self, v: Option<()>) -> Result<Option<()>>;
    async fn unit(&self, v: ()) -> Result<()>;
    async fn marker(&self, v: Marker) -> Result<Marker>;
    async fn mode(&self, #[rpc(default)] v: Mode) -> Result<Mode>;
    async fn counted(&self, #[rpc(default)] v: u32) -> Result<u32>;
    async fn price(&self, v: Option<f64>) -> Result<Option<f64>>;
    async fn prices(&self, v: Vec<f64>) -> Result<Vec<f64>>;
    async fn shop(&self, v: Shop) -> Result<Shop>;
    async fn small(&self, v: f32) -> Result<f32>;
    async fn pair(&self, v: (u128, u64)) -> Result<(u128, u64)>;
    async fn wide_map(&self, v: HashMap<String, i128>) -> Result<HashMap<String, i128>>;
    async fn account(&self, v: Account) -> Result<Account>;
    #[rpc(message)]
    async fn account_message(&self, v: Account) -> Result<Account>;
    async fn integer(&self, v: u64) -> Result<u64>;
    async fn signed(&self, v: Vec<i64>) -> Result<Vec<i64>>;
    async fn short(&self, v: i32) -> Result<i32>;
    async fn big(&self, v: BigNum<u128>) -> Result<BigNum<u128>>;
    async fn fail(&self, ratio: f64) -> Result<(), ValueError>;
    async fn nan(&self, depth: u32) -> Result<Option<Shop>>;
}

struct Echo;

macro_rules! echo {
    ($($name:ident: $type:ty),* $(,)?) => {
        impl Values for Echo {
            $(async fn $name(&self, v: $type) -> Result<$type> {
                Ok(v)
            })*

            async fn borrowed_value(&self, v: Option<&Value>) -> Result<Option<Value>> {
                Ok(v.cloned())
            }

            async fn borrowed_twice(&self, v: Option<&Option<u32>>) -> Result<Option<Option<u32>>> {
                Ok(v.copied())
            }

            async fn fail(&self, ratio: f64) -> Result<(), ValueError> {
                Err(ValueError::TooLarge {
                    total: u128::MAX,
                    id: i64::MIN,
                    twice: Some(None),
                    ratio,
                    rest: Some(Value::Null),
                })
            }

            async fn nan(&self, _: u32) -> Result<Option<Shop>> {
                let prices = BTreeMap::from([("tea".to_owned(), vec![1.0, f64::NAN])]);
                Ok(Some(Shop { prices, ..Shop::default() }))
            }
        }
    };
}

echo! {
    value: Value,
    maybe_value: Option<Value>,
    twice: Option<Option<u32>>,
    maybe_unit: Option<()>,
    unit: (),
    marker: Marker,
    mode: Mode,
    counted: u32,
    price: Option<f64>,
    prices: Vec<f64>,
    shop: Shop,
    small: f32,
    pair: (u128, u64),
    wide_map: HashMap<String, i128>,
    account: Account,
    account_message: Account,
    integer: u64,
    signed: Vec<i64>,
    short: i32,
    big: BigNum<u128>,
}

async fn start() -> Running {
    Running::start(Server::new("values").add(ValuesServer::new(Echo))).await
}

/// The client over a socket, and the client in process.
fn clients(running: &Running) -> [ValuesClient; 2] {
    [
        ValuesClient::connect(&running.url()).unwrap(),
        ValuesClient::local(Echo),
    ]
}

async fn ask(running: &Running, method: &str, body: &str) -> Response {
    Raw::connect(running.address())
        .await
        .ask(post(&format!("/values.v1.Values/{method}"), body))
        .await
}

/// Sends `{"v": <json>}` and returns the response, which must be a success.
async fn echo(running: &Running, method: &str, v: &str) -> String {
    let response = ask(running, method, &format!(r#"{{"v":{v}}}"#)).await;
    let body = String::from_utf8_lossy(&response.body).into_owned();
    assert_eq!(response.status, 200, "{method} {v}: {body}");
    body
}

/// Sends `{"v": <json>}` and returns the text of the error.
async fn refused(running: &Running, method: &str, v: &str) -> String {
    let response = ask(running, method, &format!(r#"{{"v":{v}}}"#)).await;
    let expected = (400, "invalid_argument".to_owned());
    assert_eq!(response.error(), expected, "{method} {v}");
    response.message()
}

#[tokio::test]
async fn null_is_a_value_of_types_that_accept_it() {
    let running = start().await;
    for values in clients(&running) {
        assert_eq!(values.value(Value::Null).await.unwrap(), Value::Null);
        assert_eq!(values.marker(Marker).await.unwrap(), Marker);
        assert_eq!(values.mode(Mode::Off).await.unwrap(), Mode::Off);
        let level = Mode::Level(9);
        assert_eq!(values.mode(level.clone()).await.unwrap(), level);
        values.unit(()).await.unwrap();
        for v in [None, Some(Value::Null), Some(json!({"a": null}))] {
            assert_eq!(values.maybe_value(v.clone()).await.unwrap(), v);
            assert_eq!(values.borrowed_value(v.as_ref()).await.unwrap(), v);
        }
    }
    for method in [
        "Value",
        "MaybeValue",
        "BorrowedValue",
        "MaybeUnit",
        "Marker",
        "Mode",
        "Twice",
    ] {
        assert_eq!(
            echo(&running, method, "null").await,
            r#"{"result":null}"#,
            "{method}"
        );
    }
    assert_eq!(echo(&running, "Unit", "null").await, "{}");
}

#[tokio::test]
async fn nested_options_keep_their_level() {
    let running = start().await;
    for values in clients(&running) {
        for v in [None, Some(None), Some(Some(7))] {
            assert_eq!(values.twice(v).await.unwrap(), v);
            assert_eq!(values.borrowed_twice(v.as_ref()).await.unwrap(), v);
        }
        for v in [None, Some(())] {
            assert_eq!(values.maybe_unit(v).await.unwrap(), v);
        }
    }
}

#[tokio::test]
async fn a_null_that_no_type_accepts_says_so() {
    let running = start().await;
    assert_eq!(
        refused(&running, "Integer", "null").await,
        "v: invalid type: null, expected u64"
    );
    assert!(refused(&running, "Account", "null").await.contains("null"));
    assert!(refused(&running, "Prices", "null").await.contains("null"));
    // The default of an argument, and `None` of an `Option`.
    assert_eq!(echo(&running, "Counted", "null").await, r#"{"result":0}"#);
    assert_eq!(echo(&running, "Price", "null").await, "{}");
    assert!(refused(&running, "Counted", "nul").await.starts_with("v: "));
    assert!(refused(&running, "Price", "nope").await.starts_with("v: "));
}

#[tokio::test]
async fn only_a_missing_field_is_missing() {
    let running = start().await;
    for (method, expected) in [
        ("MaybeValue", "{}"),
        ("Twice", "{}"),
        ("MaybeUnit", "{}"),
        ("Unit", "{}"),
        ("Mode", r#"{"result":3}"#),
        ("Counted", r#"{"result":0}"#),
    ] {
        let response = ask(&running, method, "{}").await;
        assert_eq!(
            String::from_utf8_lossy(&response.body),
            expected,
            "{method}"
        );
    }
    for method in ["Value", "Marker", "Integer", "Prices"] {
        let response = ask(&running, method, "{}").await;
        assert_eq!(response.message(), "v: is missing", "{method}");
    }
}

#[tokio::test]
async fn floats_without_a_form_in_json_are_refused() {
    let running = start().await;
    for values in clients(&running) {
        let error = values.price(Some(f64::NAN)).await.unwrap_err();
        assert_refused(&error, "v: NaN cannot be represented in JSON");
        let error = values.prices(vec![0.5, f64::INFINITY]).await.unwrap_err();
        assert_refused(&error, "v[1]: inf cannot be represented in JSON");
        let prices = BTreeMap::from([("a b".to_owned(), vec![1.0, 2.0, f64::NEG_INFINITY])]);
        let shop = Shop {
            prices,
            ..Shop::default()
        };
        let error = values.shop(shop).await.unwrap_err();
        assert_refused(
            &error,
            "v.prices.a b[2]: -inf cannot be represented in JSON",
        );
        let shop = Shop {
            scale: Some(f32::NAN),
            ..Shop::default()
        };
        let error = values.shop(shop).await.unwrap_err();
        assert_refused(&error, "v.scale: NaN cannot be represented in JSON");
        // The value of a handler is the fault of the server.
        let error = values.nan(0).await.unwrap_err();
        assert_eq!(error.code(), Code::Internal);
    }
}

fn assert_refused(error: &Remote<Error>, text: &str) {
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(error.message().contains(text), "{error}");
}

#[tokio::test]
async fn wide_integers_keep_their_form_at_depth() {
    let running = start().await;
    let account = Account {
        id: i64::MIN,
        limit: Some(u64::MAX),
        serial: NonZeroU64::MAX,
        total: u128::MAX,
        entries: vec![
            Entry::Moved(i64::MAX),
            Entry::Split {
                parts: vec![u64::MAX, 0],
            },
            Entry::Pair(1, i128::MIN),
        ],
        by_user: BTreeMap::from([(u64::MAX, -1)]),
        size: usize::MAX,
    };
    for values in clients(&running) {
        let pair = (u128::MAX, u64::MAX);
        assert_eq!(values.pair(pair).await.unwrap(), pair);
        let map = HashMap::from([("a".to_owned(), i128::MIN), ("b".to_owned(), 7)]);
        assert_eq!(values.wide_map(map.clone()).await.unwrap(), map);
        assert_eq!(values.account(account.clone()).await.unwrap(), account);
        let message = values.account_message(account.clone()).await;
        assert_eq!(message.unwrap(), account);
    }
    assert_eq!(
        echo(&running, "Pair", r#"[3, "4"]"#).await,
        r#"{"result":["3",4]}"#
    );
    assert_eq!(
        echo(
            &running,
            "WideMap",
            r#"{"a": -170141183460469231731687303715884105728}"#
        )
        .await,
        r#"{"result":{"a":"-170141183460469231731687303715884105728"}}"#
    );
}

#[tokio::test]
async fn wide_integers_may_be_text_at_depth() {
    let running = start().await;
    let sent = r#"{"id":"10","limit":"11","serial":"12","total":13,
        "entries":[{"Moved":"-14"},{"Split":{"parts":["15",16.0]}},{"Pair":["17","-18"]}],
        "by_user":{"19":"-20"},"size":"21"}"#;
    let read = r#"{"id":10,"limit":11,"serial":12,"total":"13","entries":[{"Moved":-14},{"Split":{"parts":[15,16]}},{"Pair":[17,"-18"]}],"by_user":{"19":-20},"size":21}"#;
    assert_eq!(
        echo(&running, "Account", sent).await,
        format!(r#"{{"result":{read}}}"#)
    );
    let response = ask(&running, "AccountMessage", sent).await;
    assert_eq!(String::from_utf8_lossy(&response.body), read);
    let text = refused(&running, "Account", &sent.replace(r#""-14""#, r#""14 ""#)).await;
    assert!(
        text.starts_with("v.entries[0].Moved: invalid value: string"),
        "{text}"
    );
    let text = refused(&running, "Account", &sent.replace(r#""12""#, r#""0""#)).await;
    assert!(text.starts_with("v.serial: "), "{text}");
    // Text is a form of wide integers only.
    let text = refused(&running, "Short", r#""3""#).await;
    assert_eq!(text, "v: invalid type: string, expected i32");
}

#[tokio::test]
async fn numbers_are_read_by_their_digits() {
    let running = start().await;
    for (sent, read) in [
        ("9007199254740993e0", "9007199254740993"),
        ("9007199254740993.0", "9007199254740993"),
        ("1844674407370955161.5e1", "18446744073709551615"),
        ("10.0", "10"),
        ("1e2", "100"),
        ("-0", "0"),
        ("-0.0e7", "0"),
    ] {
        let expected = format!(r#"{{"result":{read}}}"#);
        assert_eq!(echo(&running, "Integer", sent).await, expected, "{sent}");
        let expected = format!(r#"{{"result":[{read}]}}"#);
        if read.len() < 19 {
            let list = format!("[{sent}]");
            assert_eq!(echo(&running, "Signed", &list).await, expected, "{sent}");
        }
    }
    assert_eq!(echo(&running, "Short", "3e1").await, r#"{"result":30}"#);
    for sent in [
        "9007199254740991.6",
        "1.00000000000000001",
        "4503599627370496.5000000000000001",
        "18446744073709551616",
        "1e20",
        "-1",
        "-9007199254740993e0",
        "1e-1",
        "1e99999999999999999999",
    ] {
        let text = refused(&running, "Integer", sent).await;
        assert!(
            text.starts_with("v: invalid") && text.contains("u64"),
            "{text}"
        );
    }
    let text = refused(&running, "Integer", "9007199254740991.6").await;
    assert_eq!(
        text,
        "v: invalid type: floating point `9007199254740991.6`, expected u64"
    );
    let text = refused(&running, "Signed", "[1, -9223372036854775809]").await;
    assert!(text.starts_with("v[1]: invalid value: integer"), "{text}");
}

#[tokio::test]
async fn a_big_number_is_read_from_numbers_and_text() {
    let running = start().await;
    let max = u128::MAX.to_string();
    for (sent, read) in [
        (max.clone(), max.as_str()),
        (format!(r#""{max}""#), max.as_str()),
        ("9007199254740993".to_owned(), "9007199254740993"),
        ("9007199254740993.0".to_owned(), "9007199254740993"),
        (r#""5""#.to_owned(), "5"),
        ("1.5e1".to_owned(), "15"),
    ] {
        let expected = format!(r#"{{"result":"{read}"}}"#);
        assert_eq!(echo(&running, "Big", &sent).await, expected, "{sent}");
    }
    for sent in [
        "1.5", "-1", r#""1e3""#, r#""+5""#, r#""""#, "null", "[]", "true",
    ] {
        assert!(
            refused(&running, "Big", sent).await.starts_with("v: "),
            "{sent}"
        );
    }
}

#[tokio::test]
async fn the_fields_of_an_error_keep_their_values() {
    let running = start().await;
    for values in clients(&running) {
        for sent in [0.1 + 0.2, f64::MIN_POSITIVE, 5e-324, -0.0, f64::MAX] {
            let error = values.fail(sent).await.unwrap_err();
            let ValueError::TooLarge {
                total,
                id,
                twice,
                ratio,
                rest,
            } = &*error
            else {
                panic!("{error:?}");
            };
            assert_eq!((*total, *id), (u128::MAX, i64::MIN));
            assert_eq!((twice, rest), (&Some(None), &Some(Value::Null)));
            assert_eq!(ratio.to_bits(), sent.to_bits());
        }
    }
}

#[tokio::test]
async fn a_byte_order_mark_in_a_body_is_named() {
    let running = start().await;
    for body in ["\u{feff}{\"v\":1}", "\u{feff}"] {
        let text = ask(&running, "Integer", body).await.message();
        assert!(text.contains("byte order mark"), "{text}");
        let text = ask(&running, "AccountMessage", body).await.message();
        assert!(text.contains("byte order mark"), "{text}");
    }
}

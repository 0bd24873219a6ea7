//! The JSON rules for arguments and values, tested over a raw socket and with the client.

use std::collections::BTreeMap;

use rpc_runtime::prelude::*;
use rpc_runtime::{BigNum, Bytes, Secret};
use rpc_tests::Running;
use rpc_tests::raw::{Raw, Response, post};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct Point {
    x: i32,
    y: i32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Deep {
    points: Vec<Point>,
    password: Option<Secret<u32>>,
    bytes: Option<Bytes>,
    big: Option<BigNum<u128>>,
}

#[rpc_service(package = "rules.v1")]
trait Rules {
    async fn names(&self, user_name: &str, max_count: u32) -> Result<String>;
    async fn optional(
        &self,
        a: Option<u32>,
        b: Option<&str>,
        #[rpc(default)] c: u32,
    ) -> Result<String>;
    async fn wide(&self, a: u64, b: i64, c: u128, d: Option<u64>) -> Result<Vec<u64>>;
    async fn bytes(&self, borrowed: &[u8], owned: Vec<u8>, maybe: Option<&[u8]>)
    -> Result<Vec<u8>>;
    async fn nothing(&self) -> Result<()>;
    async fn maybe(&self, some: bool) -> Result<Option<u32>>;
    async fn deep(&self, deep: &Deep) -> Result<Deep>;
    async fn borrowed(
        &self,
        points: &[Point],
        one: &Point,
        maybe: Option<&Point>,
        list: Option<&[Point]>,
    ) -> Result<i32>;
    async fn secret(&self, #[rpc(secret)] pin: u32, user: &str) -> Result<u32>;
    async fn big(&self, n: u128) -> Result<u128>;
    async fn map(&self, map: BTreeMap<String, u32>) -> Result<BTreeMap<String, u32>>;
    #[rpc(message)]
    async fn shift(&self, point: Point) -> Result<Point>;
    async fn not_a_number(&self) -> Result<f64>;
    async fn r#type(&self, r#match: u32) -> Result<u32>;
}

struct Rule;

impl Rules for Rule {
    async fn names(&self, user_name: &str, max_count: u32) -> Result<String> {
        Ok(format!("{user_name} {max_count}"))
    }

    async fn optional(&self, a: Option<u32>, b: Option<&str>, c: u32) -> Result<String> {
        Ok(format!("{a:?} {b:?} {c}"))
    }

    async fn wide(&self, a: u64, b: i64, c: u128, d: Option<u64>) -> Result<Vec<u64>> {
        Ok(vec![
            a,
            b.unsigned_abs(),
            u64::try_from(c).unwrap_or(u64::MAX),
            d.unwrap_or(0),
        ])
    }

    async fn bytes(
        &self,
        borrowed: &[u8],
        owned: Vec<u8>,
        maybe: Option<&[u8]>,
    ) -> Result<Vec<u8>> {
        Ok([borrowed, &owned, maybe.unwrap_or_default()].concat())
    }

    async fn nothing(&self) -> Result<()> {
        Ok(())
    }

    async fn maybe(&self, some: bool) -> Result<Option<u32>> {
        Ok(some.then_some(7))
    }

    async fn deep(&self, deep: &Deep) -> Result<Deep> {
        Ok(deep.clone())
    }

    async fn borrowed(
        &self,
        points: &[Point],
        one: &Point,
        maybe: Option<&Point>,
        list: Option<&[Point]>,
    ) -> Result<i32> {
        let sum = |points: &[Point]| points.iter().map(|point| point.x).sum::<i32>();
        Ok(sum(points) + one.x + maybe.map_or(0, |point| point.x) + list.map_or(0, sum))
    }

    async fn secret(&self, pin: u32, user: &str) -> Result<u32> {
        Ok(pin + u32::try_from(user.len()).unwrap_or(0))
    }

    async fn big(&self, n: u128) -> Result<u128> {
        Ok(n)
    }

    async fn map(&self, map: BTreeMap<String, u32>) -> Result<BTreeMap<String, u32>> {
        Ok(map)
    }

    async fn shift(&self, point: Point) -> Result<Point> {
        Ok(Point {
            x: point.x + 1,
            y: point.y,
        })
    }

    async fn not_a_number(&self) -> Result<f64> {
        Ok(f64::NAN)
    }

    async fn r#type(&self, r#match: u32) -> Result<u32> {
        Ok(r#match)
    }
}

async fn start() -> Running {
    Running::start(Server::new("rules").add(RulesServer::new(Rule))).await
}

async fn ask(running: &Running, method: &str, body: &str) -> Response {
    Raw::connect(running.address())
        .await
        .ask(post(&format!("/rules.v1.Rules/{method}"), body))
        .await
}

async fn body_of(running: &Running, method: &str, body: &str) -> String {
    let response = ask(running, method, body).await;
    assert_eq!(
        response.status,
        200,
        "{method} {body}: {}",
        String::from_utf8_lossy(&response.body)
    );
    String::from_utf8(response.body).unwrap()
}

async fn refusal(running: &Running, method: &str, body: &str) -> String {
    let response = ask(running, method, body).await;
    assert_eq!(
        response.error(),
        (400, "invalid_argument".to_owned()),
        "{method} {body}"
    );
    response.message()
}

#[tokio::test]
async fn names_are_read_in_two_spellings_and_never_both() {
    let running = start().await;
    let expected = r#"{"result":"ada 3"}"#;
    assert_eq!(
        body_of(&running, "Names", r#"{"user_name":"ada","max_count":3}"#).await,
        expected
    );
    assert_eq!(
        body_of(&running, "Names", r#"{"userName":"ada","maxCount":3}"#).await,
        expected
    );
    assert_eq!(
        body_of(
            &running,
            "Names",
            r#"{"maxCount":3,"else":[{}],"user_name":"ada"}"#
        )
        .await,
        expected
    );
    let text = refusal(
        &running,
        "Names",
        r#"{"userName":"ada","user_name":"ada","maxCount":3}"#,
    )
    .await;
    assert_eq!(text, "user_name: is given twice");
    let text = refusal(&running, "Names", r#"{"UserName":"ada","maxCount":3}"#).await;
    assert_eq!(text, "user_name: is missing");
}

#[tokio::test]
async fn optional_fields_may_be_null() {
    let running = start().await;
    for body in ["{}", r#"{"a":null,"b":null,"c":null}"#] {
        assert_eq!(
            body_of(&running, "Optional", body).await,
            r#"{"result":"None None 0"}"#
        );
    }
    assert_eq!(
        body_of(&running, "Optional", r#"{"a":1,"b":"x","c":2}"#).await,
        r#"{"result":"Some(1) Some(\"x\") 2"}"#
    );
    let text = refusal(&running, "Names", r#"{"user_name":null,"max_count":3}"#).await;
    assert_eq!(text, "user_name: invalid type: null, expected a string");
    assert_eq!(body_of(&running, "Maybe", r#"{"some":false}"#).await, "{}");
    assert_eq!(
        body_of(&running, "Maybe", r#"{"some":true}"#).await,
        r#"{"result":7}"#
    );
}

#[tokio::test]
async fn a_unit_is_the_empty_object() {
    let running = start().await;
    assert_eq!(body_of(&running, "Nothing", "{}").await, "{}");
    assert_eq!(body_of(&running, "Nothing", "").await, "{}");
    assert_eq!(
        refusal(&running, "Names", "").await,
        "the message is empty; expected a JSON object such as `{}`"
    );
}

#[tokio::test]
async fn wide_integers_come_as_numbers_or_text() {
    let running = start().await;
    let expected = r#"{"result":[18446744073709551615,5,3,4]}"#;
    for body in [
        r#"{"a":18446744073709551615,"b":-5,"c":"3","d":4}"#,
        r#"{"a":"18446744073709551615","b":"-5","c":3,"d":"4"}"#,
    ] {
        assert_eq!(body_of(&running, "Wide", body).await, expected);
    }
    assert_eq!(
        body_of(
            &running,
            "Big",
            r#"{"n":"340282366920938463463374607431768211455"}"#
        )
        .await,
        r#"{"result":"340282366920938463463374607431768211455"}"#
    );
    let text = refusal(&running, "Wide", r#"{"a":-1,"b":0,"c":0}"#).await;
    assert!(text.starts_with("a: ") && text.contains("u64"), "{text}");
}

#[tokio::test]
async fn bytes_are_base64() {
    let running = start().await;
    assert_eq!(
        body_of(
            &running,
            "Bytes",
            r#"{"borrowed":"AP8=","owned":"AP8","maybe":"_w"}"#
        )
        .await,
        r#"{"result":"AP8A//8="}"#
    );
    let text = refusal(&running, "Bytes", r#"{"borrowed":"?","owned":""}"#).await;
    assert_eq!(text, "borrowed: not base64");
}

#[tokio::test]
async fn a_refused_value_is_named_by_its_path() {
    let running = start().await;
    let response = ask(
        &running,
        "Deep",
        r#"{"deep":{"points":[{"x":1,"y":2},{"x":1,"y":"z"}]}}"#,
    )
    .await;
    assert_eq!(
        response.message(),
        "deep.points[1].y: invalid type: string, expected i32"
    );
    let details = response.json()["details"].clone();
    let bad_request = details
        .as_array()
        .unwrap()
        .iter()
        .find(|detail| detail["type"] == "google.rpc.BadRequest");
    let violation = bad_request.unwrap()["debug"]["fieldViolations"][0].clone();
    assert_eq!(violation["field"], "deep.points[1].y", "{details}");
}

#[tokio::test]
async fn a_secret_is_quoted_nowhere() {
    let running = start().await;
    for (method, body) in [
        ("Secret", r#"{"pin":"canary","user":"ada"}"#),
        ("Secret", r#"{"pin":{"canary":1},"user":"ada"}"#),
        ("Deep", r#"{"deep":{"points":[],"password":"canary"}}"#),
    ] {
        let response = ask(&running, method, body).await;
        assert_eq!(response.error().0, 400);
        let text = String::from_utf8_lossy(&response.body).into_owned();
        assert!(!text.contains("canary"), "{text}");
        assert!(
            text.contains("secret") && (text.contains("pin") || text.contains("deep.password")),
            "{text}"
        );
    }
    // An argument that is not secret is quoted in the error.
    assert!(
        refusal(&running, "Secret", r#"{"pin":1,"user":17}"#)
            .await
            .contains("17")
    );
}

#[tokio::test]
async fn message_style_is_the_message_itself() {
    let running = start().await;
    assert_eq!(
        body_of(&running, "Shift", r#"{"x":1,"y":2}"#).await,
        r#"{"x":2,"y":2}"#
    );
    let text = refusal(&running, "Shift", "[1,2]").await;
    assert_eq!(text, "a message must be a JSON object");
    assert!(
        refusal(&running, "Shift", r#"{"x":1}"#)
            .await
            .contains("missing field `y`")
    );
}

#[tokio::test]
async fn a_value_without_a_form_in_json_is_our_own_fault() {
    let running = start().await;
    assert_eq!(
        ask(&running, "NotANumber", "{}").await.error(),
        (500, "internal".to_owned())
    );
}

#[tokio::test]
async fn our_own_client_speaks_all_of_it() {
    let running = start().await;
    for rules in [
        RulesClient::connect(&running.url()).unwrap(),
        RulesClient::local(Rule),
    ] {
        assert_eq!(rules.names("ada", 3).await.unwrap(), "ada 3");
        assert_eq!(
            rules.optional(None, Some("é\u{0}\""), 1).await.unwrap(),
            "None Some(\"é\\0\\\"\") 1"
        );
        assert_eq!(
            rules.wide(u64::MAX, i64::MIN, 3, None).await.unwrap(),
            [u64::MAX, 1 << 63, 3, 0]
        );
        assert_eq!(
            rules.bytes(&[0, 255], vec![1], Some(&[2])).await.unwrap(),
            [0, 255, 1, 2]
        );
        rules.nothing().await.unwrap();
        assert_eq!(rules.maybe(false).await.unwrap(), None);
        assert_eq!(rules.maybe(true).await.unwrap(), Some(7));
        let deep = Deep {
            points: vec![Point { x: 1, y: 2 }],
            password: Some(Secret::new(5)),
            bytes: Some(Bytes::from(vec![9])),
            big: Some(BigNum(u128::MAX)),
        };
        assert_eq!(rules.deep(&deep).await.unwrap(), deep);
        let one = Point { x: 1, y: 0 };
        let two = [one.clone(), one.clone()];
        assert_eq!(
            rules
                .borrowed(&two, &one, Some(&one), Some(&two))
                .await
                .unwrap(),
            6
        );
        assert_eq!(rules.borrowed(&two, &one, None, None).await.unwrap(), 3);
        assert_eq!(rules.secret(1, "ada").await.unwrap(), 4);
        assert_eq!(rules.big(u128::MAX).await.unwrap(), u128::MAX);
        let map = BTreeMap::from([("a b".to_owned(), 1)]);
        assert_eq!(rules.map(map.clone()).await.unwrap(), map);
        assert_eq!(rules.shift(one).await.unwrap().x, 2);
        assert_eq!(rules.r#type(8).await.unwrap(), 8);
    }
}

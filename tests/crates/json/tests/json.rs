//! The JSON tests of the workspace, and what only holds with `serde_json/arbitrary_precision`,
//! `preserve_order` and `raw_value`.

#[path = "../../../it/json_depth.rs"]
mod json_depth;
#[path = "../../../it/json_errors.rs"]
mod json_errors;
#[path = "../../../it/json_property.rs"]
mod json_property;
#[path = "../../../it/json_rules.rs"]
mod json_rules;
#[path = "../../../it/json_values.rs"]
mod json_values;

use rpc_runtime::prelude::*;
use rpc_tests::Running;
use rpc_tests::raw::{Raw, post};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

#[derive(Debug, Serialize, Deserialize)]
struct Parts {
    raw: Box<RawValue>,
    maybe: Option<Box<RawValue>>,
    number: serde_json::Number,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Either {
    Number(f64),
    Text(String),
}

#[derive(Debug, RpcError)]
enum PartsError {
    #[rpc(code = "aborted")]
    Refused {
        parts: Parts,
        raw: Box<RawValue>,
        value: Value,
        numbers: Vec<serde_json::Number>,
    },
    #[rpc(other)]
    Other(Error),
}

#[rpc_service(package = "json.v1")]
trait Json {
    async fn value(&self, v: Value) -> Result<Value>;
    async fn raw(&self, v: Box<RawValue>) -> Result<Box<RawValue>>;
    async fn parts(&self, v: Parts) -> Result<Parts>;
    async fn either(&self, v: Either) -> Result<Either>;
    async fn refuse(&self, v: Parts) -> Result<(), PartsError>;
}

struct Echo;

impl Json for Echo {
    async fn value(&self, v: Value) -> Result<Value> {
        Ok(v)
    }

    async fn raw(&self, v: Box<RawValue>) -> Result<Box<RawValue>> {
        Ok(v)
    }

    async fn parts(&self, v: Parts) -> Result<Parts> {
        Ok(v)
    }

    async fn either(&self, v: Either) -> Result<Either> {
        Ok(v)
    }

    async fn refuse(&self, v: Parts) -> Result<(), PartsError> {
        let value = serde_json::from_str(v.raw.get());
        Err(PartsError::Refused {
            raw: v.raw.clone(),
            value: value.unwrap(),
            numbers: vec![v.number.clone()],
            parts: v,
        })
    }
}

async fn echo(running: &Running, method: &str, v: &str) -> String {
    let request = post(
        &format!("/json.v1.Json/{method}"),
        format!(r#"{{"v":{v}}}"#),
    );
    let response = Raw::connect(running.address()).await.ask(request).await;
    String::from_utf8(response.body).unwrap()
}

async fn start() -> Running {
    Running::start(Server::new("json").add(JsonServer::new(Echo))).await
}

#[tokio::test]
async fn documents_keep_digits_order_and_text() {
    let running = start().await;
    for (method, sent) in [
        (
            "Value",
            r#"{"b":1,"a":[2.50,123456789012345678901234567890,1e+400,-0.0],"c":null}"#,
        ),
        ("Value", "1.10"),
        ("Value", "null"),
        ("Raw", r#"{ "b" : [1.50, "\u0041"] }"#),
        ("Raw", "null"),
        (
            "Parts",
            r#"{"raw":[ 1 ],"maybe":{ "a" : 1.0 },"number":18446744073709551616.10}"#,
        ),
        ("Parts", r#"{"raw":null,"maybe":null,"number":-7}"#),
        ("Either", "1.5"),
        ("Either", r#""a""#),
    ] {
        let expected = format!(r#"{{"result":{sent}}}"#);
        assert_eq!(echo(&running, method, sent).await, expected, "{method}");
    }
}

#[tokio::test]
async fn clients_send_raw_values_as_they_are() {
    let running = start().await;
    for json in [
        JsonClient::connect(&running.url()).unwrap(),
        JsonClient::local(Echo),
    ] {
        for text in ["[1.50, 2]", "null", r#"{"a" :1e400}"#] {
            let raw = RawValue::from_string(text.to_owned()).unwrap();
            assert_eq!(json.raw(raw).await.unwrap().get(), text);
        }
        let value: Value = serde_json::from_str("[1e400, 0.10]").unwrap();
        assert_eq!(json.value(value.clone()).await.unwrap(), value);
    }
}

#[tokio::test]
async fn fields_of_errors_keep_digits_order_and_text() {
    let running = start().await;
    let text = r#"{ "b" : [1.50, 123456789012345678901234567890, 1e+400], "a":null}"#;
    for json in [
        JsonClient::connect(&running.url()).unwrap(),
        JsonClient::local(Echo),
    ] {
        let sent = format!(r#"{{"raw":{text},"maybe":[ 1.0],"number":18446744073709551616.10}}"#);
        let error = json
            .refuse(serde_json::from_str(&sent).unwrap())
            .await
            .unwrap_err();
        let PartsError::Refused {
            parts,
            raw,
            value,
            numbers,
        } = &*error
        else {
            panic!("{error:?}");
        };
        assert_eq!(raw.get(), text);
        assert_eq!(parts.raw.get(), text);
        assert_eq!(parts.maybe.as_ref().unwrap().get(), "[ 1.0]");
        assert_eq!(parts.number.to_string(), "18446744073709551616.10");
        assert_eq!(numbers[0].to_string(), "18446744073709551616.10");
        let compact = r#"{"b":[1.50,123456789012345678901234567890,1e+400],"a":null}"#;
        assert_eq!(value.to_string(), compact);
    }
}

#[tokio::test]
async fn an_error_does_not_mention_a_map() {
    let running = start().await;
    let response = echo(&running, "Either", "[1.5]").await;
    assert!(response.contains("did not match any variant"), "{response}");
    let response = echo(&running, "Parts", r#"{"raw":1,"number":"x"}"#).await;
    assert!(response.contains("v.number: "), "{response}");
}

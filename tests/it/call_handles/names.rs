//! `Client::call_json`: methods whose names are known at run time only.

use std::sync::atomic::{AtomicU32, Ordering};

use rpc_runtime::axum::Router;
use rpc_runtime::axum::body::Bytes;
use rpc_runtime::axum::routing;
use rpc_runtime::prelude::*;
use rpc_runtime::{Client, HttpAccess, JsonText, RetryPolicy};
use rpc_tests::raw::{Raw, post};
use serde_json::{Value, json};

use crate::hostile_server::Hostile;

#[derive(Debug, RpcError)]
enum ShopError {
    #[rpc(code = "failed_precondition")]
    SoldOut { item: String, left: u64 },
    #[rpc(other)]
    Other(Error),
}

#[rpc_service(package = "names.v1")]
trait Shop {
    #[rpc(idempotent)]
    async fn buy(&self, item: &str, #[rpc(default = 1)] count: u32) -> Result<u64, ShopError>;
    #[rpc(message)]
    async fn echo(&self, value: Value) -> Result<Value>;
    async fn flaky(&self) -> Result<u32>;
}

#[derive(Default)]
struct Tea {
    tries: AtomicU32,
}

impl Shop for Tea {
    async fn buy(&self, item: &str, count: u32) -> Result<u64, ShopError> {
        if count > 3 {
            let item = item.to_owned();
            fail!(ShopError::SoldOut {
                item,
                left: 9_007_199_254_740_993
            });
        }
        Ok(u64::from(count) * 3)
    }

    async fn echo(&self, value: Value) -> Result<Value> {
        Ok(value)
    }

    async fn flaky(&self) -> Result<u32> {
        match self.tries.fetch_add(1, Ordering::SeqCst) {
            0 => Err(Error::new(Code::Unavailable, "not yet").not_executed()),
            tries => Ok(tries),
        }
    }
}

async fn client() -> (rpc_tests::Running, Client) {
    let server = Server::new("shop").add(ShopServer::new(Tea::default()));
    let running = rpc_tests::Running::start(server).await;
    let client = Client::new(&running.url()).unwrap();
    (running, client)
}

#[tokio::test]
async fn a_method_is_called_by_its_names() {
    let (_running, client) = client().await;
    let request = json!({"item": "tea", "count": 2});
    let response = client.call_json("names.v1.Shop", "Buy", &request).await;
    assert_eq!(response.unwrap(), json!({"result": 6}));
    // Defaults and spellings are those of the server.
    let response = client.call_json("names.v1.Shop", "Buy", &json!({"item": "tea"}));
    assert_eq!(response.await.unwrap(), json!({"result": 3}));
    let message = json!({"a": [1, null, {"b": -2.5}], "c": "\u{e9}"});
    let echoed = client.call_json("names.v1.Shop", "Echo", &message).await;
    assert_eq!(echoed.unwrap(), message);
    let status = client.call_json("rpc.v1.Status", "Get", &json!({})).await;
    assert_eq!(status.unwrap()["result"]["server"], "shop");
    let pong = client.call_json("names.v1.Shop", "Ping", &json!({})).await;
    assert_eq!(pong.unwrap()["service"], "names.v1.Shop");
}

/// The server gets the text, and its response is text as well.
#[tokio::test]
async fn a_text_arrives_as_it_was_written() {
    let echo = async |body: Bytes| ([("content-type", "application/json")], body);
    let routes = Router::new().route("/raw.v1.Echo/Echo", routing::post(echo));
    let server = Server::new("raw").http_for(HttpAccess::Public, routes);
    let running = rpc_tests::Running::start(server).await;
    let client = Client::new(&running.url()).unwrap();
    for text in [
        r#"{"value": 18446744073709551616}"#,
        r#"{"n":0.1000000000000000055511151231257827,"m":-0,"z":1.0E+2}"#,
        r#"{"a":{"n":1},"b":{"n":2},"text":"\u00e9\/"}"#,
    ] {
        let request = JsonText::parse(text).unwrap();
        let echoed = client.call_json_text("raw.v1.Echo", "Echo", &request).await;
        assert_eq!(echoed.unwrap().as_str(), text);
    }
    let wrong = JsonText::parse("{}").unwrap();
    let error = client.call_json_text("raw.v1.Echo", "a/b", &wrong).await;
    assert_eq!(error.unwrap_err().code(), Code::InvalidArgument);
    // A method that is linked has a result and errors as for each other caller.
    let (_running, client) = self::client().await;
    let buy = async |text: &str| {
        let request = JsonText::parse(text).unwrap();
        client
            .call_json_text("names.v1.Shop", "Buy", &request)
            .await
    };
    let bought = buy(r#"{"item": "tea", "count": 2}"#).await.unwrap();
    assert_eq!(bought.as_str(), r#"{"result":6}"#);
    let sold_out = buy(r#"{"item": "tea", "count": 4}"#).await.unwrap_err();
    assert_eq!(sold_out.as_error().reason(), Some("SOLD_OUT"));
    for count in [
        "18446744073709551616",
        "1e400",
        "1.5",
        "-1",
        "\"1\", \"Count\": 1e999",
    ] {
        let error = buy(&format!(r#"{{"item": "tea", "count": {count}}}"#)).await;
        assert_eq!(error.unwrap_err().code(), Code::InvalidArgument, "{count}");
    }
}

#[tokio::test]
async fn a_typed_error_is_data() {
    let (_running, client) = client().await;
    let request = json!({"item": "tea", "count": 4});
    let error = client.call_json("names.v1.Shop", "Buy", &request).await;
    let error = error.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
    assert_eq!(error.as_error().reason(), Some("SOLD_OUT"));
    let fields = error.as_error().typed_fields().unwrap();
    let expected = json!({"item": "tea", "left": 9_007_199_254_740_993_u64});
    assert_eq!(Value::Object(fields), expected);
    // An argument that is missing is an error of the server.
    let error = client.call_json("names.v1.Shop", "Buy", &json!({})).await;
    let error = error.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert_eq!(error.as_error().violations()[0].field, "item");
    assert_eq!(error.as_error().typed_fields(), None);
}

#[tokio::test]
async fn invalid_names_and_messages_are_not_sent() {
    let (_running, client) = client().await;
    for (service, method, request, text) in [
        ("", "Buy", json!({}), "invalid service ``"),
        ("a b.C", "Buy", json!({}), "invalid service `a b.C`"),
        ("names.v1..Shop", "Buy", json!({}), "invalid service"),
        ("names.v1.Shop", "", json!({}), "invalid method ``"),
        ("names.v1.Shop", "Buy/../Echo", json!({}), "invalid method"),
        ("names.v1.Shop", "1st", json!({}), "invalid method `1st`"),
        ("names.v1.Shop", "Buy", json!([1]), "must be a JSON object"),
        ("names.v1.Shop", "Buy", Value::Null, "must be a JSON object"),
    ] {
        let error = client.call_json(service, method, &request).await;
        let error = error.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{error}");
        assert!(error.message().contains(text), "{error}");
        assert!(error.is_not_executed(), "{error}");
    }
    // Valid names of nothing: the server says so.
    let error = client.call_json("names.v1.Shop", "Sell", &json!({})).await;
    assert_eq!(error.unwrap_err().code(), Code::Unimplemented);
    let error = client.call_json("other.v1.Shop", "Buy", &json!({})).await;
    assert_eq!(error.unwrap_err().code(), Code::Unimplemented);
}

#[tokio::test]
async fn linked_methods_keep_their_semantics() {
    let broken = Hostile::start(|mut peer| async move {
        // Reads the request and closes: it may have been executed.
        peer.request().await;
    })
    .await;
    let client = Client::new(&broken.url).unwrap();
    let client = client.retry(RetryPolicy::default().attempts(3));
    for (service, method, attempts) in [
        ("names.v1.Shop", "Buy", 3),
        ("names.v1.Shop", "Flaky", 1),
        ("unknown.v1.Shop", "Buy", 1),
    ] {
        let (call, handle) = client.call_json(service, method, &json!({})).with_handle();
        assert_eq!(call.await.unwrap_err().code(), Code::Unavailable);
        assert_eq!(handle.attempts(), attempts, "{service}/{method}");
    }
    // What was not executed is repeated for every method.
    let (_running, client) = self::client().await;
    let response = client.call_json("names.v1.Shop", "Flaky", &json!({})).await;
    assert_eq!(response.unwrap(), json!({"result": 1}));
}

#[tokio::test]
async fn a_message_is_that_of_curl() {
    let (running, client) = client().await;
    let request = json!({"item": "tea", "count": 3});
    let response = client.call_json("names.v1.Shop", "Buy", &request).await;
    let mut raw = Raw::connect(running.address()).await;
    let curl = raw
        .ask(post("/names.v1.Shop/Buy", request.to_string()))
        .await;
    let curl: Value = serde_json::from_slice(&curl.body).unwrap();
    assert_eq!(response.unwrap(), curl);
}

//! `#[rpc(default = …)]`: the value of an argument that a caller leaves out.

use rpc_runtime::prelude::*;
use rpc_tests::raw::{Raw, post};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const PAGE: u64 = 20;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
enum Order {
    #[default]
    Oldest,
    Newest,
}

#[rpc_service(package = "defaults.v1")]
trait Search {
    /// Returns what it received.
    #[allow(clippy::too_many_arguments)]
    async fn find(
        &self,
        #[rpc(default = 20)] limit: u32,
        #[rpc(default = PAGE * 2)] page: u64,
        #[rpc(default = "en")] language: &str,
        #[rpc(default = "tea")] item: Option<&str>,
        #[rpc(default = Some(-1))] offset: Option<i32>,
        #[rpc(default = Order::Newest)] order: Order,
        #[rpc(default = vec![1, 2])] shops: &[u32],
        #[rpc(default)] exact: bool,
    ) -> Result<Value>;
}

struct Echo;

impl Search for Echo {
    async fn find(
        &self,
        limit: u32,
        page: u64,
        language: &str,
        item: Option<&str>,
        offset: Option<i32>,
        order: Order,
        shops: &[u32],
        exact: bool,
    ) -> Result<Value> {
        Ok(json!([
            limit, page, language, item, offset, order, shops, exact
        ]))
    }
}

async fn found(request: Value) -> Value {
    let server =
        rpc_tests::Running::start(Server::new("search").add(SearchServer::new(Echo))).await;
    let mut raw = Raw::connect(server.address()).await;
    let request = post("/defaults.v1.Search/Find", request.to_string());
    let response = raw.ask(request).await;
    assert_eq!(response.status, 200, "{response:?}");
    let body: Value = serde_json::from_slice(&response.body).unwrap();
    body["result"].clone()
}

#[tokio::test]
async fn missing_arguments_have_the_given_defaults() {
    let defaults = json!([20, 40, "en", "tea", -1, "Newest", [1, 2], false]);
    assert_eq!(found(json!({})).await, defaults);
    // A `null` of a type that has none counts as missing, as for `#[rpc(default)]`.
    let nulls = json!({"limit": null, "language": null, "order": null, "shops": null});
    assert_eq!(found(nulls).await, defaults);
    let given = json!({"limit": 0, "page": 0, "language": "", "order": "Oldest", "shops": [],
        "item": "cup", "offset": 5, "exact": true});
    let expected = json!([0, 0, "", "cup", 5, "Oldest", [], true]);
    assert_eq!(found(given).await, expected);
}

#[tokio::test]
async fn null_of_an_option_is_none_and_not_the_default() {
    let nulls = json!({"item": null, "offset": null});
    let expected = json!([20, 40, "en", null, null, "Newest", [1, 2], false]);
    assert_eq!(found(nulls).await, expected);
}

#[tokio::test]
async fn a_client_sends_none_where_the_default_is_a_value() {
    let search = SearchClient::local(Echo);
    let sent = search
        .find(0, 0, "", None, None, Order::Oldest, &[], false)
        .await
        .unwrap();
    assert_eq!(sent, json!([0, 0, "", null, null, "Oldest", [], false]));
}

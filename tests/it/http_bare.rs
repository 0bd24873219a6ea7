//! Methods whose value is the whole response at their HTTP paths: `#[rpc(bare)]`.

use rpc_runtime::prelude::*;
use rpc_tests::Running;
use rpc_tests::raw::{Raw, post, post_with, request};
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Product {
    id: String,
    cents: u64,
}

#[rpc_service(package = "bare.v1")]
trait Catalog {
    #[rpc(no_side_effects, get = "/products/{id}", bare)]
    async fn find(&self, id: &str) -> Result<Product>;
    #[rpc(no_side_effects, get = "/products", bare)]
    async fn list(&self, count: Option<u64>) -> Result<Vec<Product>>;
    #[rpc(no_side_effects, get = "/best", bare)]
    async fn best(&self) -> Result<Option<Product>>;
    #[rpc(post = "/products/{id}/stock", bare)]
    async fn stock(&self, id: &str, pieces: u64) -> Result<String>;
    #[rpc(post = "/clear", bare)]
    async fn clear(&self) -> Result<()>;
}

struct Shop;

fn tea() -> Product {
    Product {
        id: "tea {\"result\":1}".to_owned(),
        cents: 350,
    }
}

impl Catalog for Shop {
    async fn find(&self, id: &str) -> Result<Product> {
        if id != "tea" {
            fail!(Code::NotFound, "no product {id}");
        }
        Ok(tea())
    }

    async fn list(&self, count: Option<u64>) -> Result<Vec<Product>> {
        Ok((0..count.unwrap_or(0)).map(|_| tea()).collect())
    }

    async fn best(&self) -> Result<Option<Product>> {
        Ok(None)
    }

    async fn stock(&self, id: &str, pieces: u64) -> Result<String> {
        Ok(format!("{pieces} of {id}"))
    }

    async fn clear(&self) -> Result<()> {
        Ok(())
    }
}

const TEA: &str = r#"{"id":"tea {\"result\":1}","cents":350}"#;

async fn started() -> (Running, Raw) {
    let running = Running::start(Server::new("catalog").add(CatalogServer::new(Shop))).await;
    let raw = Raw::connect(running.address()).await;
    (running, raw)
}

#[tokio::test]
async fn a_bare_value_is_the_whole_response() {
    let (_running, mut raw) = started().await;
    for (target, body) in [
        ("/products/tea", TEA.to_owned()),
        ("/products?count=2", format!("[{TEA},{TEA}]")),
        ("/products", "[]".to_owned()),
        ("/best", "null".to_owned()),
    ] {
        let response = raw.ask(request("GET", target, &[], b"")).await;
        assert_eq!(response.status, 200, "{target}");
        assert_eq!(String::from_utf8_lossy(&response.body), body, "{target}");
        assert_eq!(response.header("content-type"), Some("application/json"));
    }
    for (target, body, expected) in [
        ("/products/tea/stock", r#"{"pieces":3}"#, r#""3 of tea""#),
        ("/clear", "{}", "null"),
    ] {
        let response = raw.ask(post(target, body)).await;
        assert_eq!(String::from_utf8_lossy(&response.body), expected);
    }
    // Compressed responses too.
    let gzip = [("accept-encoding", "gzip")];
    let target = "/products?count=100";
    let response = raw.ask(request("GET", target, &gzip, b"")).await;
    assert_eq!(response.header("content-encoding"), Some("gzip"));
}

#[tokio::test]
async fn other_ways_keep_the_field_result() {
    let (running, mut raw) = started().await;
    let own = |body| post("/bare.v1.Catalog/Find", body);
    let response = raw.ask(own(r#"{"id":"tea"}"#)).await;
    let expected = format!(r#"{{"result":{TEA}}}"#);
    assert_eq!(String::from_utf8_lossy(&response.body), expected);
    let client = CatalogClient::connect(&running.url()).unwrap();
    assert_eq!(client.find("tea").await.unwrap(), tea());
    client.clear().await.unwrap();
    // Errors have their form.
    let response = raw.ask(request("GET", "/products/cup", &[], b"")).await;
    assert_eq!(response.error(), (404, "not_found".to_owned()));
    let response = raw.ask(post_with("/products/tea/stock", &[], "{}")).await;
    assert_eq!(response.error(), (400, "invalid_argument".to_owned()));
}

/// A layer may give another form to a message, which is then sent as it is.
#[tokio::test]
async fn a_message_of_a_layer_is_sent_as_it_is() {
    use rpc_runtime::middleware::{Body, Next, Request, Response};
    let message = r#"{"result":1,"more":2}"#;
    let layer = move |_: Request, _: Next| async move { Response::new(Body::message(message)) };
    let server = Server::new("catalog")
        .add(CatalogServer::new(Shop))
        .layer(layer);
    let running = Running::start(server).await;
    let mut raw = Raw::connect(running.address()).await;
    let response = raw.ask(request("GET", "/best", &[], b"")).await;
    assert_eq!(String::from_utf8_lossy(&response.body), message);
}

//! A `BigNum` in a value that serde buffers without its type, where the digits of a number with a
//! fraction or an exponent are lost.

use rpc_runtime::BigNum;
use rpc_runtime::prelude::*;
use rpc_tests::Running;
use rpc_tests::raw::{Raw, Response, post};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct Inner {
    id: BigNum<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Flattened {
    #[serde(flatten)]
    inner: Inner,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Named { id: BigNum<u64> },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    Named { id: BigNum<u64> },
}

#[rpc_service(package = "buffered.v1")]
trait Buffered {
    async fn plain(&self, v: Inner) -> Result<Inner>;
    async fn flattened(&self, v: Flattened) -> Result<Flattened>;
    async fn untagged(&self, v: Untagged) -> Result<Untagged>;
    async fn tagged(&self, v: Tagged) -> Result<Tagged>;
}

struct Echo;

impl Buffered for Echo {
    async fn plain(&self, v: Inner) -> Result<Inner> {
        Ok(v)
    }

    async fn flattened(&self, v: Flattened) -> Result<Flattened> {
        Ok(v)
    }

    async fn untagged(&self, v: Untagged) -> Result<Untagged> {
        Ok(v)
    }

    async fn tagged(&self, v: Tagged) -> Result<Tagged> {
        Ok(v)
    }
}

async fn send(running: &Running, method: &str, id: &str) -> Response {
    let body = format!(r#"{{"v":{{"kind":"Named","id":{id}}}}}"#);
    let request = post(&format!("/buffered.v1.Buffered/{method}"), &body);
    Raw::connect(running.address()).await.ask(request).await
}

#[tokio::test]
async fn a_big_number_without_its_digits_is_refused() {
    let server = Server::new("buffered").add(BufferedServer::new(Echo));
    let running = Running::start(server).await;
    for method in ["Flattened", "Untagged", "Tagged"] {
        for (sent, read) in [
            ("1", "1"),
            ("18446744073709551615", "18446744073709551615"),
            (r#""9007199254740993""#, "9007199254740993"),
        ] {
            let response = send(&running, method, sent).await;
            let text = String::from_utf8_lossy(&response.body);
            let expected = format!(r#""id":"{read}""#);
            assert!(text.contains(&expected), "{method} {sent}: {text}");
        }
        for sent in [
            "1.00000000000000001",
            "4503599627370496.5000000000000001",
            "0.99999999999999999999",
            "10.0",
            "18446744073709551616",
        ] {
            let expected = (400, "invalid_argument".to_owned());
            let error = send(&running, method, sent).await.error();
            assert_eq!(error, expected, "{method} {sent}");
        }
    }
    // Its own place keeps the digits.
    let response = send(&running, "Plain", "10.0").await;
    let text = String::from_utf8_lossy(&response.body).into_owned();
    assert_eq!(text, r#"{"result":{"id":"10"}}"#);
    let error = send(&running, "Plain", "1.00000000000000001").await.error();
    assert_eq!(error, (400, "invalid_argument".to_owned()));
}

//! A value that is nested too deeply for its receiver is refused by the side that writes it.

use rpc_runtime::prelude::*;
use rpc_tests::Running;
use rpc_tests::raw::{Raw, post};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Tree {
    branches: Vec<Tree>,
}

#[derive(Debug, RpcError)]
enum DepthError {
    #[rpc(code = "aborted")]
    Deep(Value),
    #[rpc(other)]
    Other(Error),
}

#[rpc_service(package = "depth.v1")]
trait Depth {
    async fn list(&self, levels: usize) -> Result<Value>;
    async fn tree(&self, levels: usize) -> Result<Tree>;
    #[rpc(message)]
    async fn message(&self, tree: Tree) -> Result<Tree>;
    async fn take(&self, name: &str, value: Value) -> Result<Value>;
    async fn fail(&self, levels: usize) -> Result<(), DepthError>;
}

struct Deep;

fn list(levels: usize) -> Value {
    (0..levels).fold(Value::from(1), |value, _| Value::Array(vec![value]))
}

/// Returns a tree with this number of levels, which is even.
fn tree(levels: usize) -> Tree {
    let leaf = Tree { branches: vec![] };
    (1..levels / 2).fold(leaf, |tree, _| Tree {
        branches: vec![tree],
    })
}

impl Depth for Deep {
    async fn list(&self, levels: usize) -> Result<Value> {
        Ok(list(levels))
    }

    async fn tree(&self, levels: usize) -> Result<Tree> {
        Ok(tree(levels))
    }

    async fn message(&self, tree: Tree) -> Result<Tree> {
        Ok(tree)
    }

    async fn take(&self, _: &str, value: Value) -> Result<Value> {
        Ok(value)
    }

    async fn fail(&self, levels: usize) -> Result<(), DepthError> {
        Err(DepthError::Deep(list(levels)))
    }
}

async fn start() -> Running {
    Running::start(Server::new("depth").add(DepthServer::new(Deep))).await
}

fn clients(running: &Running) -> [DepthClient; 2] {
    [
        DepthClient::connect(&running.url()).unwrap(),
        DepthClient::local(Deep),
    ]
}

#[tokio::test]
async fn a_result_at_the_limit_arrives_deeper_ones_fail() {
    let running = start().await;
    for depth in clients(&running) {
        assert_eq!(depth.list(127).await.unwrap(), list(127));
        assert_eq!(depth.tree(126).await.unwrap(), tree(126));
        for levels in [128, 129, 1_000, 5_000] {
            let error = depth.list(levels).await.unwrap_err();
            assert_eq!(error.code(), Code::Internal);
            // The caller is not told what the server failed to write.
            assert!(!error.message().contains("invalid response"), "{error}");
            let error = depth.tree(levels).await.unwrap_err();
            assert_eq!(error.code(), Code::Internal);
        }
    }
}

#[tokio::test]
async fn a_deep_argument_is_refused_with_its_path() {
    let running = start().await;
    for depth in clients(&running) {
        assert_eq!(depth.take("a", list(127)).await.unwrap(), list(127));
        assert_eq!(depth.message(tree(126)).await.unwrap(), tree(126));
        for levels in [128, 2_500, 5_000] {
            let error = depth.take("a", list(levels)).await.unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument);
            assert!(error.message().contains("value[0][0][0]"), "{error}");
            assert!(error.message().contains("127 levels"), "{error}");
            let error = depth.message(tree(levels)).await.unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument);
            let path = "branches[0].branches[0]";
            assert!(error.message().contains(path), "{error}");
        }
    }
}

#[tokio::test]
async fn a_field_of_an_error_at_the_limit_arrives() {
    let running = start().await;
    for depth in clients(&running) {
        for levels in [1, 122, 126, 127] {
            let error = depth.fail(levels).await.unwrap_err();
            let DepthError::Deep(received) = &*error else {
                panic!("{levels}: {error:?}");
            };
            assert_eq!(received, &list(levels));
        }
        for levels in [128, 5_000] {
            let error = depth.fail(levels).await.unwrap_err();
            assert_eq!(error.code(), Code::Aborted);
            assert!(matches!(&*error, DepthError::Other(_)), "{levels}");
        }
    }
}

#[tokio::test]
async fn a_received_value_at_the_limit_is_sent_back() {
    let running = start().await;
    for levels in [127, 128, 100_000] {
        let list = "[".repeat(levels) + &"]".repeat(levels);
        let body = format!(r#"{{"name":"a","value":{list}}}"#);
        let request = post("/depth.v1.Depth/Take", &body);
        let response = Raw::connect(running.address()).await.ask(request).await;
        if levels == 127 {
            let text = String::from_utf8(response.body).unwrap();
            assert_eq!(text, format!(r#"{{"result":{list}}}"#));
        } else {
            assert_eq!(response.status, 400);
            assert!(response.message().contains("more than 127 levels"));
        }
    }
}

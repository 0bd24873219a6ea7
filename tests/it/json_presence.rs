//! A `None` arrives as itself, whatever the default of the argument is and whatever type it is
//! inside of. Where JSON has no form for it, nothing is sent.

use rpc_runtime::Remote;
use rpc_runtime::prelude::*;
use rpc_tests::Running;
use rpc_tests::raw::{Raw, post};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A newtype whose default is not `None`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Limit(Option<u32>);

impl Default for Limit {
    fn default() -> Self {
        Self(Some(10))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
struct Transparent {
    limit: Option<u32>,
}

impl Default for Transparent {
    fn default() -> Self {
        Self { limit: Some(20) }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(from = "Option<u32>", into = "Option<u32>")]
enum Converted {
    Unlimited,
    At(u32),
}

impl From<Option<u32>> for Converted {
    fn from(limit: Option<u32>) -> Self {
        limit.map_or(Self::Unlimited, Self::At)
    }
}

impl From<Converted> for Option<u32> {
    fn from(limit: Converted) -> Self {
        match limit {
            Converted::Unlimited => None,
            Converted::At(limit) => Some(limit),
        }
    }
}

impl Default for Converted {
    fn default() -> Self {
        Self::At(30)
    }
}

/// `Some(null)` and `None` are both `null` here, and neither is the default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Anything(Option<Value>);

impl Default for Anything {
    fn default() -> Self {
        Self(Some(Value::from(40)))
    }
}

/// A variant that is `null`, and is not missing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Either {
    Number(Option<u32>),
    Text(String),
}

impl Default for Either {
    fn default() -> Self {
        Self::Text("none".to_owned())
    }
}

/// `Free(Some(null))` has the form of `Free(None)`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Free {
    Free(Option<Value>),
}

#[derive(Debug, RpcError)]
enum PresenceError {
    /// The value is refused.
    #[rpc(code = "out_of_range")]
    Refused {
        either: Either,
        maybe: Option<Either>,
        limit: Limit,
    },
    #[rpc(other)]
    Other(Error),
}

#[rpc_service(package = "presence.v1")]
trait Presence {
    async fn limit(&self, #[rpc(default)] v: Limit) -> Result<Limit>;
    async fn borrowed(&self, #[rpc(default)] v: &Limit) -> Result<Limit>;
    async fn transparent(&self, #[rpc(default)] v: Transparent) -> Result<Transparent>;
    async fn converted(&self, #[rpc(default)] v: Converted) -> Result<Converted>;
    async fn anything(&self, #[rpc(default)] v: Anything) -> Result<Anything>;
    async fn maybe(&self, #[rpc(default)] v: Option<u32>) -> Result<Option<u32>>;
    async fn either(&self, v: Either) -> Result<Either>;
    async fn either_or_text(&self, #[rpc(default)] v: Either) -> Result<Either>;
    async fn maybe_either(&self, v: Option<Either>) -> Result<Option<Either>>;
    async fn borrowed_either(&self, v: Option<&Either>) -> Result<Option<Either>>;
    async fn free(&self, v: Free) -> Result<Free>;
    async fn make_free(&self) -> Result<Free>;
    async fn fail(&self, v: Either) -> Result<(), PresenceError>;
}

struct Echo;

macro_rules! echo {
    ($($name:ident: $type:ty),* $(,)?) => {
        impl Presence for Echo {
            $(async fn $name(&self, v: $type) -> Result<$type> {
                Ok(v)
            })*

            async fn borrowed(&self, v: &Limit) -> Result<Limit> {
                Ok(*v)
            }

            async fn borrowed_either(&self, v: Option<&Either>) -> Result<Option<Either>> {
                Ok(v.cloned())
            }

            async fn make_free(&self) -> Result<Free> {
                Ok(Free::Free(Some(Value::Null)))
            }

            async fn fail(&self, v: Either) -> Result<(), PresenceError> {
                Err(PresenceError::Refused {
                    either: v.clone(),
                    maybe: Some(v),
                    limit: Limit(None),
                })
            }
        }
    };
}

echo! {
    limit: Limit,
    transparent: Transparent,
    converted: Converted,
    anything: Anything,
    maybe: Option<u32>,
    either: Either,
    either_or_text: Either,
    maybe_either: Option<Either>,
    free: Free,
}

async fn start() -> Running {
    Running::start(Server::new("presence").add(PresenceServer::new(Echo))).await
}

/// The client over a socket, and the client in process.
fn clients(running: &Running) -> [PresenceClient; 2] {
    [
        PresenceClient::connect(&running.url()).unwrap(),
        PresenceClient::local(Echo),
    ]
}

/// Sends the body and returns that of the response, which must be a success.
async fn ask(running: &Running, method: &str, body: &str) -> String {
    let request = post(&format!("/presence.v1.Presence/{method}"), body);
    let response = Raw::connect(running.address()).await.ask(request).await;
    let text = String::from_utf8_lossy(&response.body).into_owned();
    assert_eq!(response.status, 200, "{method} {body}: {text}");
    text
}

fn assert_ambiguous(error: &Remote<Error>, code: Code) {
    assert_eq!(error.code(), code);
    if code == Code::InvalidArgument {
        let text = "v: JSON writes this value and another one alike";
        assert!(error.message().contains(text), "{error}");
    }
}

#[tokio::test]
async fn none_is_not_the_default_of_an_argument() {
    let running = start().await;
    for client in clients(&running) {
        for v in [Limit(None), Limit(Some(0)), Limit::default()] {
            assert_eq!(client.limit(v).await.unwrap(), v);
            assert_eq!(client.borrowed(&v).await.unwrap(), v);
        }
        for limit in [None, Some(0), Some(20)] {
            let v = Transparent { limit };
            assert_eq!(client.transparent(v).await.unwrap(), v);
        }
        for v in [Converted::Unlimited, Converted::At(0), Converted::At(30)] {
            assert_eq!(client.converted(v).await.unwrap(), v);
        }
        for v in [None, Some(0)] {
            assert_eq!(client.maybe(v).await.unwrap(), v);
        }
    }
    assert_eq!(ask(&running, "Limit", "{}").await, r#"{"result":10}"#);
    assert_eq!(ask(&running, "Limit", r#"{"v":null}"#).await, "{}");
    assert_eq!(ask(&running, "Converted", r#"{"v":null}"#).await, "{}");
}

#[tokio::test]
async fn none_in_an_untagged_variant_arrives() {
    let running = start().await;
    let all = [
        Either::Number(None),
        Either::Number(Some(3)),
        Either::Text("a".to_owned()),
    ];
    for client in clients(&running) {
        for v in all.clone() {
            assert_eq!(client.either(v.clone()).await.unwrap(), v);
            assert_eq!(client.either_or_text(v.clone()).await.unwrap(), v);
            let v = Some(v);
            assert_eq!(client.maybe_either(v.clone()).await.unwrap(), v);
            assert_eq!(client.borrowed_either(v.as_ref()).await.unwrap(), v);
        }
        assert_eq!(client.maybe_either(None).await.unwrap(), None);
        assert_eq!(client.borrowed_either(None).await.unwrap(), None);
    }
    let result = r#"{"result":null}"#;
    assert_eq!(ask(&running, "Either", r#"{"v":null}"#).await, result);
    assert_eq!(ask(&running, "MaybeEither", r#"{"v":null}"#).await, result);
    assert_eq!(
        ask(&running, "EitherOrText", "{}").await,
        r#"{"result":"none"}"#
    );
}

#[tokio::test]
async fn none_in_a_field_of_an_error_arrives() {
    let running = start().await;
    for client in clients(&running) {
        for v in [Either::Number(None), Either::Text("b".to_owned())] {
            let error = client.fail(v.clone()).await.unwrap_err();
            let PresenceError::Refused {
                either,
                maybe,
                limit,
            } = &*error
            else {
                panic!("{error:?}");
            };
            assert_eq!((either, maybe, limit), (&v, &Some(v.clone()), &Limit(None)));
        }
    }
}

#[tokio::test]
async fn a_value_without_its_own_form_is_refused() {
    let running = start().await;
    for client in clients(&running) {
        for v in [Anything(Some(Value::Null)), Anything::default()] {
            assert_eq!(client.anything(v.clone()).await.unwrap(), v);
        }
        let error = client.anything(Anything(None)).await.unwrap_err();
        assert_ambiguous(&error, Code::InvalidArgument);
        for v in [Free::Free(None), Free::Free(Some(Value::from("a")))] {
            assert_eq!(client.free(v.clone()).await.unwrap(), v);
        }
        let error = client.free(Free::Free(Some(Value::Null))).await;
        assert_ambiguous(&error.unwrap_err(), Code::InvalidArgument);
        // The value of a handler is the fault of the server.
        let error = client.make_free().await.unwrap_err();
        assert_ambiguous(&error, Code::Internal);
    }
}

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rpc_runtime::discovery::Addresses;
use rpc_runtime::middleware::{Next, Request, Response};
use rpc_runtime::prelude::*;
use rpc_runtime::{Client, RetryPolicy, Trust};
use rpc_tests::Running;
use rpc_tests::raw::{Raw, post};

use super::canary::check;
use super::relay::with_sources;

#[derive(Debug, Clone, thiserror::Error, RpcError)]
enum SafeError {
    #[error("{door} is locked")]
    #[rpc(code = "unauthenticated")]
    Locked { door: String },
    #[error("labels {labels:?}")]
    #[rpc(code = "not_found")]
    Labels { labels: HashMap<String, u32> },
    #[error("names {names:?}")]
    #[rpc(code = "not_found")]
    Names { names: Vec<HashSet<String>> },
    #[error("{0}")]
    #[rpc(other)]
    Other(Error),
}

#[derive(Debug, thiserror::Error, RpcError)]
enum DoorError {
    #[error("{0}")]
    #[rpc(from)]
    Safe(SafeError),
    #[error("{0}")]
    #[rpc(other)]
    Other(Error),
}

/// The name is the domain of its reasons.
#[rpc_service(package = "canary.v1")]
trait Safe {
    async fn open(&self, fault: &str) -> Result<u32, SafeError>;
    #[rpc(idempotent)]
    async fn open_untyped(&self, fault: &str) -> Result<u32>;
}

struct Far;

fn fault(fault: &str) -> SafeError {
    let text = |number: u32| format!("canary-{number}");
    match fault {
        "labels" => SafeError::Labels {
            labels: (0..20).map(|number| (text(number), number)).collect(),
        },
        "names" => SafeError::Names {
            names: vec![(0..20).map(text).collect()],
        },
        "panic" => panic!("canary-panic"),
        "unavailable" => {
            let context = Context::current();
            let response = context.response();
            response.header("x-auth", "canary-header").unwrap();
            response.trailer("x-cost", "canary-trailer").unwrap();
            let error = Error::new(Code::Unavailable, "canary-message");
            error.with_reason("CANARY_REASON").into()
        }
        "not_found" => Error::new(Code::NotFound, "canary-message").into(),
        door => SafeError::Locked {
            door: format!("canary {door}"),
        },
    }
}

impl Safe for Far {
    async fn open(&self, name: &str) -> Result<u32, SafeError> {
        Err(fault(name))
    }

    async fn open_untyped(&self, name: &str) -> Result<u32> {
        Err(fault(name).into_error())
    }
}

#[rpc_service(package = "ways.v1")]
trait Door {
    async fn untyped(&self, way: &str) -> Result<u32>;
    async fn typed(&self, way: &str) -> Result<u32, SafeError>;
    async fn wrapped(&self, way: &str) -> Result<u32, DoorError>;
}

/// Calls the safe.
struct Edge {
    safe: SafeClient,
    kept: Arc<Mutex<Option<Error>>>,
}

async fn panicking(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    panic!("canary {:?}", response.error())
}

fn absent() -> Client {
    Client::new("http://127.0.0.1:1").unwrap()
}

impl Door for Edge {
    async fn untyped(&self, way: &str) -> Result<u32> {
        let (safe, of) = (&self.safe, SafeClient::with_client);
        match way {
            "own reason" => {
                let error = safe.open_untyped("unavailable").await.unwrap_err();
                Err(Error::from(error).with_reason("OWN"))
            }
            "keep" => {
                let error = safe.open_untyped("not_found").await.unwrap_err();
                *self.kept.lock().unwrap() = Some(error.into_inner());
                Ok(1)
            }
            "kept" => Err(self.kept.lock().unwrap().clone().unwrap()),
            "text of kept" => {
                let kept = self.kept.lock().unwrap().clone().unwrap();
                Err(Error::new(Code::NotFound, with_sources(&kept)))
            }
            "task without the context" => {
                let safe = safe.clone();
                let task = tokio::spawn(async move { safe.open_untyped("not_found").await });
                task.await.unwrap().map_err(Remote::into_inner)
            }
            "unwrap" => Ok(safe.open_untyped("not_found").await.unwrap()),
            "panic in a layer" => Ok(of(absent().layer(panicking)).open_untyped("x").await?),
            "panic in process" => Ok(SafeClient::local(Far).open_untyped("panic").await?),
            "addresses" => {
                let addresses = Addresses::from_iter(["http://canary:99999"]);
                Ok(of(Client::discover(addresses)).open_untyped("x").await?)
            }
            "client" => {
                let client = Client::new("http://canary.example:99999")?;
                Ok(of(client).open_untyped("x").await?)
            }
            fault => Ok(safe.open_untyped(fault).await?),
        }
    }

    async fn typed(&self, way: &str) -> Result<u32, SafeError> {
        match way {
            "many" => {
                let safe = SafeClient::local(Far);
                let first = safe.open("first").await.unwrap_err().into_inner();
                for number in 0..300 {
                    safe.open(&number.to_string()).await.unwrap_err();
                }
                Err(first)
            }
            "decoded" => {
                let error = self.safe.open_untyped("locked").await.unwrap_err();
                Err(Remote::<SafeError>::from_error(error.into_inner()).into_inner())
            }
            "own" => {
                self.safe.open("labels").await.unwrap_err();
                Err(SafeError::Labels {
                    labels: HashMap::from([("own".to_owned(), 1)]),
                })
            }
            fault => self.safe.open(fault).await.map_err(Remote::into_inner),
        }
    }

    async fn wrapped(&self, way: &str) -> Result<u32, DoorError> {
        match way {
            "absent" => Ok(SafeClient::with_client(absent()).open("x").await?),
            fault => Ok(self.safe.open(fault).await?),
        }
    }
}

struct Fixture {
    edge: Running,
    _far: Running,
}

impl Fixture {
    /// Starts an edge whose client is prepared, and the far end.
    async fn start(prepare: impl FnOnce(Client) -> Client) -> Self {
        Self::with_edge(prepare, |edge| edge).await
    }

    async fn with_edge(
        prepare: impl FnOnce(Client) -> Client,
        edge: impl FnOnce(Server) -> Server,
    ) -> Self {
        let far = Running::start(Server::new("far").add(SafeServer::new(Far))).await;
        let door = Edge {
            safe: SafeClient::with_client(prepare(Client::new(&far.url()).unwrap())),
            kept: Arc::default(),
        };
        let server = edge(Server::new("edge").trust(Trust::Edge));
        Self {
            edge: Running::start(server.add(DoorServer::new(door))).await,
            _far: far,
        }
    }

    /// Calls a method, and checks that its response has no mark. Returns the code and the message.
    async fn ask(&self, method: &str, way: &str) -> (String, String) {
        let message = serde_json::json!({ "way": way }).to_string();
        let mut raw = Raw::connect(self.edge.address()).await;
        let response = raw
            .ask(post(&format!("/ways.v1.Door/{method}"), message))
            .await;
        let mut all = format!("{:?} ", response.headers).into_bytes();
        all.extend_from_slice(&response.body);
        check(&all, way);
        if response.status == 200 {
            return Default::default();
        }
        (response.error().1, response.message())
    }
}

const HIDDEN: (&str, &str) = ("internal", "internal error");
const UNAVAILABLE: (&str, &str) = ("unavailable", "a service behind this one is unavailable");

fn expect((code, message): (String, String), expected: (&str, &str), way: &str) {
    assert_eq!((&*code, &*message), expected, "{way}");
}

fn one_attempt(client: Client) -> Client {
    client.retry(RetryPolicy::off())
}

#[tokio::test]
async fn an_untyped_error_keeps_its_origin() {
    let fixture = Fixture::start(one_attempt).await;
    for (way, expected) in [
        ("own reason", UNAVAILABLE),
        ("keep", ("", "")),
        ("kept", HIDDEN),
        ("text of kept", ("not_found", "internal: internal error")),
        ("task without the context", HIDDEN),
        ("unwrap", HIDDEN),
        ("panic in a layer", HIDDEN),
        ("panic in process", HIDDEN),
        ("addresses", UNAVAILABLE),
        ("client", HIDDEN),
        ("unavailable", UNAVAILABLE),
    ] {
        expect(fixture.ask("Untyped", way).await, expected, way);
    }
}

#[tokio::test]
async fn the_end_of_several_attempts_is_not_described() {
    for hedged in [false, true] {
        let after = Duration::from_nanos(1);
        let prepare = |client: Client| if hedged { client.hedge(after) } else { client };
        let fixture = Fixture::start(prepare).await;
        let seen = fixture.ask("Untyped", "unavailable").await;
        expect(seen, UNAVAILABLE, "attempts");
    }
}

#[tokio::test]
async fn a_returned_variant_is_recognized() {
    let fixture = Fixture::start(one_attempt).await;
    for way in ["locked", "labels", "names", "many", "decoded"] {
        expect(fixture.ask("Typed", way).await, HIDDEN, way);
    }
    let own = ("not_found", "labels {\"own\": 1}");
    expect(fixture.ask("Typed", "own").await, own, "own");
}

#[tokio::test]
async fn a_layer_may_write_a_returned_variant_anew() {
    let write_anew = async |request: Request, next: Next| -> Response {
        match next.run(request).await.error() {
            Some(error) => Error::new(Code::NotFound, with_sources(error)).into(),
            None => unreachable!("all calls fail"),
        }
    };
    let fixture = Fixture::with_edge(one_attempt, |edge| edge.layer(write_anew)).await;
    for way in ["locked", "labels", "not_found"] {
        let expected = ("not_found", "internal: internal error");
        expect(fixture.ask("Typed", way).await, expected, way);
    }
}

/// Only a variant of the dependency becomes the edge's own, not what else ends the call.
#[tokio::test]
async fn an_edge_wraps_no_untyped_error() {
    let fixture = Fixture::start(one_attempt).await;
    for (way, expected) in [
        ("not_found", HIDDEN),
        ("unavailable", UNAVAILABLE),
        ("absent", UNAVAILABLE),
    ] {
        expect(fixture.ask("Wrapped", way).await, expected, way);
    }
}

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rpc_runtime::error::Detail;
use rpc_runtime::idempotency::Outcome;
use rpc_runtime::prelude::*;
use rpc_runtime::{Client, RetryPolicy, Trust};
use rpc_tests::Running;
use rpc_tests::raw::{Raw, Response, post_with};
use tokio::net::TcpListener;

use super::canary::check;
use super::far_end::{DeskError, Far, VaultClient, VaultError, VaultServer, start_pages};
use crate::idempotency::shelf::Shelf;

#[derive(Debug, RpcError)]
enum TillError {
    #[rpc(code = "failed_precondition")]
    Short { by: u32 },
    #[rpc(code = "failed_precondition", public)]
    Closed { until: u32 },
    #[rpc(code = "internal")]
    Broken { part: String },
    #[rpc(other)]
    Other(Error),
}

/// Fails with the error of a birth.
#[rpc_service(package = "replays.v1")]
trait Till {
    async fn untyped(&self, #[rpc(idempotency_key(shared))] key: &str, birth: &str) -> Result<u32>;
    async fn own(
        &self,
        #[rpc(idempotency_key(shared))] key: &str,
        birth: &str,
    ) -> Result<u32, TillError>;
    /// With the enum of the dependency.
    async fn vault(
        &self,
        #[rpc(idempotency_key(shared))] key: &str,
        birth: &str,
    ) -> Result<u32, VaultError>;
    /// With an enum that holds that of the dependency.
    async fn desk(
        &self,
        #[rpc(idempotency_key(shared))] key: &str,
        birth: &str,
    ) -> Result<u32, DeskError>;
}

/// Errors of the service itself, the same with the error of a dependency at their origin, errors of
/// dependencies, and errors of the client. The names of most are faults of the far end.
const BIRTHS: [(&str, &str); 36] = [
    ("Untyped", "own invalid_argument"),
    ("Untyped", "own unavailable"),
    ("Untyped", "own resource_exhausted"),
    ("Untyped", "own internal"),
    ("Untyped", "own unknown"),
    ("Untyped", "own data_loss"),
    ("Untyped", "public internal"),
    ("Untyped", "public unknown"),
    ("Untyped", "bare internal"),
    ("Untyped", "long internal"),
    ("Untyped", "panic here"),
    ("Untyped", "replaced locked"),
    ("Untyped", "replaced absent"),
    ("Untyped", "extended rich unavailable"),
    ("Untyped", "extended rich not_found"),
    ("Untyped", "rich unavailable"),
    ("Untyped", "rich resource_exhausted"),
    ("Untyped", "rich not_found"),
    ("Untyped", "rich internal"),
    ("Untyped", "locked"),
    ("Untyped", "closed"),
    ("Untyped", "panic"),
    ("Untyped", "headers canceled"),
    ("Untyped", "page 0"),
    ("Untyped", "page 1"),
    ("Untyped", "page 8"),
    ("Untyped", "absent"),
    ("Own", "short"),
    ("Own", "closed"),
    ("Own", "broken"),
    ("Vault", "locked"),
    ("Vault", "rich unavailable"),
    ("Vault", "own"),
    ("Desk", "locked"),
    ("Desk", "rich not_found"),
    ("Desk", "same locked"),
];

#[derive(Clone)]
struct Birthplace {
    far: VaultClient,
    pages: VaultClient,
    absent: VaultClient,
}

impl Birthplace {
    fn next(&self, fault: &str) -> &VaultClient {
        match fault.split(' ').next() {
            Some("page") => &self.pages,
            Some("absent") => &self.absent,
            _ => &self.far,
        }
    }
}

fn rich(error: Error) -> Error {
    error
        .with_reason("OWN_REASON")
        .with_violation("own-field", "own-description")
        .with_detail(Detail::new("own.Type", b"own-detail".to_vec()))
        .with_retry_after(Duration::from_millis(70))
        .with_metadata("x-own", "own-value")
        .with_source(std::io::Error::other("canary-source"))
}

impl Till for Birthplace {
    async fn untyped(&self, _: &str, birth: &str) -> Result<u32> {
        let (kind, rest) = birth.split_once(' ').unwrap_or((birth, ""));
        let own = |text: &'static str| Error::new(rest.parse().unwrap(), text);
        match kind {
            // Untrusted callers receive the text and the details of codes such as this.
            "own" if !own("").code().is_internal_kind() => Err(rich(own("own-text"))),
            "own" => Err(rich(own("canary-text"))),
            "public" => Err(rich(own("own-text").public())),
            "bare" => Err(own("canary-text")),
            "long" => Err(Error::new(rest.parse().unwrap(), "own-text".repeat(1_000)).public()),
            "panic" if rest == "here" => panic!("canary-panic"),
            _ => {
                let fault = if matches!(kind, "replaced" | "extended") {
                    rest
                } else {
                    birth
                };
                let error = self.next(fault).open(fault).await.unwrap_err();
                let own = Error::new(Code::NotFound, "own-text");
                let error = match kind {
                    "replaced" => error.replaced_by(rich(own)),
                    "extended" => rich(error.into()),
                    _ => error.into(),
                };
                // An error that says that nothing was done is not stored.
                Err(error.outcome_unknown())
            }
        }
    }

    async fn own(&self, _: &str, birth: &str) -> Result<u32, TillError> {
        Err(match birth {
            "short" => TillError::Short { by: 7 },
            "closed" => TillError::Closed { until: 8 },
            _ => TillError::Broken {
                part: "canary".to_owned(),
            },
        })
    }

    async fn vault(&self, _: &str, birth: &str) -> Result<u32, VaultError> {
        if birth == "own" {
            return Err(rich(Error::new(Code::NotFound, "own-text")).into());
        }
        let reply = self.next(birth).open_typed(birth).await;
        reply.map_err(Remote::into_inner)
    }

    async fn desk(&self, _: &str, birth: &str) -> Result<u32, DeskError> {
        match birth.strip_prefix("same ") {
            Some(fault) => {
                let reply = self.next(fault).open_own(fault).await;
                reply.map_err(Remote::into_inner)
            }
            None => Ok(self.next(birth).open_typed(birth).await?),
        }
    }
}

/// A kind of caller: the listener, and the headers of its requests.
type Caller = (Trust, &'static [(&'static str, &'static str)]);

const CALLERS: [Caller; 3] = [
    (Trust::Edge, &[]),
    (Trust::Internal, &[]),
    (Trust::Internal, &[("x-rpc-accept", "error-chain")]),
];

/// Calls a method with a key of its own for each birth.
async fn ask(running: &Running, caller: Caller, (method, birth): (&str, &str)) -> Response {
    let path = format!("/replays.v1.Till/{method}");
    let message = serde_json::json!({ "key": birth, "birth": birth }).to_string();
    let mut raw = Raw::connect(running.address()).await;
    raw.ask(post_with(&path, caller.1, message)).await
}

/// Returns all that a response discloses, without what differs in each.
fn disclosed(response: &Response) -> (u16, BTreeMap<&str, &str>, serde_json::Value) {
    let differs = ["date", "x-request-id", "idempotent-replayed"];
    let headers = response.headers.iter();
    let headers = headers.map(|(name, value)| (&**name, &**value));
    let headers = headers.filter(|(name, _)| !differs.contains(name));
    (response.status, headers.collect(), response.json())
}

async fn birthplace() -> (Birthplace, Running) {
    let far = Running::start(Server::new("far").add(VaultServer::new(Far))).await;
    let absent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let absent = format!("http://{}", absent.local_addr().unwrap());
    let client = |url: &str| {
        let client = Client::new(url).unwrap().retry(RetryPolicy::off());
        VaultClient::with_client(client)
    };
    let place = Birthplace {
        far: client(&far.url()),
        pages: client(&start_pages().await),
        absent: client(&absent),
    };
    (place, far)
}

/// Fails if the response to a repeat differs from the first response.
async fn expect_replays(running: &Running, caller: Caller, firsts: &[Response], case: &str) {
    for (birth, first) in BIRTHS.into_iter().zip(firsts) {
        let replay = ask(running, caller, birth).await;
        let case = format!("{case} {caller:?} {birth:?}");
        assert_eq!(replay.header("idempotent-replayed"), Some("true"), "{case}");
        assert_eq!(disclosed(&replay), disclosed(first), "{case}");
    }
}

/// The first response and all repeats disclose the same: from the store in memory, from one outside
/// of the process, and after a restart.
#[tokio::test]
async fn a_replay_discloses_what_the_first_response_did() {
    let (place, _far) = birthplace().await;
    let server = |trust| {
        let server = Server::new("till").instance("a1").trust(trust);
        server.add(TillServer::new(place.clone()))
    };
    for caller in CALLERS {
        let shelf = Arc::new(Shelf::default());
        let in_memory = Running::start(server(caller.0)).await;
        let external = || server(caller.0).idempotency_store(Arc::clone(&shelf));
        let before = Running::start(external()).await;
        for (running, case) in [(&in_memory, "memory"), (&before, "external")] {
            let mut firsts = Vec::new();
            for birth in BIRTHS {
                let first = ask(running, caller, birth).await;
                assert_eq!(first.header("idempotent-replayed"), None);
                assert_ne!(first.status, 200, "{birth:?}");
                // The text and the reason of a variant with `from` are the service's own.
                let is_from = birth.0 == "Desk" && !birth.1.starts_with("same");
                if caller.0 == Trust::Edge && !is_from {
                    let all = format!("{:?}", disclosed(&first));
                    check(all.as_bytes(), &format!("{birth:?}"));
                }
                firsts.push(first);
            }
            for _ in 0..2 {
                expect_replays(running, caller, &firsts, case).await;
            }
            if case == "external" {
                let after = Running::start(external()).await;
                expect_replays(&after, caller, &firsts, "restarted").await;
            }
        }
    }
}

/// Each kind of caller receives its own part of one stored error.
#[tokio::test]
async fn a_stored_error_has_a_part_for_each_caller() {
    let (place, _far) = birthplace().await;
    let shelf = Arc::new(Shelf::default());
    let server = Server::new("till").instance("a1");
    let server = server.add(TillServer::new(place));
    let running = Running::start(server.idempotency_store(Arc::clone(&shelf))).await;
    let [_, plain, chain] = CALLERS;
    for birth in BIRTHS {
        // The one that is first does not decide what the other one gets.
        let whole = ask(&running, chain, birth).await;
        let part = ask(&running, plain, birth).await;
        let again = ask(&running, chain, birth).await;
        assert_eq!(disclosed(&again), disclosed(&whole), "{birth:?}");
        let text = format!("{:?}", disclosed(&part));
        assert!(!text.to_lowercase().contains("hopchain"), "{birth:?}");
    }
}

/// Older versions stored an error without its birth, and with details that its caller did not get.
#[tokio::test]
async fn an_error_of_unknown_birth_is_disclosed_to_none() {
    // With a reason, a violation and a detail.
    let rich = "eyJjb2RlIjoiaW50ZXJuYWwiLCJtZXNzYWdlIjoiaW50ZXJuYWwgZXJyb3IiLCJkZXRhaWxzIjpbeyJ0eXBlIjoiZ29vZ2xlLnJwYy5FcnJvckluZm8iLCJ2YWx1ZSI6IkNnWkRRVTVCVWxrU0FBIn0seyJ0eXBlIjoiZ29vZ2xlLnJwYy5CYWRSZXF1ZXN0IiwidmFsdWUiOiJDZzRLQm1OaGJtRnllUklFYjNkdU1RIn0seyJ0eXBlIjoib3duLlR5cGUiLCJ2YWx1ZSI6IlkyRnVZWEo1In1dfQ==";
    for birth in [
        "",
        r#","birth":{"origin":"later"}"#,
        r#","birth":{"origin":"later"},"trusted":{"json":"e30"}"#,
    ] {
        let stored = format!(r#"{{"error":{{"json":"{rich}"{birth}}}}}"#);
        let outcome = Outcome::from_bytes(stored.as_bytes()).unwrap();
        assert_eq!(outcome.error().unwrap().code(), Code::Internal);
        let shelf = Arc::new(Shelf::default());
        let (place, _far) = birthplace().await;
        let server = Server::new("till").add(TillServer::new(place));
        let server = server.idempotency_store(Arc::clone(&shelf));
        let running = Running::start(server.trust(Trust::Edge)).await;
        let case = ("Own", "short");
        ask(&running, CALLERS[0], case).await;
        let (key, (message, _)) = shelf.take();
        shelf.put(key, (message, Some(stored.into_bytes())));
        let replay = ask(&running, CALLERS[0], case).await;
        assert_eq!(replay.error(), (500, "internal".to_owned()), "{birth}");
        check(format!("{:?}", disclosed(&replay)).as_bytes(), birth);
    }
}

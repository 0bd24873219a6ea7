use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use rpc_runtime::Metadata;
use rpc_runtime::idempotency::{
    Claim, Fingerprint, IdempotencyKey, IdempotencyStore, Outcome, StoreFuture,
};
use rpc_runtime::prelude::*;
use rpc_tests::Running;
use rpc_tests::raw::{Raw, post_with};

use super::{expect, mask};

/// Records the keys and results that it is asked to store.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<String>>);

impl IdempotencyStore for Notes {
    fn begin<'a>(
        &'a self,
        key: &'a IdempotencyKey,
        message: Fingerprint,
    ) -> StoreFuture<'a, Claim> {
        let mut notes = self.0.lock().unwrap();
        let print: String = message
            .as_bytes()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        writeln!(notes, "key: {key}").unwrap();
        let parts = (key.method(), key.caller(), key.key());
        writeln!(notes, "method, caller, key: {parts:?}\nmessage: {print}").unwrap();
        Box::pin(async { Ok(Claim::New) })
    }

    fn complete<'a>(
        &'a self,
        _: &'a IdempotencyKey,
        _: Fingerprint,
        outcome: &'a Outcome,
    ) -> StoreFuture<'a, ()> {
        let mut notes = self.0.lock().unwrap();
        let stored = String::from_utf8(outcome.to_bytes()).unwrap();
        writeln!(notes, "stored: {stored}").unwrap();
        Box::pin(async { Ok(()) })
    }

    fn abandon<'a>(&'a self, _: &'a IdempotencyKey) -> StoreFuture<'a, ()> {
        self.0.lock().unwrap().push_str("given up\n");
        Box::pin(async { Ok(()) })
    }
}

#[rpc_service(package = "pinned.v1")]
trait Pay {
    async fn pay(&self, #[rpc(idempotency_key)] key: &str, cents: i64) -> Result<String>;
}

struct Bank;

impl Pay for Bank {
    async fn pay(&self, _: &str, cents: i64) -> Result<String> {
        let context = Context::current();
        context.response().header("x-payment", "7").unwrap();
        context.response().trailer("x-cost", "3").unwrap();
        match cents {
            0 => Err(Error::new(Code::Unavailable, "later").not_executed()),
            ..0 => Err(Error::new(Code::OutOfRange, "no credit")
                .with_violation("cents", "negative")
                .with_metadata("x-left", "3")),
            _ => Ok(format!("paid \"{cents}\"")),
        }
    }
}

#[tokio::test]
async fn keys_and_stored_results() {
    let notes = Notes::default();
    let server = Server::new("bank")
        .instance("a1")
        .environment("dev")
        .idempotency_store(notes.clone())
        .add(PayServer::new(Bank));
    let running = Running::start(server).await;
    let mut raw = Raw::connect(running.address()).await;
    let source = [
        ("X-Rpc-Source", "web@dev/b2"),
        ("X-Rpc-Environment", "dev"),
        ("X-Request-Id", "r-1"),
    ];
    for message in [
        r#"{"key":"k-1","cents":5}"#,
        r#"{ "cents": 5, "key": "k-1" }"#,
        r#"{"key":"k 2","cents":0}"#,
    ] {
        raw.ask(post_with("/pinned.v1.Pay/Pay", &source, message))
            .await;
    }
    let unknown = post_with(
        "/pinned.v1.Pay/Pay",
        &source[2..],
        r#"{"key":"k","cents":5}"#,
    );
    raw.ask(unknown).await;
    let text = notes.0.lock().unwrap().clone();
    expect("idempotency.txt", &text);
}

#[tokio::test]
async fn a_repeat_is_marked() {
    let server = Server::new("bank").instance("a1").add(PayServer::new(Bank));
    let running = Running::start(server).await;
    let mut raw = Raw::connect(running.address()).await;
    let mut shown = String::new();
    for _ in 0..2 {
        let id = [("X-Request-Id", "r-1")];
        let pay = post_with("/pinned.v1.Pay/Pay", &id, r#"{"key":"k","cents":5}"#);
        let response = raw.ask(pay).await;
        for (name, value) in &response.headers {
            let value = if name == "date" { "…" } else { value };
            writeln!(shown, "{name}: {value}").unwrap();
        }
        writeln!(shown, "{}\n", String::from_utf8(response.body).unwrap()).unwrap();
    }
    expect("idempotency_repeat.txt", &shown);
}

/// Errors, by whose they are: a caller that is not trusted gets `json`.
#[test]
fn errors_are_stored_with_their_birth() {
    let own = |code| Error::new(code, "no credit").with_violation("cents", "negative");
    let received = || Remote::<Error>::from_error(own(Code::OutOfRange).with_metadata("x-a", "b"));
    let mut shown = String::new();
    for (birth, error) in [
        ("own", own(Code::OutOfRange).with_metadata("x-left", "3")),
        ("own, private", own(Code::Internal)),
        ("own, public", own(Code::Internal).public()),
        ("dependency", Error::from(received())),
        ("dependency, its value", received().into_inner()),
    ] {
        let stored = Outcome::from(error).to_bytes();
        let mut stored: serde_json::Value = serde_json::from_slice(&stored).unwrap();
        if let Some(at) = stored.pointer_mut("/error/birth/at") {
            *at = "…".into();
        }
        stored.sort_all_objects();
        writeln!(shown, "{birth}: {stored}").unwrap();
    }
    expect("idempotency_births.txt", &shown);
}

/// Results stored by other versions.
#[test]
fn stored_results_are_read() {
    let mut shown = String::new();
    for stored in [
        r#"{"message":"eyJyZXN1bHQiOjF9"}"#,
        r#"{"headers":[["x-a","1"]],"trailers":[["x-b","2"]],"message":"eyJyZXN1bHQiOjF9"}"#,
        r#"{"error":{"json":"eyJjb2RlIjoib3V0X29mX3JhbmdlIiwibWVzc2FnZSI6Im5vIGNyZWRpdCJ9","metadata":[["x-left","3"]]}}"#,
        r#"{"error":{"json":"eyJjb2RlIjoiaW50ZXJuYWwifQ==","birth":{"origin":"later"},"trusted":{"json":"e30="}}}"#,
        r#"{"error":{"json":"eyJjb2RlIjoiaW50ZXJuYWwifQ==","birth":{"origin":"dependency","outside":true,"passed_on":true,"at":["a.rs",7]},"trusted":{"json":"eyJjb2RlIjoiaW50ZXJuYWwiLCJtZXNzYWdlIjoiYSJ9","metadata":[["x-left","3"]]}}}"#,
        r#"{"message":"eyJyZXN1bHQiOjF9","later":1}"#,
        "{}",
        "[]",
        r#"{"message":"!"}"#,
        r#"{"error":{"json":"eyJ9"}}"#,
    ] {
        let read = match Outcome::from_bytes(stored.as_bytes()) {
            Ok(outcome) => {
                let left = outcome
                    .error()
                    .map(Error::metadata)
                    .and_then(|m: &Metadata| m.get("x-left"));
                let again = String::from_utf8(outcome.to_bytes()).unwrap();
                format!("{again} {left:?}")
            }
            Err(error) => error.code().to_string(),
        };
        writeln!(shown, "{stored}\n  {read}").unwrap();
    }
    let key = IdempotencyKey::new("/shop.v1.Till/Charge", "web@prod", "key 1");
    writeln!(shown, "{key}").unwrap();
    for outcome in [Outcome::lost(), Outcome::too_large()] {
        // The text may change, and therefore the base64.
        let stored = String::from_utf8(outcome.to_bytes()).unwrap();
        let code = outcome.error().unwrap().code();
        writeln!(shown, "{code} {}", mask(&stored, "json")).unwrap();
    }
    expect("idempotency_stored.txt", &shown);
}

//! Flags of running servers, over sockets and in process.

mod file;
mod log_rpc;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use rpc_runtime::flag_service::FlagServiceClient;
use rpc_runtime::flags::{Actor, FlagInfo, FlagOrigin};
use rpc_runtime::prelude::*;
use rpc_runtime::{Callers, Client, Policy, Secret, Source, Trust};
use rpc_tests::Running;
use rpc_tests::raw::{Raw, post, post_with, request};
use serde::{Deserialize, Serialize};
use tracing::subscriber::DefaultGuard;

rpc_runtime::flag! {
    /// The largest n.
    static LARGEST: u64 = 100, dynamic, validate = range(1..=1000);
    /// Set at start.
    static AT_START: u32 = 1;
    /// A secret that must never be shown.
    static KEY: String = "canary-default".to_owned(), dynamic, secret;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Sealed {
    user: String,
    password: Secret<String>,
}

#[rpc_service(package = "flags.v1")]
trait Limited {
    async fn largest(&self) -> Result<u64>;
    /// Calls `open` on the next server.
    async fn pass_on(&self) -> Result<()>;
    async fn open(
        &self,
        user: &str,
        #[rpc(secret)] password: &str,
        token: Option<&Secret<String>>,
    ) -> Result<()>;
    #[rpc(message)]
    async fn seal(&self, sealed: Sealed) -> Result<Sealed>;
    async fn hangs(&self) -> Result<()>;
}

#[derive(Default)]
struct Handlers(Option<LimitedClient>);

impl Limited for Handlers {
    async fn largest(&self) -> Result<u64> {
        Ok(LARGEST.get())
    }

    async fn pass_on(&self) -> Result<()> {
        if let Some(next) = &self.0 {
            next.open(
                "ada\nforged",
                "canary-password",
                Some(&Secret::new("canary-token".to_owned())),
            )
            .await?;
        }
        Ok(())
    }

    async fn open(&self, user: &str, _: &str, _: Option<&Secret<String>>) -> Result<()> {
        if user.is_empty() {
            fail!(Code::NotFound, "nobody");
        }
        Ok(())
    }

    async fn seal(&self, sealed: Sealed) -> Result<Sealed> {
        Ok(sealed)
    }

    async fn hangs(&self) -> Result<()> {
        std::future::pending().await
    }
}

fn server(name: &str) -> Server {
    Server::new(name)
        .instance("1")
        .add(LimitedServer::new(Handlers::default()))
}

async fn started(server: Server) -> (Running, FlagServiceClient, LimitedClient) {
    let running = Running::start(server).await;
    let client = Client::new(&running.url())
        .unwrap()
        .source("tool@test/7".parse::<Source>().unwrap());
    (
        running,
        FlagServiceClient::with_client(client.clone()),
        LimitedClient::with_client(client),
    )
}

async fn flag(flags: &FlagServiceClient, name: &str) -> FlagInfo {
    let all = flags.list().await.unwrap();
    all.into_iter().find(|flag| flag.name == name).unwrap()
}

/// The log of this thread, which includes all tasks of a single-threaded test.
#[derive(Clone, Default)]
pub(crate) struct LogBuffer(Arc<Mutex<Vec<u8>>>);

impl LogBuffer {
    pub(crate) fn start() -> (Self, DefaultGuard) {
        let logs = Self::default();
        let writer = logs.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .finish();
        (logs, tracing::subscriber::set_default(subscriber))
    }

    fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8(bytes.clone()).unwrap()
    }

    /// Returns the lines that contain this text.
    pub(crate) fn lines(&self, expected: &str) -> Vec<String> {
        let text = self.text();
        let lines = text.lines().filter(|line| line.contains(expected));
        lines.map(str::to_owned).collect()
    }
}

impl io::Write for LogBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn flags_are_listed_set_and_reset_and_audited() {
    let (logs, _guard) = LogBuffer::start();
    let (_running, flags, limited) = started(server("one")).await;
    let before = flag(&flags, "largest").await;
    assert_eq!(
        (&*before.value, before.origin, before.changed),
        ("100", FlagOrigin::Declaration, false)
    );
    assert_eq!(before.description, "The largest n.");
    assert_eq!(
        before.accepts,
        "a whole number, not negative, from 1 to 1000"
    );

    let set = flags.set("largest", "500").await.unwrap();
    assert_eq!(
        (&*set.value, set.origin, set.changed),
        ("500", FlagOrigin::RunTime, true)
    );
    assert_eq!(limited.largest().await.unwrap(), 500);
    let reset = flags.reset("largest").await.unwrap();
    assert_eq!(reset, before);
    assert_eq!(limited.largest().await.unwrap(), 100);

    let audit = logs.lines("flag changed");
    assert_eq!(audit.len(), 2, "{audit:#?}");
    for (line, expected) in audit.iter().zip([
        r#"server="one@prod/1" flag="largest" old="100" new="500" by="tool@test/7 in request "#,
        r#"server="one@prod/1" flag="largest" old="500" new="100" by="tool@test/7 in request "#,
    ]) {
        assert!(
            line.contains(" rpc.audit: flag changed ") && line.contains(expected),
            "{line}"
        );
    }
}

#[tokio::test]
async fn a_rejected_value_keeps_the_old_one_and_explains() {
    let (logs, _guard) = LogBuffer::start();
    let (_running, flags, limited) = started(server("one")).await;
    flags.set("largest", "500").await.unwrap();
    for (name, value, code, expected) in [
        (
            "largest",
            "1001",
            Code::InvalidArgument,
            "invalid value `1001`: out of range; expected a whole number, not negative, from 1 to 1000",
        ),
        (
            "largest",
            "many",
            Code::InvalidArgument,
            "invalid value `many`: invalid digit",
        ),
        ("largest", "", Code::InvalidArgument, "invalid value ``"),
        (
            "at_start",
            "2",
            Code::FailedPrecondition,
            "it is not dynamic",
        ),
        ("largets", "2", Code::NotFound, "did you mean largest?"),
    ] {
        let error = flags.set(name, value).await.unwrap_err();
        assert_eq!(error.code(), code);
        assert!(error.message().contains(expected), "{error}");
        assert_eq!(limited.largest().await.unwrap(), 500);
    }
    assert_eq!(flag(&flags, "at_start").await.value, "1");
    let refused = logs.lines("flag not changed");
    assert_eq!(refused.len(), 5, "{refused:#?}");
    assert!(refused.iter().all(|line| line.contains(" WARN ")
        && line.contains(" rpc.audit: ")
        && line.contains("tool@test/7")));
}

#[tokio::test]
async fn concurrent_writes_end_in_one_of_the_values() {
    let (_running, flags, limited) = started(server("one")).await;
    let writers: Vec<_> = (0..32)
        .map(|n| {
            let value = if n % 4 == 3 {
                "0".to_owned()
            } else {
                (100 + n).to_string()
            };
            let flags = flags.clone();
            tokio::spawn(async move { flags.set("largest", &value).await })
        })
        .collect();
    for (n, writer) in writers.into_iter().enumerate() {
        assert_eq!(writer.await.unwrap().is_err(), n % 4 == 3);
    }
    let last = limited.largest().await.unwrap();
    assert!((100..132).contains(&last) && last % 4 != 3, "{last}");
    assert_eq!(flag(&flags, "largest").await.value, last.to_string());
}

#[tokio::test]
async fn a_page_in_a_browser_changes_no_flag() {
    let (running, flags, _) = started(server("one")).await;
    let path = "/rpc.v1.Flags/Set";
    let body = r#"{"name":"largest","value":"7"}"#;
    let mut raw = Raw::connect(running.address()).await;
    let response = raw
        .ask(post_with(
            path,
            &[("origin", "http://rebound.example")],
            body,
        ))
        .await;
    assert_eq!(response.error(), (403, "permission_denied".to_owned()));
    let get = format!(
        "{path}?connect=v1&encoding=json&message=%7B%22name%22%3A%22largest%22%2C%22value%22%3A%227%22%7D"
    );
    assert_eq!(raw.ask(request("GET", &get, &[], b"")).await.status, 405);
    assert_eq!(flag(&flags, "largest").await.value, "100");
    assert_eq!(raw.ask(post(path, body)).await.status, 200);
    assert_eq!(flag(&flags, "largest").await.value, "7");
}

#[tokio::test]
async fn an_edge_has_no_flags_and_a_policy_limits_setters() {
    let running = Running::start(server("edge").trust(Trust::Edge)).await;
    let mut raw = Raw::connect(running.address()).await;
    for method in ["List", "Set", "Reset"] {
        let response = raw
            .ask(post(&format!("/rpc.v1.Flags/{method}"), "{}"))
            .await;
        assert_eq!(response.error(), (404, "unimplemented".to_owned()));
    }
    let policy = Policy::new()
        .allow("flags.v1.Limited/Largest", Callers::anyone())
        .allow("rpc.v1.Flags/Set", "operator");
    let (_running, flags, _) = started(server("ruled").policy(policy)).await;
    let error = flags.set("largest", "7").await.unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied);
    assert_eq!(flag(&flags, "largest").await.value, "100");
}

#[tokio::test]
async fn two_servers_of_one_process_have_separate_values() {
    let one = server("one").flag(&LARGEST, 11);
    let handle = one.flags();
    let one = LimitedClient::with_client(one.into_local_client().unwrap());
    let other = LimitedClient::with_client(server("other").into_local_client().unwrap());
    assert_eq!(
        (one.largest().await.unwrap(), other.largest().await.unwrap()),
        (11, 100)
    );
    handle.set(&LARGEST, 12, &Actor::new("a test")).unwrap();
    assert_eq!(
        (one.largest().await.unwrap(), other.largest().await.unwrap()),
        (12, 100)
    );
    assert_eq!(LARGEST.get(), 100, "no server's call runs here");
    assert_eq!(
        handle
            .set(&AT_START, 2, &Actor::new("a test"))
            .unwrap_err()
            .code(),
        Code::FailedPrecondition
    );
}

#[tokio::test]
async fn values_set_in_code_are_validated_and_audited() {
    let error = server("one")
        .flag(&LARGEST, 0)
        .into_local_client()
        .unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(
        error
            .message()
            .contains("flag largest not changed: invalid value: out of range"),
        "{error}"
    );
    let (logs, _guard) = LogBuffer::start();
    let started = server("one")
        .flag(&LARGEST, 5)
        .flag(&KEY, "canary-key".to_owned());
    started.into_local_client().unwrap();
    let audit = logs.lines("flag changed");
    assert_eq!(audit.len(), 2, "{audit:#?}");
    assert!(
        audit[0].contains(r#"flag="key" old="***" new="***" by="program""#),
        "{audit:?}"
    );
    assert!(
        audit[1].contains(r#"flag="largest" old="100" new="5" by="program""#),
        "{audit:?}"
    );
    assert!(!logs.text().contains("canary"));
}

#[tokio::test]
async fn a_secret_flag_is_in_no_response_and_no_log() {
    let (logs, _guard) = LogBuffer::start();
    let (running, flags, _) = started(server("one")).await;
    flags.set("log_rpc", "true").await.unwrap();
    let set = flags.set("key", "canary-key").await.unwrap();
    assert_eq!(
        (&*set.value, &*set.default, set.changed),
        ("***", "***", true)
    );
    let mut raw = Raw::connect(running.address()).await;
    let listed = raw.ask(post("/rpc.v1.Flags/List", "{}")).await;
    assert!(!listed.json().to_string().contains("canary"));
    let lines = logs.lines("RPC ");
    assert!(
        lines
            .iter()
            .any(|line| line.contains(r#" tool->flags:set(name="key", value=***) ok "#)),
        "{lines:#?}"
    );
    assert!(!logs.text().contains("canary"), "{}", logs.text());
}

#[tokio::test]
async fn a_mounted_router_has_values_but_no_flags_service() {
    let app = server("mounted")
        .trust(Trust::Internal)
        .into_router()
        .unwrap();
    let running = Running::start(Server::new("app").http(app)).await;
    let flags = FlagServiceClient::connect(&running.url()).unwrap();
    flags.set("largest", "7").await.unwrap();
    let limited = LimitedClient::connect(&running.url()).unwrap();
    assert_eq!(
        limited.largest().await.unwrap(),
        100,
        "the outer server's flags are its own"
    );
}

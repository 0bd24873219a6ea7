use rpc_runtime::logs::{Logs, LogsServer, Record};
use rpc_runtime::prelude::*;
use rpc_tests::Running;
use rpc_tests::raw::{Raw, Response, post, post_with, request};

use super::{expect, mask, mask_all};

rpc_runtime::flag! {
    /// The largest order.
    static PINNED_LARGEST: u64 = 100, dynamic, validate = range(1..=1000);
    /// Shown to nobody.
    static PINNED_KEY: String = "first".to_owned(), dynamic, secret;
    /// Set at start.
    static PINNED_AT_START: std::time::Duration = std::time::Duration::from_secs(5);
}

#[rpc_service(package = "pinned.v1")]
trait Shop {
    async fn buy(&self) -> Result<()>;
    async fn relay(&self) -> Result<()>;
}

#[derive(Default)]
struct Corner(Option<ShopClient>);

impl Shop for Corner {
    async fn buy(&self) -> Result<()> {
        fail!(Code::Aborted, "sold out")
    }

    async fn relay(&self) -> Result<()> {
        match &self.0 {
            Some(next) => Ok(next.buy().await?),
            None => Ok(()),
        }
    }
}

fn server(corner: Corner) -> Server {
    Server::new("shop")
        .environment("dev")
        .instance("a1")
        .version("1.2.3")
        .add(ShopServer::new(corner))
}

fn text(response: &Response) -> String {
    assert_eq!(response.status, 200, "{response:?}");
    String::from_utf8(response.body.clone()).unwrap()
}

#[tokio::test]
async fn ping_and_status() {
    let next = server(Corner::default()).into_local_client().unwrap();
    let corner = Corner(Some(ShopClient::with_client(next)));
    let running = Running::start(server(corner)).await;
    let mut raw = Raw::connect(running.address()).await;
    let ping = text(&raw.ask(post("/pinned.v1.Shop/Ping", "{}")).await);
    let seconds = ping.split_once("\"uptime\":\"").unwrap().1;
    let seconds = seconds.split_once("s\"").unwrap().0;
    let (whole, fraction) = seconds.split_once('.').unwrap();
    assert!(
        whole.parse::<u64>().is_ok() && fraction.len() == 3,
        "{ping}"
    );
    let relay = raw.ask(post("/pinned.v1.Shop/Relay", "{}")).await;
    assert!(relay.status >= 400, "{relay:?}");
    assert_eq!(raw.ask(post("/no.Such/Path", "{}")).await.status, 404);
    let status = text(&raw.ask(post("/rpc.v1.Status/Get", "{}")).await);
    let masked = mask_all(
        &format!("{ping}\n{status}"),
        &[
            "uptime",
            "p50_us",
            "p90_us",
            "p99_us",
            "runtime_version",
            "version",
        ],
    );
    expect("ping_and_status.txt", &masked);
}

#[tokio::test]
async fn health_probes() {
    let running = Running::start(server(Corner::default())).await;
    let mut raw = Raw::connect(running.address()).await;
    let mut all = String::new();
    for path in ["/healthz", "/readyz", "/livez", "/health", "/"] {
        let response = raw.ask(request("GET", path, &[], b"")).await;
        all += &format!("{path} {}\n", response.status);
    }
    expect("health_probes.txt", &all);
}

#[tokio::test]
async fn flags_of_a_server() {
    let running = Running::start(server(Corner::default())).await;
    let mut raw = Raw::connect(running.address()).await;
    let mut all = String::new();
    for (method, message) in [
        ("Set", r#"{"name":"pinned_largest","value":"7"}"#),
        ("Reset", r#"{"name":"pinned_largest"}"#),
        ("Set", r#"{"name":"pinned_key","value":"second"}"#),
        ("Set", r#"{"name":"pinned_largest","value":"0"}"#),
        ("Set", r#"{"name":"pinned_at_start","value":"1s"}"#),
        ("Set", r#"{"name":"pinned_unknown","value":"1"}"#),
    ] {
        let response = raw
            .ask(post(&format!("/rpc.v1.Flags/{method}"), message))
            .await;
        let body = match response.status {
            200 => mask(&text(&response), "accepts"),
            _ => response.error().1,
        };
        all += &format!("{method} {message}\n{} {body}\n", response.status);
    }
    let list = raw.ask(post("/rpc.v1.Flags/List", "{}")).await;
    let (_, list) = list.value();
    for flag in list.as_array().unwrap() {
        let name = flag["name"].as_str().unwrap();
        let flag = mask(&flag.to_string(), "accepts");
        match name {
            // The text may change, and the position of the declaration.
            "log_rpc" => all += &format!("{}\n", mask_all(&flag, &["description", "module"])),
            _ if name.starts_with("pinned") => all += &format!("{flag}\n"),
            _ => {}
        }
    }
    let get = "/rpc.v1.Flags/List?connect=v1&encoding=json&message=%7B%7D";
    let response = raw.ask(request("GET", get, &[], b"")).await;
    all += &format!("GET List {}\n", response.status);
    let origin = [("Origin", "http://evil.test")];
    let set = r#"{"name":"pinned_largest","value":"7"}"#;
    let response = raw.ask(post_with("/rpc.v1.Flags/Set", &origin, set)).await;
    all += &format!("Set by a page {} {}\n", response.status, response.error().1);
    expect("flags.txt", &all);
}

/// Returns the number of records, and refuses a record with the text `refuse`.
struct Sink;

impl Logs for Sink {
    async fn append(&self, records: &[Record]) -> Result<u32> {
        if records.iter().any(|record| record.text == "refuse") {
            let shown = serde_json::to_string(records).unwrap();
            fail!(Code::InvalidArgument, "{shown}");
        }
        Ok(u32::try_from(records.len()).unwrap())
    }
}

#[tokio::test]
async fn append_of_log_records() {
    let server = Server::new("sink").add(LogsServer::new(Sink));
    let running = Running::start(server).await;
    let mut raw = Raw::connect(running.address()).await;
    let full = r#"{"source":"a@prod/1","epoch":1764000000000000,"sequence":17,"request_id":"r-1","time":"2026-11-22T12:25:34.021Z","level":"warn","target":"shop","text":"refuse"}"#;
    let least = r#"{"source":"a@prod/1","time":"2026-11-22T12:25:34Z","text":"x"}"#;
    let camel = r#"{"source":"a@prod/1","requestId":"r-2","time":"2026-11-22T13:25:34+01:00","level":"error","text":"refuse"}"#;
    let mut all = String::new();
    for message in [
        format!(r#"{{"records":[{least},{least}]}}"#),
        format!(r#"{{"records":[{full}]}}"#),
        format!(r#"{{"records":[{least},{camel}]}}"#),
        r#"{"records":[]}"#.to_owned(),
        format!(
            r#"{{"records":[{}]}}"#,
            least.replace("\"x\"", "\"x\",\"level\":\"severe\"")
        ),
        format!(r#"{{"records":[{}]}}"#, least.replace("2026", "26")),
        format!(r#"{{"records":[{}]}}"#, least.replace("@prod", "")),
    ] {
        let response = raw.ask(post("/rpc.v1.Logs/Append", &message)).await;
        let shown = match response.status {
            200 => text(&response),
            // The handler's text is fixed; the rest is made by the framework and may change.
            _ if response.message().starts_with('[') => response.message(),
            _ => response.error().1,
        };
        all += &format!("{message}\n{} {shown}\n", response.status);
    }
    expect("logs_append.txt", &all);
}

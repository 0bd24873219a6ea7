//! Export from separate processes: `Server::run` exports, and the records of a killed process are
//! kept.

use std::io::{BufRead as _, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};

use rpc_runtime::status::StatusClient;

use super::*;

const SINK: &str = "RPC_TEST_LOGS_SINK";
const SPOOL: &str = "RPC_TEST_LOGS_SPOOL";

/// A server in a separate process: runs only if another test starts this program with these
/// variables.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn child() {
    let (Ok(sink), Ok(spool)) = (std::env::var(SINK), std::env::var(SPOOL)) else {
        return;
    };
    let builder = LogExporter::builder(Client::new(&sink).unwrap()).spool(spool);
    let server = shop("child").listen("127.0.0.1:0").export_logs(builder);
    server.run().await.unwrap();
}

struct Process {
    child: Child,
    /// Held open, so that printing to the pipe does not fail.
    _stdout: Lines<BufReader<ChildStdout>>,
    client: ShopClient,
    status: StatusClient,
}

impl Process {
    fn start(sink: &str, spool: &SpoolFolder) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["logs::processes::child", "--exact", "--nocapture"])
            .env(SINK, sink)
            .env(SPOOL, spool.path())
            .env("RUST_LOG", "off")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = lines
            .by_ref()
            .map_while(std::result::Result::ok)
            .find_map(|line| Some(line.split_once("shop listening on ")?.1.to_owned()))
            .unwrap();
        let client = Client::new(&url).unwrap();
        Self {
            child,
            _stdout: lines,
            status: StatusClient::with_client(client.clone()),
            client: ShopClient::with_client(client),
        }
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status();
        assert!(sent.unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The process has normally exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn run_ships_and_sends_the_last_line_before_it_ends() {
    let sink = Sink::default();
    let there = sink.start().await;
    let spool = SpoolFolder::new();
    let mut process = Process::start(&there.url(), &spool);
    for n in 0..10 {
        buy(&process.client, "r1", &n.to_string()).await;
    }
    let status = process.status.get().await.unwrap();
    assert_eq!(
        status.logs_dropped,
        Some(0),
        "the server reports the exporter's count by default"
    );
    process.signal("-TERM");
    let mut status = None;
    until(async || {
        status = process.child.try_wait().unwrap();
        status.is_some()
    })
    .await;
    assert!(status.unwrap().success());
    assert_eq!(sink.texts(), ten_texts(1));
    let record = &sink.records()[0];
    assert_eq!(record.source.as_str(), "shop@dev/child");
    assert_eq!(record.request_id.unwrap().as_str(), "r1");
}

#[tokio::test]
async fn a_killed_process_leaves_its_records_to_the_next() {
    let (sink, _there, mut proxy) = start_unreachable().await;
    let spool = SpoolFolder::new();
    let process = Process::start(&proxy.url(), &spool);
    for n in 0..10 {
        buy(&process.client, "r1", &n.to_string()).await;
    }
    until(async || spool.lines() == 10).await;
    process.signal("-KILL");
    drop(process);
    proxy.accept().await.unwrap();
    let (exporter, _guard) = start(builder(&proxy.url()).spool(spool.path()));
    tracing::info!("of the next process");
    let records = sink.has(11).await;
    let status = exporter.shutdown(TIMEOUT).await;
    assert_eq!((status.sent, status.dropped.total()), (11, 0));
    let (own, left) = records.split_last().unwrap();
    let texts: Vec<_> = left.iter().map(|record| record.text.clone()).collect();
    assert_eq!(texts, ten_texts(1));
    assert!(
        left.iter()
            .map(|record| record.sequence.unwrap())
            .eq(1..=10)
    );
    assert!(
        left.iter()
            .all(|record| record.source.as_str() == "shop@dev/child")
    );
    assert!(own.epoch > left[0].epoch);
    assert_eq!(spool.lines(), 0);
}

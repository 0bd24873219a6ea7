use std::io::Write as _;
use std::net::SocketAddr;
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;
use rpc_runtime::testing::Process;
use rpc_tests::http2_client::Http2Client;
use rpc_tests::raw::{Raw, post, post_with};
use rpc_tests::wait::{until, within};
use tokio::task::JoinSet;

use super::{MIB, SIZE, TEXT, WHOLE, ask, peer, with_text};

/// Address space of the server, in KiB. Incomplete bodies alone would take more, without limits.
const MEMORY: usize = 400 << 10;
/// Connections of HTTP/2 with requests that do not end. Together they hold 8 MiB each.
const STREAMERS: u8 = 40;
const COUNT: &str = "/memory.v1.Filled/Count";

/// Starts the server with a limit of its memory. `None` where the system does not limit it.
fn start() -> Option<Process> {
    let script = format!("ulimit -v {MEMORY} && exec \"$0\" \"$@\"");
    let limited = Command::new("sh")
        .args(["-c", &format!("ulimit -v {MEMORY}")])
        .status();
    if !limited.is_ok_and(|status| status.success()) {
        #[allow(clippy::print_stderr, reason = "for the reader of the test's output")]
        {
            eprintln!("skipped: the shell cannot limit the memory of a process (`ulimit -v`)");
        }
        return None;
    }
    let mut command = Command::new("sh");
    command
        .args(["-c", &script, env!("CARGO_BIN_EXE_memory_service")])
        .args(["--listen", "127.0.0.1:0", "--listen-edge", "127.0.0.1:0"])
        // The allocator reserves address space for each thread, which the limit counts.
        .env("MALLOC_ARENA_MAX", "2")
        .env("TOKIO_WORKER_THREADS", "2");
    Some(Process::start(&mut command).unwrap())
}

fn addresses(process: &Process) -> [SocketAddr; 2] {
    let urls = [process.url().to_owned(), process.edge_url().unwrap()];
    urls.map(|url| url.strip_prefix("http://").unwrap().parse().unwrap())
}

/// The paths of this server.
fn path(path: &str) -> String {
    path.replace("Storage", "Filled")
}

/// Sends a request and reads nothing of the response.
async fn send_only(from: u8, edge: SocketAddr, request: Vec<u8>) {
    let mut raw = Raw::connect_from(peer(from), edge).await;
    // The server may close it.
    let _ = raw.send(request).await;
    std::future::pending::<()>().await;
}

/// Asks for large responses, and opens no window.
async fn take_nothing(edge: SocketAddr, window: u32) {
    let mut client = Http2Client::connect(edge, window).await;
    for _ in 0..15 {
        let size = format!("{{\"size\":{MIB}}}");
        if client.call(&path(TEXT), &size).await.is_err() {
            return;
        }
    }
    while client.read().await.is_ok() {}
}

/// Begins as many requests as a connection allows, and ends none.
async fn begin_only(from: u8, edge: SocketAddr, path: String) {
    let mut client = Http2Client::connect_from(peer(from), edge, 65_535).await;
    let (head, body) = ("h".repeat(30_000), "b".repeat(4000));
    for _ in 0..256 {
        let begun = client.begin(&path, &[("x-large", &head)], &body).await;
        if begun.is_err() {
            return;
        }
    }
    std::future::pending::<()>().await;
}

fn gzip_bomb(size: usize) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&vec![b' '; size]).unwrap();
    gzip.finish().unwrap()
}

fn empty_lists() -> Vec<u8> {
    let items = vec!["[]"; MIB / 8].join(",");
    post(&path(COUNT), format!("{{\"items\":[{items}]}}"))
}

/// Begins every attack on memory at once.
fn attack(edge: SocketAddr) -> JoinSet<()> {
    let mut attacks = JoinSet::new();
    let text = path(TEXT);
    let whole = with_text(&path(SIZE), 4 * MIB - 100);
    let incomplete = whole[..whole.len() - 10].to_vec();
    for n in 0..100 {
        attacks.spawn(send_only(2 + n % 20, edge, incomplete.clone()));
    }
    let large = post(&text, format!("{{\"size\":{}}}", 3 * MIB));
    for n in 0..10 {
        attacks.spawn(send_only(30 + n % 10, edge, large.clone()));
    }
    for window in [0, 1, 100, 65_535] {
        attacks.spawn(take_nothing(edge, window));
    }
    let gzip = [("content-encoding", "gzip")];
    let bomb = post_with(&path(SIZE), &gzip, gzip_bomb(32 * MIB));
    let nested = post_with(&path(SIZE), &gzip, gzip_bomb(3 * MIB));
    let deep = post(&path(COUNT), format!("{{\"items\":{}", "[".repeat(MIB)));
    let lists = empty_lists();
    let key = |n: usize| format!("{{\"key\":\"{n}\",\"size\":{}}}", MIB / 8);
    for n in 0..5 {
        let from = 50 + n % 5;
        for request in [&bomb, &nested, &deep, &lists] {
            attacks.spawn(send_only(from, edge, request.clone()));
        }
        for part in 0..5 {
            let request = post("/memory.v1.Filled/Once", key(usize::from(n) * 5 + part));
            attacks.spawn(send_only(from, edge, request));
        }
    }
    for n in 0..STREAMERS {
        let path = if n % 2 == 0 {
            path(SIZE)
        } else {
            WHOLE.to_owned()
        };
        attacks.spawn(begin_only(80 + n % 20, edge, path));
    }
    let whole = post(WHOLE, vec![b'x'; 2 * MIB - 100]);
    let incomplete = whole[..whole.len() - 10].to_vec();
    for n in 0..100 {
        attacks.spawn(send_only(110 + n % 20, edge, incomplete.clone()));
    }
    for n in 0..100 {
        let line = format!(
            "x-{}: {}\r\n",
            "a".repeat(500 * usize::from(n % 100)),
            "b".repeat(9)
        );
        let head = format!("POST {text} HTTP/1.1\r\nhost: localhost\r\n{line}");
        attacks.spawn(send_only(60 + n % 20, edge, head.into_bytes()));
    }
    attacks
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_little_memory_lives_and_serves() {
    let Some(mut process) = start() else { return };
    until(async || process.stdout().lines().count() >= 2).await;
    let [internal, edge] = addresses(&process);
    let small = with_text(&path(SIZE), 1000);
    let mut attacks = attack(edge);
    for _ in 0..20 {
        let response = ask(peer(1), internal, &small).await;
        assert_eq!(response.value(), (200, 1000.into()));
        assert!(process.is_running().unwrap(), "{}", process.stderr());
    }
    // What is refused is refused as an overload, and a stranger with a small call is served.
    until(async || ask(peer(100), edge, &small).await.status == 200).await;
    let stderr = process.stderr();
    assert!(stderr.contains("message refused"), "{stderr}");
    attacks.shutdown().await;
    // The memory is free again.
    let large = with_text(&path(SIZE), MIB);
    for from in [1, 2, 30, 50] {
        until(async || ask(peer(from), edge, &large).await.status == 200).await;
    }
    process.terminate().unwrap();
    let ended = within(async { process.wait() }).await.unwrap();
    assert!(ended.status.success(), "{}", ended.stderr);
}

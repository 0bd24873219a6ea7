//! Three services in a chain, each in a separate process with three lines of set-up, under faults.
//! Every fault ends in the expected code, no call hangs, and afterwards everything recovers without
//! intervention.

/// Network faults.
mod network;
/// Process faults: killed, stopped, restarted, asked to shut down.
mod processes;
/// Faults requested by callers, and their cost for the last service.
mod requested_faults;

use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use rpc_runtime::prelude::*;
use rpc_runtime::status::StatusClient;
use rpc_runtime::testing::{Process, Proxy};
use rpc_tests::chain::{BackClient, FrontClient};
use rpc_tests::wait::until;

/// Limit for a prompt result, on a busy machine as well.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Timeout of calls that are to exceed their deadline.
const SHORT: Duration = Duration::from_millis(400);

const ALLOW_FAULTS: &str = "--allow-faults";

/// Returns a listen address. On Linux it is an unused loopback address: no other test must get the
/// port that a killed server frees before its successor binds it.
const LISTEN: &str = if cfg!(target_os = "linux") {
    "127.77.0.1:0"
} else {
    "127.0.0.1:0"
};

/// The chain, with a proxy before the middle and one before the back.
struct Chain {
    front: Process,
    middle: Process,
    back: Process,
    to_middle: Proxy,
    to_back: Proxy,
}

impl Chain {
    async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts the chain with these options for each of the three.
    async fn start_with(options: &[&str]) -> Self {
        let back = service("back", &[], options);
        let to_back = Proxy::start(address(&back)).await.unwrap();
        let middle = service("middle", &[&to_back.url()], options);
        let to_middle = Proxy::start(address(&middle)).await.unwrap();
        let front = service("front", &[&to_middle.url()], options);
        Self {
            front,
            middle,
            back,
            to_middle,
            to_back,
        }
    }

    /// Returns a new client of the front, without state of earlier calls.
    fn client(&self) -> FrontClient {
        FrontClient::connect(self.front.url()).unwrap()
    }

    /// Returns the number of additions at the back, read without the chain.
    async fn added(&self) -> u64 {
        let back = BackClient::connect(self.back.url()).unwrap();
        back.read().await.unwrap().added
    }

    /// Waits until calls succeed again, without intervention.
    async fn works_again(&self) {
        let client = self.client();
        until(async || client.read().timeout(Duration::from_secs(2)).await.is_ok()).await;
        // Several more, so that it is not by chance.
        for _ in 0..20 {
            client.read().await.unwrap();
            client.put().await.unwrap();
            client.add().await.unwrap();
        }
    }
}

/// Starts one service of the chain on a free port.
fn service(role: &str, next: &[&str], options: &[&str]) -> Process {
    service_at(LISTEN, role, next, options)
}

fn service_at(address: &str, role: &str, next: &[&str], options: &[&str]) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chain_service"));
    // Settings in the environment of the test run must not reach the services.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("RPC_") {
            command.env_remove(name);
        }
    }
    command.env("RUST_LOG", "info");
    command.arg(role).args(["--listen", address]).args(options);
    for next in next {
        command.args(["--next", next]);
    }
    Process::start(&mut command).unwrap()
}

fn address(process: &Process) -> SocketAddr {
    let url = process.url();
    url.strip_prefix("http://").unwrap().parse().unwrap()
}

/// Returns the number of requests of a method of a server so far, and how many of them run now.
async fn numbers(process: &Process, method: &str) -> (u64, u64) {
    let status = StatusClient::connect(process.url()).unwrap();
    let status = status.get().await.unwrap();
    let row = status.methods.iter().find(|row| row.name == method);
    row.map_or((0, 0), |row| (row.requests, row.in_flight))
}

/// Waits until this many calls of `chain.v1.Back/Hold` run.
async fn holding(back: &Process, wanted: u64) {
    until(async || numbers(back, "chain.v1.Back/Hold").await.1 == wanted).await;
}

/// Returns the error of a call, which must end within [`TIMEOUT`].
async fn error_of<T: std::fmt::Debug + Send + 'static>(call: Call<T>) -> Remote<Error> {
    let answered = tokio::time::timeout(TIMEOUT, call).await;
    answered.expect("the call hangs").unwrap_err()
}

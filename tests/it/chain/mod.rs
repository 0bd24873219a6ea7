//! Three services in a chain, each in a process of its own with three lines of set-up, on bad days: every fault ends in
//! the code that is due, nothing hangs, and afterwards everything works without a hand.

/// What the network does.
mod network;
/// What becomes of processes: killed, stopped, restarted, told to go.
mod processes;
/// Requests that ask for faults, and what they cost the last service.
mod requested_faults;

use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use rpc_runtime::prelude::*;
use rpc_runtime::status::StatusClient;
use rpc_runtime::testing::{Process, Proxy};
use rpc_tests::chain::{BackClient, FrontClient};
use rpc_tests::wait::until;

/// What is due at once comes within this, on a busy machine too.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The time that a call has which is to meet its deadline.
const SHORT: Duration = Duration::from_millis(400);

const ALLOW_FAULTS: &str = "--allow-faults";

/// Where services listen. On Linux an address of loopback that nobody else uses: a port that a killed server gives up
/// must not be given to a neighbour before the next one asks for it.
const LISTEN: &str = if cfg!(target_os = "linux") {
    "127.77.0.1:0"
} else {
    "127.0.0.1:0"
};

/// The chain, with a proxy in front of its middle and of its back.
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

    /// With these options for each of the three.
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

    /// A new client of the front, which has not seen anything.
    fn client(&self) -> FrontClient {
        FrontClient::connect(self.front.url()).unwrap()
    }

    /// How often something was added at the back, without the way there.
    async fn added(&self) -> u64 {
        let back = BackClient::connect(self.back.url()).unwrap();
        back.read().await.unwrap().added
    }

    /// Waits until a call has come through; nobody does anything for it.
    async fn works_again(&self) {
        let client = self.client();
        until(async || client.read().timeout(Duration::from_secs(2)).await.is_ok()).await;
        // And not by chance.
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
    // Settings of the one who runs the tests must not reach them.
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

/// Requests of a method of a server so far, and how many of them run now.
async fn numbers(process: &Process, method: &str) -> (u64, u64) {
    let status = StatusClient::connect(process.url()).unwrap();
    let status = status.get().await.unwrap();
    let row = status.methods.iter().find(|row| row.name == method);
    row.map_or((0, 0), |row| (row.requests, row.in_flight))
}

/// Waits until so many calls of `chain.v1.Back/Hold` run.
async fn holding(back: &Process, wanted: u64) {
    until(async || numbers(back, "chain.v1.Back/Hold").await.1 == wanted).await;
}

/// Returns the error of a call, which must end within [`TIMEOUT`].
async fn error_of<T: std::fmt::Debug + Send + 'static>(call: Call<T>) -> Remote<Error> {
    let answered = tokio::time::timeout(TIMEOUT, call).await;
    answered.expect("the call hangs").unwrap_err()
}

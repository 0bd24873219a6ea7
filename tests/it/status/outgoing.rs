//! Calls made by the handlers of a server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rpc_runtime::prelude::*;
use rpc_runtime::status::{OutgoingStatus, ServerStatus, StatusClient};
use rpc_runtime::{Client, RetryPolicy};
use rpc_tests::Running;
use rpc_tests::wait::within;
use tokio::sync::Notify;

#[rpc_service(package = "outgoing.v1")]
trait Bottom {
    /// Fails twice, then succeeds.
    #[rpc(idempotent)]
    async fn shaky(&self) -> Result<()>;
    async fn held(&self) -> Result<()>;
}

#[derive(Clone, Default)]
struct Below {
    runs: Arc<AtomicU32>,
    begun: Arc<Notify>,
}

impl Bottom for Below {
    async fn shaky(&self) -> Result<()> {
        let run = self.runs.fetch_add(1, Ordering::SeqCst) + 1;
        if run.is_multiple_of(3) {
            Ok(())
        } else {
            fail!(Code::Unavailable, "not now")
        }
    }

    async fn held(&self) -> Result<()> {
        self.begun.notify_one();
        std::future::pending().await
    }
}

#[rpc_service(package = "outgoing.v1")]
trait Top {
    async fn shaky(&self) -> Result<()>;
    async fn once(&self) -> Result<()>;
    async fn held(&self) -> Result<()>;
    async fn aside(&self) -> Result<()>;
}

struct Above(BottomClient);

impl Top for Above {
    async fn shaky(&self) -> Result<()> {
        Ok(self.0.shaky().await?)
    }

    async fn once(&self) -> Result<()> {
        Ok(self.0.shaky().no_retry().await?)
    }

    async fn held(&self) -> Result<()> {
        Ok(self.0.held().await?)
    }

    async fn aside(&self) -> Result<()> {
        let bottom = self.0.clone();
        let task = rpc_runtime::spawn(async move { bottom.shaky().await });
        let done = task.await;
        Ok(done.map_err(|error| Error::new(Code::Internal, error.to_string()))??)
    }
}

/// Clients of both servers.
struct TopAndBottom {
    top: Client,
    bottom: Client,
    below: Below,
    _running: Vec<Running>,
}

fn servers(below: &Below, bottom: impl FnOnce(Server) -> Client) -> (Client, Server) {
    let bottom = bottom(Server::new("bottom").add(BottomServer::new(below.clone())));
    let quick = RetryPolicy::default().backoff(Duration::from_millis(1), Duration::from_millis(1));
    let above = Above(BottomClient::with_client(bottom.clone().retry(quick)));
    (bottom, Server::new("top").add(TopServer::new(above)))
}

async fn chains() -> [TopAndBottom; 2] {
    let below = Below::default();
    let (bottom, top) = servers(&below, |server| server.into_local_client().unwrap());
    let local = TopAndBottom {
        top: top.into_local_client().unwrap(),
        bottom,
        below,
        _running: Vec::new(),
    };
    let below = Below::default();
    let server = Server::new("bottom").add(BottomServer::new(below.clone()));
    let lower = Running::start(server).await;
    let (bottom, top) = servers(&below, |_| Client::new(&lower.url()).unwrap());
    let upper = Running::start(top).await;
    let network = TopAndBottom {
        top: Client::new(&upper.url()).unwrap(),
        bottom,
        below,
        _running: vec![lower, upper],
    };
    [local, network]
}

async fn status(client: &Client) -> ServerStatus {
    let client = StatusClient::with_client(client.clone());
    client.get().await.unwrap()
}

fn row<'s>(status: &'s ServerStatus, name: &str) -> &'s OutgoingStatus {
    let mut rows = status.outgoing.iter();
    rows.find(|row| row.name == name)
        .unwrap_or_else(|| panic!("no {name} in {status:?}"))
}

/// Returns the counts of calls, in flight, failed, attempts, retries.
fn numbers(row: &OutgoingStatus) -> [u64; 5] {
    [
        row.calls,
        row.in_flight,
        row.failed(),
        row.attempts,
        row.retries,
    ]
}

const SHAKY: &str = "outgoing.v1.Bottom/Shaky";

#[tokio::test]
async fn attempts_and_retries_match_the_callee() {
    for chain in chains().await {
        let top = TopClient::with_client(chain.top.clone());
        for _ in 0..3 {
            top.shaky().await.unwrap();
        }
        top.once().await.unwrap_err();
        let above = status(&chain.top).await;
        let shaky = row(&above, SHAKY);
        assert_eq!(numbers(shaky), [4, 0, 1, 10, 6]);
        assert_eq!(shaky.errors["unavailable"], 1, "of four calls one failed");
        assert!(shaky.p50_us.is_some() && shaky.p50_us <= shaky.p99_us);
        assert_eq!(
            above.outgoing.len(),
            1,
            "a service that was never called has no row"
        );

        let below = status(&chain.bottom).await;
        let seen = below
            .methods
            .iter()
            .find(|method| method.name == SHAKY)
            .unwrap();
        assert_eq!((seen.requests, seen.repeats), (10, 6));
        assert_eq!(seen.errors["unavailable"], 7);
        assert_eq!(below.outgoing, [], "it makes no calls");
    }
}

#[tokio::test]
async fn calls_of_tasks_count_and_calls_outside_do_not() {
    for chain in chains().await {
        let bottom = BottomClient::with_client(chain.bottom.clone());
        bottom.shaky().no_retry().await.unwrap_err();
        bottom.shaky().no_retry().await.unwrap_err();
        bottom.shaky().no_retry().await.unwrap();
        assert_eq!(status(&chain.bottom).await.outgoing, []);
        assert_eq!(status(&chain.top).await.outgoing, []);
        TopClient::with_client(chain.top.clone())
            .aside()
            .await
            .unwrap();
        let above = status(&chain.top).await;
        assert_eq!(numbers(row(&above, SHAKY)), [1, 0, 0, 3, 2]);
    }
}

#[tokio::test]
async fn a_call_is_in_flight_until_it_ends() {
    for chain in chains().await {
        let top = TopClient::with_client(chain.top.clone());
        let call = tokio::spawn(top.held().into_future());
        chain.below.begun.notified().await;
        let held = "outgoing.v1.Bottom/Held";
        let above = status(&chain.top).await;
        assert_eq!(numbers(row(&above, held)), [1, 1, 0, 1, 0]);
        assert_eq!(row(&above, held).p50_us, None, "no call has ended");
        // Its caller disconnects, so the handler is dropped, and its call with it.
        call.abort();
        let ended = async {
            loop {
                let above = status(&chain.top).await;
                if row(&above, held).in_flight == 0 {
                    return above;
                }
                // In process there is no I/O to wait for, and the aborted task must run once more
                // to be dropped.
                tokio::task::yield_now().await;
            }
        };
        let above = within(ended).await;
        assert_eq!(numbers(row(&above, held)), [1, 0, 1, 1, 0]);
        assert_eq!(row(&above, held).errors["canceled"], 1);
    }
}

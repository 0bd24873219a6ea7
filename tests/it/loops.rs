//! Services that call each other in a loop.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use rpc_runtime::context::HOP_COUNT_LIMIT;
use rpc_runtime::prelude::*;
use tokio::net::TcpListener;

#[rpc_service(package = "loops.v1")]
trait Round {
    async fn round(&self) -> Result<()>;
}

struct Next {
    client: &'static OnceLock<RoundClient>,
    runs: &'static AtomicU32,
}

impl Round for Next {
    async fn round(&self) -> Result<()> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        Ok(self.client.get().unwrap().round().await?)
    }
}

#[tokio::test]
async fn a_request_loop_is_detected_and_reported() {
    static CLIENTS: [OnceLock<RoundClient>; 2] = [const { OnceLock::new() }; 2];
    static RUNS: AtomicU32 = AtomicU32::new(0);
    for (name, own, other) in [("a", 0, 1), ("b", 1, 0)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        assert!(
            CLIENTS[own]
                .set(RoundClient::connect(&url).unwrap())
                .is_ok()
        );
        let next = Next {
            client: &CLIENTS[other],
            runs: &RUNS,
        };
        let server = Server::new(name).add(RoundServer::new(next));
        tokio::spawn(server.serve(listener, std::future::pending()));
    }
    let error = CLIENTS[0].get().unwrap().round().await.unwrap_err();
    // The caller gets `internal`; the error chain contains the loop.
    assert_eq!(error.code(), Code::Internal, "{error:#}");
    assert_eq!(RUNS.load(Ordering::SeqCst), HOP_COUNT_LIMIT);
    let way = format!("{error:#}");
    assert!(way.contains("loop detected"), "{way}");
    assert!(way.contains("a@prod") && way.contains("b@prod"), "{way}");
    assert_eq!(
        error.hops().last().unwrap().code,
        Code::FailedPrecondition,
        "{way}"
    );
}

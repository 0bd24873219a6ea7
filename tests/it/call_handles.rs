//! Handles of calls, calls without a timeout, statuses of foreign responses,
//! methods known by name, and the builder of a client.

mod builder;
mod names;

use std::sync::Arc;
use std::time::Duration;

use rpc_runtime::prelude::*;
use rpc_runtime::{Client, RetryPolicy};
use rpc_tests::wait::within;
use tokio::sync::Notify;

use crate::hostile_server::Hostile;

#[rpc_service(package = "handles.v1")]
trait Vault {
    async fn open(&self) -> Result<u32>;
    #[rpc(idempotent, timeout = "5s")]
    async fn look(&self) -> Result<u32>;
}

/// Tells when a call arrives and when its handler is dropped.
#[derive(Clone, Default)]
struct Silent {
    arrived: Arc<Notify>,
    dropped: Arc<Notify>,
}

struct OnDrop(Arc<Notify>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl Vault for Silent {
    async fn open(&self) -> Result<u32> {
        let _dropped = OnDrop(Arc::clone(&self.dropped));
        self.arrived.notify_one();
        std::future::pending().await
    }

    async fn look(&self) -> Result<u32> {
        self.open().await
    }
}

async fn vault() -> (Silent, rpc_tests::Running, VaultClient) {
    let silent = Silent::default();
    let server = Server::new("vault").add(VaultServer::new(silent.clone()));
    let running = rpc_tests::Running::start(server).await;
    let client = VaultClient::connect(&running.url()).unwrap();
    (silent, running, client)
}

#[tokio::test]
async fn a_handle_cancels_a_running_call() {
    let (silent, _running, vault) = vault().await;
    let (call, handle) = vault.open().with_handle();
    let call = tokio::spawn(call);
    silent.arrived.notified().await;
    assert_eq!((handle.attempts(), handle.is_canceled()), (1, false));
    handle.clone().cancel();
    let error = call.await.unwrap().unwrap_err();
    assert_eq!(error.code(), Code::Canceled);
    assert_eq!(
        error.message(),
        "the call was canceled in its first attempt"
    );
    // The server has begun, so the outcome is unknown.
    assert!(!error.is_not_executed());
    assert!(error.request_id().len() > 1);
    // The handler is dropped, as after a disconnect.
    silent.dropped.notified().await;
}

#[tokio::test]
async fn a_call_that_is_canceled_unsent_did_nothing() {
    let (silent, _running, vault) = vault().await;
    let (call, handle) = vault.open().with_handle();
    handle.cancel();
    let error = call.await.unwrap_err();
    assert_eq!(error.message(), "the call was canceled before it was sent");
    assert!(error.is_not_executed());
    assert_eq!(handle.attempts(), 0);
    // A call that has ended keeps its result.
    let local = VaultClient::local(silent);
    let (call, handle) = local.open().timeout(Duration::ZERO).with_handle();
    assert_eq!(call.await.unwrap_err().code(), Code::DeadlineExceeded);
    handle.cancel();
}

#[tokio::test]
async fn a_handle_knows_the_attempts_of_a_call() {
    let unavailable = "HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain\r\n\
        retry-after: 60\r\ncontent-length: 4\r\n\r\nbusy";
    let hostile = Hostile::responding(unavailable).await;
    let policy = RetryPolicy::default().attempts(3);
    let client = Client::new(&hostile.url).unwrap().retry(policy);
    let vault = VaultClient::with_client(client);
    let (call, handle) = vault.look().no_timeout().with_handle();
    let call = tokio::spawn(call);
    let failed = async {
        loop {
            match handle.last_error() {
                Some(error) => break error,
                None => tokio::task::yield_now().await,
            }
        }
    };
    let last = within(failed).await;
    assert_eq!(
        (last.code(), last.http_status()),
        (Code::Unavailable, Some(503))
    );
    // The call waits for its next attempt now.
    handle.cancel();
    let error = call.await.unwrap().unwrap_err();
    assert_eq!((error.code(), handle.attempts()), (Code::Canceled, 1));
    let source = std::error::Error::source(&error).unwrap();
    assert!(source.to_string().contains("busy"), "{source}");
    assert!(!error.is_not_executed());
}

#[tokio::test]
async fn only_foreign_responses_have_a_status() {
    for (status, response) in [
        (502, "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n"),
        (
            404,
            "HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\n\
             content-length: 21\r\n\r\n{\"error\":\"not found\"}",
        ),
        (
            200,
            "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 5\r\n\r\nlogin",
        ),
        (
            302,
            "HTTP/1.1 302 Found\r\nlocation: /login\r\ncontent-length: 0\r\n\r\n",
        ),
    ] {
        let hostile = Hostile::responding(response).await;
        let vault = VaultClient::connect(&hostile.url).unwrap();
        let error = vault.open().no_retry().await.unwrap_err();
        assert_eq!(error.http_status(), Some(status), "{error}");
    }
    // An error of the protocol has a code of its own.
    let own = "HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\n\
        content-length: 20\r\n\r\n{\"code\":\"not_found\"}";
    let hostile = Hostile::responding(own).await;
    let vault = VaultClient::connect(&hostile.url).unwrap();
    let error = vault.open().no_retry().await.unwrap_err();
    assert_eq!((error.code(), error.http_status()), (Code::NotFound, None));
    let absent = VaultClient::connect("http://127.0.0.1:1").unwrap();
    assert_eq!(absent.open().await.unwrap_err().http_status(), None);
}

#[tokio::test]
async fn the_status_of_a_dependency_stays_with_it() {
    struct Front(VaultClient);

    impl Vault for Front {
        async fn open(&self) -> Result<u32> {
            Ok(self.0.open().no_retry().await?)
        }
        async fn look(&self) -> Result<u32> {
            let opened = self.0.open().no_retry().await;
            opened.or_error(Code::Aborted, "the vault is closed")
        }
    }

    let page = "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 4\r\n\r\npage";
    let hostile = Hostile::responding(page).await;
    let front = Front(VaultClient::connect(&hostile.url).unwrap());
    let client = VaultClient::local(front);
    let error = client.open().await.unwrap_err();
    assert_eq!(
        (error.code(), error.http_status()),
        (Code::Unavailable, None)
    );
    let error = client.look().await.unwrap_err();
    assert_eq!(error.to_string(), "aborted: the vault is closed");
}

#[tokio::test(start_paused = true)]
async fn a_call_without_a_timeout_waits() {
    struct Slow;

    impl Vault for Slow {
        async fn open(&self) -> Result<u32> {
            Ok(u32::from(Context::current().caller_timeout().is_none()))
        }
        async fn look(&self) -> Result<u32> {
            Ok(u32::from(Context::current().caller_timeout().is_none()))
        }
    }

    let vault = VaultClient::local(Slow);
    assert_eq!(vault.open().await.unwrap(), 0);
    // Neither the timeout of the client nor that of the method.
    assert_eq!(vault.open().no_timeout().await.unwrap(), 1);
    assert_eq!(vault.look().no_timeout().await.unwrap(), 1);
    assert_eq!(vault.look().await.unwrap(), 0);
    let server = Server::new("vault").add(VaultServer::new(Slow));
    let client = server.into_local_client().unwrap().no_timeout();
    let vault = VaultClient::with_client(client);
    assert_eq!(vault.open().await.unwrap(), 1);
    // The last one counts.
    let limited = vault.open().no_timeout().timeout(Duration::from_secs(1));
    assert_eq!(limited.await.unwrap(), 0);
}

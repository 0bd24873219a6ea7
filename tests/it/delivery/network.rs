use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rpc_runtime::discovery::DynamicAddresses;
use rpc_runtime::middleware::{Layer as _, Next, Request};
use rpc_runtime::testing::{Faults, NetworkFault, Proxy};
use rpc_runtime::{Client, RetryPolicy};
use rpc_tests::Running;
use rpc_tests::http2::{Action, Http2Peer};
use rpc_tests::wait::{until, within};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::shop::{SOON, quick};
use super::vault::{BankClient, Vault};
use crate::retries::Seen;

/// A server that has begun its response has begun the call.
#[tokio::test]
async fn a_stream_that_ends_within_its_response() {
    for end in [
        Action::GoAway {
            last: None,
            code: 0,
        },
        // Contradicts the response.
        Action::GoAway {
            last: Some(0),
            code: 0,
        },
        Action::Reset(7),
        Action::Close,
    ] {
        let action = Action::Begin(Box::new(end.clone()));
        let peer = Http2Peer::start(100, move |_| action.clone()).await;
        let client = Client::new(&peer.url()).unwrap().http2().retry(quick());
        let bank = BankClient::with_client(client);
        let error = within(bank.charge()).await.unwrap_err();
        assert!(!error.is_not_executed(), "{end:?}: {error}");
        assert_eq!(peer.seen().len(), 1, "{end:?}: {error}");
    }
}

/// Of a hedged call one attempt is lost and the other one is not sent, in either order.
#[tokio::test]
async fn a_hedge_that_is_not_sent_hides_no_lost_attempt() {
    for is_lost_first in [false, true] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (hedged, lose) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let (began, refuse) = (Arc::clone(&hedged), Arc::new(Semaphore::new(0)));
        let gate = Arc::clone(&lose);
        let serving = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.read(&mut [0; 4096]).await;
                gate.acquire().await.unwrap().forget();
            }
        });
        let refused = Arc::new(Faults::seeded(1).refuse(1.0));
        let go = Arc::clone(&refuse);
        let seen = Seen::default();
        let client = Client::new(&url)
            .unwrap()
            .hedge(SOON)
            .observer(seen.clone());
        let client = client.retry(RetryPolicy::default().attempts(2));
        let client = client.attempt_layer(move |request: Request, next: Next| {
            let (refused, began, go) = (Arc::clone(&refused), Arc::clone(&began), Arc::clone(&go));
            async move {
                if request.context().attempt() == 1 {
                    return next.run(request).await;
                }
                began.add_permits(1);
                go.acquire().await.unwrap().forget();
                refused.call(request, next).await
            }
        });
        let call = tokio::spawn(BankClient::with_client(client).look());
        within(hedged.acquire()).await.unwrap().forget();
        let mut ends = [lose, refuse];
        if !is_lost_first {
            ends.reverse();
        }
        for (number, end) in ends.iter().enumerate() {
            end.add_permits(1);
            until(async || seen.attempts() > number).await;
        }
        let error = within(call).await.unwrap().unwrap_err();
        assert!(!error.is_not_executed(), "{is_lost_first}: {error}");
        serving.abort();
    }
}

/// The replica with the result leaves the list of addresses between two attempts.
#[tokio::test]
async fn a_replica_leaves_the_list_between_attempts() {
    for is_reached in [true, false] {
        let (one, other) = (Vault::default(), Vault::default());
        let (first, second) = (
            Running::start(one.server()).await,
            Running::start(other.server()).await,
        );
        let proxy = Proxy::start(first.address()).await.unwrap();
        if is_reached {
            proxy.set(NetworkFault::CutResponses { after: 0 });
        }
        let list = DynamicAddresses::new("bank", [proxy.url()]);
        let proxy = Arc::new(tokio::sync::Mutex::new(proxy));
        let (watch, url, net) = (list.clone(), second.url(), Arc::clone(&proxy));
        net.lock()
            .await
            .set(NetworkFault::CutResponses { after: 0 });
        let client = Client::discover(list).retry(quick());
        let client = client.attempt_layer(move |request: Request, next: Next| {
            let (watch, url, net) = (watch.clone(), url.clone(), Arc::clone(&net));
            async move {
                if request.context().attempt() == 2 {
                    watch.set([url]);
                    let mut net = net.lock().await;
                    net.set(NetworkFault::None);
                    if !is_reached {
                        net.refuse().await;
                    }
                }
                next.run(request).await
            }
        });
        let paid = BankClient::with_client(client).pay("k").await;
        assert_eq!(other.charges(), 0, "{is_reached}: {paid:?}");
        assert_eq!(one.charges(), 1, "{is_reached}: {paid:?}");
        match paid {
            Ok(number) => assert!(is_reached && number == 1),
            Err(error) => {
                assert!(!is_reached, "{error}");
                assert!(!error.is_not_executed(), "{error}");
            }
        }
    }
}

/// Responses of a gateway that has forwarded the call.
#[tokio::test]
async fn a_gateway_that_speaks_json_is_not_the_server() {
    let copied = "x-rpc-outcome: not-executed\r\n";
    for (status, kind, body) in [
        (
            "503 Service Unavailable",
            "application/json",
            r#"{"code":503,"message":"no upstream"}"#,
        ),
        (
            "503 Service Unavailable",
            "application/json",
            r#"{"message":"no upstream"}"#,
        ),
        (
            "503 Service Unavailable",
            "application/json",
            r#"{"code":"UNAVAILABLE","message":"x"}"#,
        ),
        (
            "503 Service Unavailable",
            "application/problem+json",
            r#"{"code":"unavailable"}"#,
        ),
        (
            "503 Service Unavailable",
            "application/json",
            r#"{"error":{"code":"unavailable"}}"#,
        ),
        (
            "503 Service Unavailable",
            "application/json",
            r#"[{"code":"unavailable"}]"#,
        ),
        (
            "503 Service Unavailable",
            "application/json",
            r#"{"code":"unavailable""#,
        ),
        (
            "503 Service Unavailable",
            "text/html",
            r#"{"code":"unavailable"}"#,
        ),
        ("200 OK", "text/html", "<h1>log in</h1>"),
        ("200 OK", "application/json", r#"{"code":"unavailable"}"#),
        ("302 Found", "text/html", "<h1>log in</h1>"),
        ("408 Request Timeout", "text/plain", "idle"),
        ("425 Too Early", "text/plain", "early"),
        ("421 Misdirected Request", "text/plain", "elsewhere"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&seen);
        let response = format!(
            "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\n{copied}location: {url}\r\nretry-after: 0\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        let serving = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.read(&mut [0; 4096]).await;
                count.fetch_add(1, Ordering::SeqCst);
                let _ = stream.write_all(response.as_bytes()).await;
            }
        });
        let bank = BankClient::with_client(Client::new(&url).unwrap().retry(quick()));
        let error = bank.charge().await.unwrap_err();
        assert!(!error.is_not_executed(), "{status} {body}: {error}");
        assert_eq!(seen.load(Ordering::SeqCst), 1, "{status} {body}: {error}");
        serving.abort();
    }
}

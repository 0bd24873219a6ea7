use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rpc_runtime::middleware::{Next, Request};
use rpc_runtime::prelude::*;
use rpc_runtime::testing::{NetworkFault, Proxy};
use rpc_runtime::{Client, Limits};
use rpc_tests::Running;

use super::{Fixture, TillClient, once, quick};
use crate::retries::Seen;

#[tokio::test]
async fn work_continues_after_a_disconnect_for_the_repeat() {
    let mut fixture = Fixture::new();
    let (_running, clients) = fixture.both().await;
    for till in clients {
        let before = fixture.runs();
        let first = tokio::spawn(till.pay_slowly("gone".to_owned(), 5));
        fixture.begun.recv().await.unwrap();
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        let again = tokio::spawn(till.pay_slowly("gone".to_owned(), 5));
        fixture.cash.go.add_permits(1);
        assert_eq!(again.await.unwrap().unwrap(), before + 1);
        // The same after a deadline.
        let mut timeout = Duration::from_millis(100);
        let key = loop {
            let key = format!("late {timeout:?}");
            let late = till.pay_slowly(key.clone(), 5).timeout(timeout).await;
            assert_eq!(late.unwrap_err().code(), Code::DeadlineExceeded);
            if fixture.begun.try_recv().is_ok() {
                break key;
            }
            // On a slow machine the deadline may pass before the handler starts.
            timeout *= 4;
        };
        fixture.cash.go.add_permits(1);
        assert_eq!(till.pay_slowly(key, 5).await.unwrap(), before + 2);
        assert_eq!(fixture.runs(), before + 2);
    }
}

#[tokio::test]
async fn a_lost_response_is_sent_again_for_a_repeat() {
    let fixture = Fixture::new();
    let running = Running::start(fixture.server()).await;
    for after in [0, 40] {
        let before = fixture.runs();
        let proxy = Arc::new(Proxy::start(running.address()).await.unwrap());
        proxy.set(NetworkFault::CutResponses { after });
        let seen = Seen::default();
        let heal = Arc::clone(&proxy);
        let client = Client::new(&proxy.url())
            .unwrap()
            .retry(quick())
            .observer(seen.clone());
        // The network works from the second attempt on.
        let client = client.attempt_layer(move |request: Request, next: Next| {
            if request.context().attempt() > 1 {
                heal.set(NetworkFault::None);
            }
            next.run(request)
        });
        let till = TillClient::with_client(client);
        let reply = till
            .pay(&format!("lost {after}"), 5)
            .with_response()
            .await
            .unwrap();
        assert_eq!((reply.value, fixture.runs()), (before + 1, before + 1));
        assert_eq!(reply.headers.get("idempotent-replayed"), Some("true"));
        assert_eq!(seen.attempts(), 2);
    }
}

#[tokio::test]
async fn a_waiting_repeat_uses_no_call_slot() {
    let mut fixture = Fixture::new();
    let mut limits = Limits::default();
    (limits.running_calls, limits.queued_calls) = (2, 0);
    let till = once(fixture.server().limits(limits).into_local_client().unwrap());
    let mut waiting = Vec::new();
    waiting.push(tokio::spawn(till.pay_slowly("k".to_owned(), 5)));
    fixture.begun.recv().await.unwrap();
    for _ in 0..4 {
        waiting.push(tokio::spawn(till.pay_slowly("k".to_owned(), 5)));
        // With one thread, the call waits in the queue once another task has run.
        tokio::task::yield_now().await;
    }
    // One slot is used by the running call, the other one is free.
    assert_eq!(till.pay("k", 5).await.unwrap(), 2);
    fixture.cash.go.add_permits(1);
    for call in waiting {
        assert_eq!(call.await.unwrap().unwrap(), 1);
    }
}

#[tokio::test]
async fn repeats_pass_layers_and_bad_arguments_claim_no_key() {
    let fixture = Fixture::new();
    let passed = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&passed);
    let server = fixture.server().layer(move |request: Request, next: Next| {
        let n = count.fetch_add(1, Ordering::SeqCst);
        async move {
            if n == 2 {
                return Error::new(Code::Unauthenticated, "who is it?").into();
            }
            next.run(request).await
        }
    });
    let running = Running::start(server).await;
    let till = once(Client::new(&running.url()).unwrap());
    let mut raw = rpc_tests::raw::Raw::connect(running.address()).await;
    let wrong = rpc_tests::raw::post("/idempotency.v1.Till/Pay", r#"{"key":"k","cents":"x"}"#);
    assert_eq!(raw.ask(wrong).await.error().1, "invalid_argument");
    assert_eq!(till.pay("k", 5).await.unwrap(), 1);
    // An authorizing layer runs for each repeat as well.
    assert_eq!(
        till.pay("k", 5).await.unwrap_err().code(),
        Code::Unauthenticated
    );
    assert_eq!(till.pay("k", 5).await.unwrap(), 1);
    assert_eq!((passed.load(Ordering::SeqCst), fixture.runs()), (4, 1));
}

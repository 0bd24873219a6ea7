use std::sync::Arc;

use rpc_runtime::Client;
use rpc_runtime::middleware::{Next, Request, Response};
use rpc_runtime::prelude::*;
use rpc_tests::Running;
use rpc_tests::raw::{Raw, post, post_with};
use rpc_tests::wait::within;
use tokio::sync::Semaphore;

use super::shop::{DEAD, quick};
use super::vault::{BankClient, Register, Vault, once};

/// A client layer fails after the call has been executed, with the error of its own dependency.
#[tokio::test]
async fn a_client_layer_that_fails_after_the_call() {
    for is_attempt_layer in [false, true] {
        let vault = Vault::default();
        let bank = Running::start(vault.server()).await;
        let audit = once(DEAD);
        let layer = move |request: Request, next: Next| {
            let audit = audit.clone();
            async move {
                let response = next.run(request).await;
                match audit.charge().await {
                    Ok(_) => response,
                    Err(error) => Error::from(error).into(),
                }
            }
        };
        let client = Client::new(&bank.url()).unwrap().retry(quick());
        let client = if is_attempt_layer {
            client.attempt_layer(layer)
        } else {
            client.layer(layer)
        };
        let bank = BankClient::with_client(client);
        let error = bank.charge().await.unwrap_err();
        assert_eq!(
            (error.is_not_executed(), vault.charges()),
            (false, 1),
            "attempt layer: {is_attempt_layer}, {error}"
        );
        let register = Register::new(move || {
            let bank = bank.clone();
            async move {
                bank.charge().await?;
                Ok(())
            }
        });
        let runs = register.runs_of_a_repeated_call().await;
        assert_eq!(runs, 1, "attempt layer: {is_attempt_layer}");
    }
}

/// The deadline passes in a server layer that has made a call.
#[tokio::test]
async fn a_layer_that_is_late_has_done_something() {
    let (ledger, vault) = (Vault::default(), Vault::default());
    let running = Running::start(ledger.server()).await;
    let quota = once(&running.url());
    let server = vault.server().layer(move |request: Request, next: Next| {
        let quota = quota.clone();
        async move {
            if let Err(error) = quota.charge().await {
                return Response::from(Error::from(error));
            }
            std::future::pending::<()>().await;
            next.run(request).await
        }
    });
    let running = Running::start(server).await;
    let soon = [("connect-timeout-ms", "500")];
    let mut raw = Raw::connect(running.address()).await;
    let ask = post_with("/vault.v1.Bank/Charge", &soon, "{}");
    let response = raw.ask(ask).await;
    assert_eq!(response.error().1, "deadline_exceeded");
    assert_eq!((ledger.charges(), vault.charges()), (1, 0));
    assert_eq!(response.header("x-rpc-outcome"), None);
}

/// A layer says that nothing was done, while a task of its own still holds the call.
#[tokio::test]
async fn a_call_that_a_layer_refused_never_begins() {
    let vault = Vault::default();
    let (go, done) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (gate, ended) = (Arc::clone(&go), Arc::clone(&done));
    let server = vault.server().layer(move |request: Request, next: Next| {
        let (gate, ended) = (Arc::clone(&gate), Arc::clone(&ended));
        async move {
            rpc_runtime::spawn(async move {
                let _permit = gate.acquire().await;
                drop(next.run(request).await);
                ended.add_permits(1);
            });
            Response::from(Error::new(Code::Unavailable, "too slow").not_executed())
        }
    });
    let running = Running::start(server).await;
    let mut raw = Raw::connect(running.address()).await;
    let response = raw.ask(post("/vault.v1.Bank/Charge", "{}")).await;
    assert_eq!(response.header("x-rpc-outcome"), Some("not-executed"));
    go.add_permits(1);
    within(done.acquire()).await.unwrap().forget();
    assert_eq!(vault.charges(), 0);
}

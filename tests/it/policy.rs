//! Access policies of methods, and policies that a server rejects at start.

use rpc_runtime::prelude::*;
use rpc_runtime::{Callers, Client, IdentityKeys, Policy, Trust};
use rpc_tests::Running;
use rpc_tests::raw::{Raw, post, request};

#[rpc_service(package = "policy.v1")]
trait Ledger {
    async fn balance(&self) -> Result<u64>;
    async fn debit(&self) -> Result<u64>;
    async fn set_credit(&self) -> Result<u64>;
    /// Added later and missing in the policy.
    async fn export_all(&self) -> Result<u64>;
}

struct Book;

impl Ledger for Book {
    async fn balance(&self) -> Result<u64> {
        Ok(1)
    }

    async fn debit(&self) -> Result<u64> {
        Ok(2)
    }

    async fn set_credit(&self) -> Result<u64> {
        Ok(3)
    }

    async fn export_all(&self) -> Result<u64> {
        Ok(4)
    }
}

fn policy() -> Policy {
    Policy::new()
        .allow("policy.v1.Ledger/Balance", Callers::anyone())
        .allow(
            "/policy.v1.Ledger/Debit",
            Callers::from("controller").in_environment("prod"),
        )
        .deny("policy.v1.Ledger/SetCredit")
}

fn ledger(policy: Policy) -> Server {
    Server::new("ledger")
        .add(LedgerServer::new(Book))
        .policy(policy)
}

fn by(caller: &str) -> LedgerClient {
    let client = ledger(policy()).into_local_client().unwrap();
    LedgerClient::with_client(client.source(caller.parse().unwrap()))
}

#[tokio::test]
async fn a_method_is_open_to_the_callers_of_its_rule() {
    let controller = by("controller@prod/a1");
    assert_eq!(controller.balance().await.unwrap(), 1);
    assert_eq!(controller.debit().await.unwrap(), 2);
    for caller in ["controller@dev/a1", "gatekeeper@prod/g1"] {
        let other = by(caller);
        assert_eq!(other.balance().await.unwrap(), 1);
        let error = other.debit().await.unwrap_err();
        assert_eq!(error.code(), Code::PermissionDenied);
        assert_eq!(
            error.message(),
            format!("{caller} may not call policy.v1.Ledger/Debit")
        );
    }
    // Outside of any server, the caller has no name.
    let client = ledger(policy()).into_local_client().unwrap();
    let error = LedgerClient::with_client(client).debit().await.unwrap_err();
    assert_eq!(
        error.message(),
        "an unknown caller may not call policy.v1.Ledger/Debit"
    );
}

#[tokio::test]
async fn a_method_without_rule_is_closed_and_ping_open() {
    let controller = by("controller@prod/a1");
    let error = controller.export_all().await.unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied);
    assert!(
        error
            .message()
            .contains("no rule of the server's policy allows"),
        "{error}"
    );
    let error = controller.set_credit().await.unwrap_err();
    assert_eq!(
        error.message(),
        "controller@prod/a1 may not call policy.v1.Ledger/SetCredit"
    );
    assert_eq!(controller.ping().await.unwrap().service, "policy.v1.Ledger");

    let closed = policy().deny("policy.v1.Ledger/Ping");
    let client = LedgerClient::with_client(ledger(closed).into_local_client().unwrap());
    assert_eq!(
        client.ping().await.unwrap_err().code(),
        Code::PermissionDenied
    );
}

#[test]
fn rules_for_no_method_or_twice_are_rejected_at_start() {
    for (policy, text) in [
        (
            policy().deny("policy.v1.Ledger/ExportAl"),
            "did you mean policy.v1.Ledger/ExportAll?",
        ),
        (
            policy().deny("policy.v1.Ledger/export_all"),
            "did you mean policy.v1.Ledger/ExportAll?",
        ),
        (policy().deny("LogSink"), "write the name as on the wire"),
        (
            policy().deny("/policy.v1.Ledger/Balance"),
            "two rules for /policy.v1.Ledger/Balance",
        ),
    ] {
        let error = ledger(policy).into_local_client().unwrap_err();
        assert_eq!(error.code(), Code::FailedPrecondition);
        assert!(error.message().contains(text), "{error}");
        assert!(error.message().contains("the policy of ledger"), "{error}");
    }
}

#[tokio::test]
async fn an_edge_caller_reaches_open_methods_only() {
    let running = Running::start(ledger(policy()).trust(Trust::Edge)).await;
    let mut raw = Raw::connect(running.address()).await;
    let claims = [
        ("Content-Type", "application/json"),
        ("X-Rpc-Source", "controller@prod/a1"),
    ];
    for (method, status) in [
        ("Balance", 200),
        ("Debit", 403),
        ("SetCredit", 403),
        ("ExportAll", 403),
    ] {
        let path = format!("/policy.v1.Ledger/{method}");
        assert_eq!(
            raw.ask(request("POST", &path, &claims, b"{}")).await.status,
            status,
            "{method}"
        );
    }
    let response = raw.ask(post("/policy.v1.Ledger/Debit", "{}")).await;
    assert_eq!(response.error(), (403, "permission_denied".to_owned()));
}

#[tokio::test]
async fn a_signed_source_passes_and_a_forged_one_does_not() {
    let secret = "k 0123456789abcdef0123456789abcdef";
    let keys = || IdentityKeys::parse(secret).unwrap();
    let running = Running::start(ledger(policy()).identity(keys())).await;
    let client = || Client::new(&running.url()).unwrap();
    let source = "controller@prod/a1".parse::<rpc_runtime::Source>().unwrap();
    let signed = client().identity(keys()).source(source.clone());
    assert_eq!(LedgerClient::with_client(signed).debit().await.unwrap(), 2);
    let other = client().identity(keys()).named("batch").unwrap();
    let error = LedgerClient::with_client(other).debit().await.unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied);
    let forged = LedgerClient::with_client(client().source(source));
    assert_eq!(
        forged.debit().await.unwrap_err().code(),
        Code::Unauthenticated
    );
}

//! Calls that fail, disconnect or hang: the request names them (`x-rpc-fault`), and the servers
//! inject the faults, since they are started with `allow_faults`.

use futures_util::future::join_all;

use super::harness::FibPro;

#[tokio::test]
async fn c11_f09_a_faulty_compute_worker_costs_nothing() {
    let fibpro = FibPro::start(4).await;
    let response = fibpro
        .buy_despite("compute_worker.*=drop", "/10", "order-1")
        .await;
    assert_eq!(
        (response.status, response.text.as_str()),
        (503, "Error: fib(10) is currently unavailable; retry later")
    );
    // The key makes a retry the same purchase.
    assert_eq!(response.header("idempotency-key"), "order-1");
    assert_eq!(fibpro.credit().await, 4);
    let returned = [(4, "opening"), (-2, "reserve"), (2, "refund")];
    assert_eq!(
        fibpro.ledger().await,
        returned.map(|(change, why)| (change, why.to_owned()))
    );
    // The credit is refunded, and the caller retries the same purchase.
    let response = fibpro.buy("/10", "order-1").await;
    assert_eq!((response.status, response.text.as_str()), (200, "55"));
    assert_eq!(fibpro.credit().await, 2);
    fibpro.audit().await;
}

#[tokio::test]
async fn a_lost_settle_response_is_requested_again() {
    let fibpro = FibPro::start(4).await;
    // Every response is lost, so a retry does not help: a number with unknown payment is not
    // returned.
    let response = fibpro
        .buy_despite("userstore.settle=lose", "/10", "order-1")
        .await;
    assert_eq!(response.status, 503, "{response:?}");
    assert!(
        response.text.contains("cannot confirm the payment"),
        "{response:?}"
    );
    // It is paid exactly once; the retry returns the stored result.
    assert_eq!(fibpro.credit().await, 2);
    let response = fibpro.buy("/10", "order-1").await;
    assert_eq!((response.status, response.text.as_str()), (200, "55"));
    assert_eq!(fibpro.credit().await, 2);
    fibpro.audit().await;
}

#[tokio::test]
async fn a_slow_user_store_hits_the_deadline_at_no_cost() {
    let fibpro = FibPro::start(4).await;
    let response = fibpro
        .buy_despite("userstore.reserve=delay:1m", "/10", "order-1")
        .await;
    assert_eq!(
        (response.status, response.text.as_str()),
        (
            504,
            "Error: fib(10) did not finish in time, and may be paid; repeat it with the same Idempotency-Key, which \
             pays at most once"
        )
    );
    assert_eq!(response.header("idempotency-key"), "order-1");
    assert_eq!(fibpro.credit().await, 4);
    assert_eq!(fibpro.ledger().await, [(4, "opening".to_owned())]);
    fibpro.audit().await;
}

#[tokio::test]
async fn an_edge_caller_cannot_request_a_fault() {
    let fibpro = FibPro::start(4).await;
    let lines = [crate::system::LOGIN, ("x-rpc-fault", "*=unavailable")];
    assert_eq!(fibpro.get_with("/10", &lines).await.status, 200);
}

#[tokio::test]
async fn f05_ten_credits_and_500_requests_at_once() {
    let fibpro = FibPro::start(10).await;
    let answers = join_all((0..500).map(|_| fibpro.get("/1"))).await;
    let count = |status| {
        let of = answers.iter().filter(|response| response.status == status);
        of.count()
    };
    assert_eq!((count(200), count(403), count(503)), (10, 490, 0));
    assert_eq!(fibpro.credit().await, 0);
    assert_eq!(fibpro.ledger().await.len(), 11);
    fibpro.audit().await;
}

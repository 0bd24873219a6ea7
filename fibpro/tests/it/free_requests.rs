//! Requests that buy nothing: how many a user can make, and what they leave in the log.

use std::time::Duration;

use fibpro::api::userstore::PurchaseState;
use fibpro::service::compute_worker::Worker;
use futures_util::future::join_all;
use rpc_runtime::Limits;
use rpc_tests::raw::{Raw, Response, request};

use crate::purchase::Hanging;
use crate::system::{Bank, LOGIN, Log, System};

/// `other:password`.
const OTHER: (&str, &str) = ("authorization", "Basic b3RoZXI6cGFzc3dvcmQ=");

/// Asks for a path as a user, 16 times at once, until that is refused with 429. Returns the number
/// of other responses, and the refused one.
async fn allowed(
    system: &System,
    path: &str,
    lines: &[(&str, &str)],
    status: u16,
) -> (usize, Response) {
    let mut allowed = 0;
    while allowed < 3000 {
        let asked = join_all((0..16).map(|_| system.get_with(path, lines)));
        let (refused, others): (Vec<_>, Vec<_>) = asked
            .await
            .into_iter()
            .partition(|response| response.status == 429);
        for response in &others {
            assert_eq!(response.status, status, "{response:?}");
        }
        allowed += others.len();
        if let Some(refused) = refused.into_iter().next() {
            let seconds = refused.header("retry-after").unwrap();
            assert!(seconds.parse::<u64>().unwrap() >= 1, "{refused:?}");
            return (allowed, refused);
        }
    }
    panic!("{path} has no limit");
}

#[tokio::test]
async fn refused_requests_of_one_user_are_limited() {
    let bank = Bank::with_credit(0);
    bank.add_user("other", 1);
    let system = System::with(bank, Worker::new(), Limits::default()).await;
    // An invalid number.
    assert!(allowed(&system, "/4.5", &[], 400).await.0 >= 600);
    // Then all requests of this user are refused, with the key of the purchase.
    let (_, refused) = allowed(&system, "/1", &[("idempotency-key", "k")], 403).await;
    assert_eq!(refused.header("idempotency-key"), Some("k"));
    // Another user is not concerned.
    let response = system.ask("GET", "/1", &[OTHER]).await;
    assert_eq!(response.status, 200);
}

#[tokio::test]
async fn denied_purchases_of_one_user_are_limited() {
    let system = System::start(0).await;
    assert!(allowed(&system, "/1", &[], 403).await.0 >= 600);
    let system = System::start(0).await;
    let log = Log::start();
    assert!(allowed(&system, "/1?a", &[], 400).await.0 >= 600);
    let lines = log.lines_with(&["resulted in"]).len();
    assert!((600..3000).contains(&lines), "{lines}");
}

#[tokio::test]
async fn paid_numbers_and_failures_are_not_limited() {
    let mut system = System::start(701).await;
    let mut raw = Raw::connect(system.gatekeeper.address()).await;
    let lines = [LOGIN, ("idempotency-key", "k")];
    for n in 0..1400 {
        // New purchases, and repeats of one.
        let response = raw
            .ask(request("GET", "/1", &lines[..1 + n % 2], b""))
            .await;
        assert_eq!(response.status, 200, "{n}");
    }
    system.stop_worker().await;
    system.bank.add_user("other", 9);
    for _ in 0..10 {
        let response = system.ask("GET", "/1", &[OTHER]).await;
        assert_eq!(response.status, 503);
    }
}

#[tokio::test]
async fn purchases_that_are_left_early_are_limited() {
    let (bank, hanging) = (Bank::with_credit(100), Hanging::new());
    let system = System::with(bank, hanging.clone(), Limits::default()).await;
    let mut callers = Vec::new();
    for _ in 0..100 {
        let mut raw = Raw::connect(system.gatekeeper.address()).await;
        raw.send(request("GET", "/1", &[LOGIN], b"")).await.unwrap();
        callers.push(raw);
    }
    // Others wait for these.
    hanging.wait(64, 0).await;
    drop(callers);
    hanging.wait(64, 64).await;
    let refused = system.get("/1").await;
    assert_eq!(refused.status, 429, "{refused:?}");
    let settled = |state: &crate::system::BankState| {
        let mut purchases = state.purchases.values();
        purchases.all(|purchase| purchase.state == PurchaseState::Refunded)
    };
    system.bank.until(settled).await;
    assert_eq!(system.bank.states().len(), 64);
}

/// Buys a number 16 times at once, none of which ends before the deadline. Returns how many were
/// not refused, up to 160.
async fn late(limits: Limits, lines: &[(&str, &str)]) -> usize {
    let (bank, hanging) = (Bank::with_credit(100_000), Hanging::new());
    let system = System::with(bank, hanging, limits).await;
    let mut late = 0;
    while late < 160 {
        for response in join_all((0..16).map(|_| system.get_with("/1", lines))).await {
            match response.status {
                429 => return late,
                // 500 if it is not known in time that nothing was paid.
                500 | 504 => late += 1,
                _ => panic!("{response:?}"),
            }
        }
    }
    late
}

/// A caller that does not wait for its numbers is like one that leaves.
#[tokio::test]
async fn a_callers_own_deadline_costs_the_allowance() {
    for timeout in ["300", "900"] {
        let late = late(Limits::default(), &[("connect-timeout-ms", timeout)]).await;
        assert!((60..160).contains(&late), "{timeout}: {late}");
    }
}

#[tokio::test]
async fn a_deadline_of_the_shop_costs_nothing() {
    let mut limits = Limits::default();
    limits.default_deadline = Duration::from_secs(1);
    for lines in [&[][..], &[("connect-timeout-ms", "3600000")]] {
        assert_eq!(late(limits.clone(), lines).await, 160);
    }
}

#[tokio::test]
async fn a_guesser_hides_no_other_failed_login() {
    let system = System::start(4).await;
    let log = Log::start();
    let count = |log: &Log| log.lines_with(&["a login failed"]).len();
    // username:wrong, unknown:password
    let wrong = ("authorization", "Basic dXNlcm5hbWU6d3Jvbmc=");
    let unknown = ("authorization", "Basic dW5rbm93bjpwYXNzd29yZA==");
    for _ in 0..20 {
        system.ask("GET", "/1", &[unknown]).await;
    }
    let guessed = count(&log);
    assert!(guessed < 20, "{guessed}");
    // Another user, from the same address.
    assert_eq!(system.ask("GET", "/1", &[wrong]).await.status, 401);
    assert_eq!(count(&log), guessed + 1, "{}", log.text());
    // The same user, from another address.
    let other = "127.0.0.2".parse().unwrap();
    let mut raw = Raw::connect_from(other, system.gatekeeper.address()).await;
    let response = raw.ask(request("GET", "/1", &[unknown], b"")).await;
    assert_eq!(response.status, 401);
    assert_eq!(count(&log), guessed + 2, "{}", log.text());
    let lines = log.lines_with(&["a login failed"]).concat();
    assert!(lines.contains("127.0.0.2"), "{lines}");
}

#[tokio::test]
async fn wrong_passwords_leave_a_record() {
    let system = System::start(4).await;
    let log = Log::start();
    // username:wrong, unknown:password
    let wrong = ("authorization", "Basic dXNlcm5hbWU6d3Jvbmc=");
    let unknown = ("authorization", "Basic dW5rbm93bjpwYXNzd29yZA==");
    for login in [wrong, unknown, wrong] {
        assert_eq!(system.ask("GET", "/1", &[login]).await.status, 401);
    }
    let lines = log.lines_with(&["a login failed"]);
    assert_eq!(lines.len(), 3, "{}", log.text());
    for line in lines {
        assert!(
            line.contains("WARN") && line.contains("127.0.0.1"),
            "{line}"
        );
        assert!(!line.contains("unknown"), "{line}");
    }
    // Malformed and missing ones are no attempts.
    for lines in [&[][..], &[("authorization", "Basic !!!")]] {
        assert_eq!(system.ask("GET", "/1", lines).await.status, 401);
    }
    assert_eq!(log.lines_with(&["a login failed"]).len(), 3);
    // Many are counted, and not logged each.
    for _ in 0..20 {
        system.ask("GET", "/1", &[unknown]).await;
    }
    let lines = log.lines_with(&["a login failed"]).len();
    assert!((10..23).contains(&lines), "{lines}");
}

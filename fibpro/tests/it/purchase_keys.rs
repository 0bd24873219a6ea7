//! The key of a purchase in its responses, repeats with it, and keys that no caller can use.

use fibpro::api::controller::ControllerError;
use fibpro::api::userstore::PurchaseState;
use fibpro::service::compute_worker::Worker;
use rpc_runtime::{Code, Limits};
use rpc_tests::raw::{Raw, Response, request};

use crate::micro::harness::FibPro;
use crate::purchase::{Broken, Hanging, in_process};
use crate::system::{Bank, Fault, LOGIN, System, text};

fn key(key: &str) -> [(&str, &str); 1] {
    [("idempotency-key", key)]
}

fn sent_key(response: &Response) -> &str {
    let key = response.header("idempotency-key");
    key.unwrap_or_else(|| panic!("no key: {response:?}"))
}

#[tokio::test]
async fn every_response_to_a_purchase_has_its_key() {
    let system = System::start(4).await;
    let mut generated = Vec::new();
    for (verb, path, status) in [("GET", "/1", 200), ("POST", "/2", 200), ("GET", "/3", 403)] {
        for name in [None, Some("k")] {
            let lines = [
                ("x-any", "x"),
                ("idempotency-key", name.unwrap_or_default()),
            ];
            let lines = [&[LOGIN], &lines[..1 + usize::from(name.is_some())]].concat();
            let response = system.ask(verb, path, &lines).await;
            assert_eq!(response.status, status, "{verb} {path}");
            match name {
                Some(name) => assert_eq!(sent_key(&response), name),
                None => generated.push(sent_key(&response).to_owned()),
            }
        }
    }
    // The generated key is that of the purchase.
    let bought = system.get_with("/1", &key(&generated[0])).await;
    assert_eq!(bought.header("idempotent-replayed"), Some("true"));
    generated.sort();
    generated.dedup();
    assert_eq!(generated.len(), 3);
    assert!(generated.iter().all(|key| key.len() == 32), "{generated:?}");
    assert_eq!(system.bank.credit(), 0);
    // What is no purchase has no key.
    for (verb, path, status) in [
        ("HEAD", "/1", 204),
        ("GET", "/x", 400),
        ("GET", "/a/b", 404),
    ] {
        let head = system.head_of(verb, path, &[LOGIN]).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        assert!(!head.contains("idempotency-key"), "{head}");
    }
}

#[tokio::test]
async fn failed_purchases_have_their_key() {
    let bank = Bank::with_credit(2);
    let system = System::with(bank, Broken(Code::Internal), Limits::default()).await;
    for (path, status) in [("/1", 500), ("/10", 500)] {
        let response = system.get(path).await;
        assert_eq!(response.status, status);
        assert_eq!(sent_key(&response).len(), 32);
    }
    let lines = [LOGIN, ("content-encoding", "br"), key("k")[0]];
    let mut raw = Raw::connect(system.gatekeeper.address()).await;
    let response = raw.ask(request("POST", "/1", &lines, b"x")).await;
    assert_eq!((response.status, sent_key(&response)), (415, "k"));
    assert_eq!(system.bank.credit(), 2);
}

#[tokio::test]
async fn a_replay_is_marked_and_has_the_present_credit() {
    let system = System::start(9).await;
    let json = ("accept", "application/json");
    let buy = async |path, name| {
        let response = system.get_with(path, &[key(name)[0], json]).await;
        assert_eq!(response.status, 200);
        let is_replayed = response.header("idempotent-replayed").map(str::to_owned);
        (is_replayed, response.json()["credit"].as_u64().unwrap())
    };
    let replayed = Some("true".to_owned());
    assert_eq!(buy("/10", "a").await, (None, 7));
    assert_eq!(buy("/1", "b").await, (None, 6));
    assert_eq!(buy("/10", "a").await, (replayed.clone(), 6));
    assert_eq!(buy("/2", "b").await, (None, 5));
    assert_eq!(buy("/1", "b").await, (replayed, 5));
    // As text too.
    let response = system.get_with("/10", &key("a")).await;
    assert_eq!(response.header("idempotent-replayed"), Some("true"));
    assert_eq!(text(&response), (200, "55".to_owned()));
    let response = system.get_with("/10", &key("c")).await;
    assert_eq!(response.header("idempotent-replayed"), None);
}

#[tokio::test]
async fn an_open_outcome_without_a_key_is_no_503() {
    let system = System::start(4).await;
    system.bank.set_fault(Fault::SettlesSilently);
    let response = system.get("/10").await;
    let (status, words) = text(&response);
    assert_eq!((status, response.header("retry-after")), (500, None));
    // The key was generated for this request, and the response names it: a retry with it pays at
    // most once.
    let generated = sent_key(&response);
    assert!(words.contains("cannot confirm the payment"), "{words}");
    assert!(words.contains(generated), "{words}");
    // A caller with a key can repeat the request as it is.
    let response = system.get_with("/1", &key("k")).await;
    assert_eq!(response.status, 503);
    assert_eq!(response.header("retry-after"), Some("1"));
    assert_eq!(sent_key(&response), "k");
    system.bank.set_fault(Fault::None);
    for (path, number, name) in [("/10", "55", generated), ("/1", "1", "k")] {
        let response = system.get_with(path, &key(name)).await;
        assert_eq!(text(&response), (200, number.to_owned()));
    }
    assert_eq!(
        (system.bank.credit(), system.bank.states()),
        (1, vec![PurchaseState::Settled; 2])
    );
}

#[tokio::test]
async fn only_what_may_be_paid_is_an_open_outcome() {
    let fibpro = FibPro::start(9).await;
    for (plan, status, retry_after) in [
        // Nothing is known of the purchase.
        ("controller.generate=lose", 500, ""),
        ("controller.generate=drop", 500, ""),
        ("userstore.settle=lose", 500, ""),
        ("pricing.settle=drop", 500, ""),
        // Nothing is paid.
        ("pricing.pay=unavailable", 503, "1"),
        ("userstore.reserve=drop", 503, "1"),
        ("compute_worker.*=drop", 503, "1"),
    ] {
        let response = fibpro.ask_despite(plan, "/1", &[]).await;
        let seen = (response.status, response.header("retry-after"));
        assert_eq!(seen, (status, retry_after), "{plan}: {response:?}");
        let is_named = response.text.contains(response.header("idempotency-key"));
        assert_eq!(is_named, retry_after.is_empty(), "{plan}: {response:?}");
    }
    fibpro.audit().await;
}

#[tokio::test]
async fn an_open_outcome_with_a_key_says_what_to_do() {
    let fibpro = FibPro::start(9).await;
    for (n, (plan, status)) in [
        ("controller.generate=lose", 503),
        ("controller.generate=drop", 503),
        ("controller.generate=internal", 500),
        ("userstore.settle=delay:1m", 504),
        ("userstore.settle=lose", 503),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("k{n}");
        let response = fibpro.buy_despite(plan, "/1", &name).await;
        assert_eq!(response.status, status, "{plan}: {response:?}");
        assert_eq!(response.header("idempotency-key"), name, "{plan}");
        let is_told = response
            .text
            .contains("with the same Idempotency-Key, which pays at most once");
        assert!(is_told, "{plan}: {response:?}");
        // A client that repeats by itself does so with the key.
        let retry_after = response.header("retry-after");
        assert_eq!(
            retry_after.is_empty(),
            status != 503,
            "{plan}: {response:?}"
        );
        assert_eq!(fibpro.buy("/1", &name).await.text, "1", "{plan}");
    }
    assert_eq!(fibpro.credit().await, 4);
    fibpro.audit().await;
}

/// A call between the services is repeated when its response is lost; the request is still the
/// first one of its caller.
#[tokio::test]
async fn only_a_repeat_of_the_request_is_a_replay() {
    let fibpro = FibPro::start(900).await;
    for plan in [
        "controller.generate=lose;p=0.5",
        "userstore.settle=lose;p=0.5",
    ] {
        let mut sold = 0;
        for n in 0..60 {
            let name = format!("{plan} {n}").replace([' ', ';', '=', '.'], "-");
            let lines = &key(&name)[..n % 2];
            let response = fibpro.ask_despite(plan, "/1", lines).await;
            let replayed = |header: &str| header == "true";
            assert!(
                !replayed(response.header("idempotent-replayed")),
                "{plan}: {response:?}"
            );
            sold += usize::from(response.status == 200);
            let again = fibpro.buy("/1", response.header("idempotency-key")).await;
            let was_paid = response.status == 200;
            assert!(
                !was_paid || replayed(again.header("idempotent-replayed")),
                "{plan}: {again:?}"
            );
        }
        assert!(sold >= 10, "{plan}: {sold}");
    }
    assert_eq!(fibpro.credit().await, 780);
    fibpro.audit().await;
}

#[tokio::test]
async fn a_purchase_without_a_turn_has_its_key() {
    let (bank, hanging) = (Bank::with_credit(100), Hanging::new());
    let system = System::with(bank, hanging.clone(), Limits::default()).await;
    let send = async |lines: &[(&str, &str)], body: &[u8]| {
        let mut raw = Raw::connect(system.gatekeeper.address()).await;
        let lines = [&[LOGIN], lines].concat();
        raw.send(request("POST", "/1", &lines, body)).await.unwrap();
        raw
    };
    let mut callers = Vec::new();
    for _ in 0..64 {
        callers.push(send(&[], b"").await);
    }
    // No other purchase of this user runs now.
    hanging.wait(64, 0).await;
    let late = ("connect-timeout-ms", "1500");
    for lines in [&[late][..], &[late, key("k")[0]]] {
        let response = send(lines, b"").await.response().await;
        let words = "Error: fib(1) did not begin in time, so nothing was paid; retry later";
        assert_eq!(text(&response), (504, words.to_owned()));
        let expected = lines.get(1).map_or(32, |(_, name)| name.len());
        assert_eq!(sent_key(&response).len(), expected);
    }
    assert_eq!(system.bank.states().len(), 64);
    drop(callers);
}

#[tokio::test]
async fn a_purchase_without_its_body_has_its_key() {
    let system = System::start(4).await;
    let late = ("connect-timeout-ms", "1500");
    let mut raw = Raw::connect(system.gatekeeper.address()).await;
    let half = request("POST", "/1", &[LOGIN, late, key("k")[0]], b"xyz");
    raw.send(&half[..half.len() - 1]).await.unwrap();
    let response = raw.response().await;
    assert_eq!((response.status, sent_key(&response)), (504, "k"));
    assert!(system.bank.states().is_empty());
}

#[tokio::test]
async fn quotes_are_no_part_of_a_key() {
    let system = System::start(4).await;
    let buy = async |sent: &str| system.get_with("/1", &key(sent)).await;
    for (first, second) in [
        ("k", r#""k""#),
        (r#""a b""#, r#""a b""#),
        (r#""q\"q""#, r#"q"q"#),
    ] {
        let before = system.bank.credit();
        for (sent, is_replayed) in [(first, false), (second, true), (first, true)] {
            let response = buy(sent).await;
            assert_eq!(response.status, 200, "{sent}");
            assert_eq!(sent_key(&response), sent);
            let replayed = response.header("idempotent-replayed").is_some();
            assert_eq!(replayed, is_replayed, "{sent}");
        }
        assert_eq!(system.bank.credit(), before - 1, "{first}");
    }
    for malformed in [r#""k"#, r#""k"x"#, r#""""#, r#""k", "k""#, r#""k\n""#] {
        let (status, text) = text(&buy(malformed).await);
        assert_eq!(status, 400, "{malformed}");
        assert!(text.contains("a string in double quotes"), "{text}");
    }
    assert_eq!(system.bank.credit(), 1);
}

#[tokio::test]
async fn a_shop_may_require_keys() {
    let bank = Bank::with_credit(4);
    let limits = Limits::default();
    let system = System::with_gatekeeper(bank, Worker::new(), limits, |gatekeeper| {
        gatekeeper.require_key(true)
    })
    .await;
    for verb in ["GET", "POST"] {
        let response = system.ask(verb, "/10", &[LOGIN]).await;
        let (status, text) = text(&response);
        assert_eq!(status, 428, "{verb}");
        assert!(text.contains("needs an Idempotency-Key"), "{text}");
        let response = system.ask(verb, "/10", &[LOGIN, key(verb)[0]]).await;
        assert_eq!(response.status, 200, "{verb}");
    }
    assert_eq!(system.bank.credit(), 0);
    // What buys nothing needs none, and other errors come first.
    let prefetch = ("sec-purpose", "prefetch");
    assert_eq!(system.get_with("/1", &[prefetch]).await.status, 204);
    let head = system.head_of("HEAD", "/1", &[LOGIN]).await;
    assert!(head.starts_with("HTTP/1.1 204 "), "{head}");
    assert_eq!(system.get("/x").await.status, 400);
    assert_eq!(system.get_with("/1", &key("")).await.status, 400);
    assert_eq!(system.ask("GET", "/1", &[]).await.status, 401);
}

#[tokio::test]
async fn a_derived_key_is_the_key_of_no_caller() {
    let bank = Bank::with_credit(4);
    let broken = in_process(&bank, Broken(Code::Internal));
    broken.generate("username", 7, "k").await.unwrap_err();
    let healed = in_process(&bank, Worker::new());
    // Other numbers of the same price, under keys that look like those of repeats.
    for name in ["k.2", "k-2", "k2"] {
        let sold = healed.generate("username", 8, name).await.unwrap();
        assert_eq!(sold.value, "21");
    }
    assert_eq!(bank.credit(), 1);
    // The repeat is a purchase of its own, and no number for nothing.
    let sold = healed.generate("username", 7, "k").await.unwrap();
    assert_eq!((sold.value.as_str(), sold.credit), ("13", 0));
    let keys: Vec<_> = bank.read(|bank| bank.purchases.keys().cloned().collect());
    let derived = keys.iter().find(|key| key.starts_with("~retry-"));
    let derived = derived.expect("there is a derived key");
    // A caller that knows it cannot use it.
    let error = healed.generate("username", 7, derived).await.unwrap_err();
    assert!(matches!(&*error, ControllerError::InvalidKey { .. }));
}

#[tokio::test]
async fn the_controller_checks_keys() {
    let bank = Bank::with_credit(4);
    let broken = in_process(&bank, Broken(Code::Internal));
    for (key, why) in [
        (String::new(), "key: must have 1 to 255 bytes, not 0"),
        ("k".repeat(256), "key: must have 1 to 255 bytes, not 256"),
        ("é".repeat(128), "key: must have 1 to 255 bytes, not 256"),
        (
            "~retry-2-0".to_owned(),
            "key: must not begin with `~retry-`",
        ),
        (
            "a\nb".to_owned(),
            r"key: must not contain the character \u{a}",
        ),
    ] {
        let error = broken.generate("username", 7, &key).await.unwrap_err();
        assert_eq!(
            (error.code(), error.message()),
            (Code::InvalidArgument, why)
        );
    }
    assert!(bank.states().is_empty());
    // The longest key has derived keys too.
    let longest = "k".repeat(255);
    for _ in 0..7 {
        let failed = broken.generate("username", 7, &longest).await;
        assert_eq!(failed.unwrap_err().code(), Code::Internal);
    }
    let healed = in_process(&bank, Worker::new());
    let sold = healed.generate("username", 7, &longest).await.unwrap();
    assert_eq!((sold.value.as_str(), sold.credit), ("13", 3));
}

//! The header `x-rpc-principal` of callers: at an edge, signed, changed, malformed, and from
//! another environment.

use rpc_runtime::Client;
use serde_json::json;

use super::*;
use crate::call_lines::Lines;

#[tokio::test]
async fn an_edge_ignores_the_user_of_its_callers() {
    let vault = vault().await;
    let desk = Running::start(desk_with_users(&vault)).await;
    let mut raw = Raw::connect(desk.address()).await;
    for forged in ["sub=root", "?"] {
        let forged = ("x-rpc-principal", forged);
        let hours = post_with("/users.v1.Desk/Hours", &[forged], "{}");
        assert_eq!(raw.ask(hours).await.value(), (200, json!("-")));
        let who = post_with("/users.v1.Desk/Who", &[forged], "{}");
        assert_eq!(raw.ask(who).await.status, 401);
        let lines = [forged, ("authorization", "Bearer t-bob")];
        let hours = post_with("/users.v1.Desk/Hours", &lines, "{}");
        assert_eq!(raw.ask(hours).await.value(), (200, json!("bob [] ")));
    }
}

#[tokio::test]
async fn an_internal_listener_checks_the_user() {
    let server = Server::new("vault").add(VaultServer::new(Steel));
    let vault = Running::start(server).await;
    let mut raw = Raw::connect(vault.address()).await;
    let alice = "sub=alice;role=b;role=a;role=b";
    let long = format!("sub={}", "x".repeat(2 << 10));
    let from = |environment| ("x-rpc-source", environment);
    for (principal, source, expected) in [
        (alice, from("desk@prod/1"), Ok("alice [a,b] ")),
        (alice, from("desk@dev/1"), Err((403, "permission_denied"))),
        ("", from("desk@prod/1"), Err((400, "invalid_argument"))),
        ("a", from("desk@prod/1"), Err((400, "invalid_argument"))),
        (&*long, from("desk@prod/1"), Err((400, "invalid_argument"))),
        ("sub=", from("desk@dev/1"), Err((400, "invalid_argument"))),
    ] {
        let lines = [("x-rpc-principal", principal), source];
        let response = raw
            .ask(post_with("/users.v1.Vault/Seen", &lines, "{}"))
            .await;
        match expected {
            Ok(user) => assert_eq!(response.value(), (200, json!(user))),
            Err((status, code)) => {
                assert_eq!(response.error(), (status, code.to_owned()), "{principal}");
                assert!(!response.message().contains("alice"));
            }
        }
    }
    let twice = [("x-rpc-principal", alice), ("x-rpc-principal", alice)];
    let response = raw
        .ask(post_with("/users.v1.Vault/Seen", &twice, "{}"))
        .await;
    assert_eq!(response.error().1, "invalid_argument");
}

#[tokio::test]
async fn several_credentials_are_refused() {
    let vault = vault().await;
    let desk = Running::start(desk_with_users(&vault)).await;
    let mut raw = Raw::connect(desk.address()).await;
    let bob = ("authorization", "Bearer t-bob");
    for other in ["Bearer t-alice", "", "Basic YTpi", "\u{e9}"] {
        for lines in [
            [bob, ("authorization", other)],
            [("authorization", other), bob],
        ] {
            let who = post_with("/users.v1.Desk/Who", &lines, "{}");
            let response = raw.ask(who).await;
            assert_eq!(
                response.error(),
                (401, "unauthenticated".to_owned()),
                "{lines:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_signature_covers_the_user() {
    use rpc_tests::captured::capture_request;

    let vault = vault().await;
    let client = |url: &str| VaultClient::with_client(Client::new(url).unwrap().identity(keys()));
    let alice = Context::default()
        .with_principal(Principal::new("alice"))
        .unwrap();
    let seen = alice.enter(|| client(&vault.url()).seen()).await.unwrap();
    assert_eq!(seen, "alice [] ");
    let request = capture_request(|url| async move {
        let sent = alice.enter(|| client(&url).seen()).await;
        assert_eq!(sent.unwrap_err().code(), Code::Unavailable);
    })
    .await;
    let sent = "sub=alice";
    assert_eq!(request.matches(sent).count(), 1, "{request}");
    let mut raw = Raw::connect(vault.address()).await;
    for forged in [
        request.replace(sent, "sub=root"),
        request.replace(&format!("x-rpc-principal: {sent}\r\n"), ""),
    ] {
        assert_ne!(forged, request);
        assert_eq!(raw.ask(forged).await.error().1, "unauthenticated");
    }
    // The same head again is a replay once it was served.
    assert_eq!(raw.ask(&request).await.status, 200);
    assert_eq!(raw.ask(&request).await.error().1, "unauthenticated");
}

#[tokio::test]
async fn the_user_of_one_call_is_not_that_of_another() {
    use rpc_tests::captured::capture_request;

    let vault = vault().await;
    let sent = async |user: Principal| {
        let user = Context::default().with_principal(user).unwrap();
        capture_request(|url| async move {
            let client = Client::new(&url).unwrap().identity(keys());
            let sent = user.enter(|| VaultClient::with_client(client).seen()).await;
            assert_eq!(sent.unwrap_err().code(), Code::Unavailable);
        })
        .await
    };
    let header = |request: &str, name: &str| {
        let line = request.lines().find(|line| line.starts_with(name));
        line.unwrap_or_else(|| panic!("{name}: {request}"))
            .to_owned()
    };
    let root = Principal::new("root").with_role("operator");
    let (alice, root) = (sent(Principal::new("alice")).await, sent(root).await);
    let mut raw = Raw::connect(vault.address()).await;
    for name in ["x-rpc-principal", "x-rpc-identity"] {
        let spliced = alice.replace(&header(&alice, name), &header(&root, name));
        assert_ne!(spliced, alice);
        let refused = raw.ask(spliced).await;
        assert_eq!(refused.error().1, "unauthenticated", "{name}");
    }
    // At another method, and at another server.
    let host = header(&alice, "host");
    for (part, other) in [
        ("users.v1.Vault/Seen", "users.v1.Vault/Ping"),
        (&*host, "host: bank.test"),
    ] {
        let refused = raw.ask(alice.replace(part, other)).await;
        assert_eq!(refused.error().1, "unauthenticated", "{other}");
    }
    assert_eq!(raw.ask(&alice).await.value(), (200, json!("alice [] ")));
    assert_eq!(
        raw.ask(&root).await.value(),
        (200, json!("root [operator] "))
    );
}

#[tokio::test]
async fn a_forged_user_and_wrong_credentials_are_logged() {
    let vault = vault().await;
    let desk = Running::start(desk_with_users(&vault)).await;
    let mut raw = Raw::connect(desk.address()).await;
    let lines = Lines::start();
    let forged = [("x-rpc-principal", "sub=root")];
    let wrong = [("authorization", "Bearer t-foreign")];
    for _ in 0..3 {
        for lines in [&forged, &wrong] {
            raw.ask(post_with("/users.v1.Desk/Who", lines, "{}")).await;
        }
    }
    let counted = lines.counted.lock().unwrap().clone();
    let texts = [
        "ignored the `x-rpc-principal` of a caller without trust; `count` so far",
        "credentials refused; `count` so far",
    ];
    for text in texts {
        for count in [1, 2] {
            let line = format!("{count} {text}");
            assert!(counted.contains(&line), "{line}: {counted:?}");
        }
    }
    let warned = |counted: &[String]| counted.iter().filter(|line| line.contains("t-f")).count();
    assert_eq!((counted.len(), warned(&counted)), (4, 0), "{counted:?}");
}

//! Users through all services, as processes: who they are comes from the gatekeeper only, and
//! counts in each service behind it.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use fibpro::api::controller::ControllerClient;
use fibpro::api::pricing::PricingClient;
use fibpro::api::userstore::{LedgerEntry, OPERATOR, UserStoreClient};
use rpc_runtime::{Client, Code, Context, IdentityKeys, Principal, RequestId, Secret};
use rpc_tests::raw::{Raw, Response, request};

use crate::process::Folder;
use crate::up::Up;
use crate::userstore::fixture::runtime;

const LIST: &str = r#"[{"username": "ada", "password": "p", "credit": 10},
    {"username": "bob", "password": "p", "credit": 10},
    {"username": "olga", "password": "p", "credit": 0, "roles": ["operator"]}]"#;

/// All services with these users.
pub(crate) fn start(arguments: &[&str]) -> Up {
    let folder = Folder::new();
    let users = folder.file("users.json");
    std::fs::write(&users, LIST).unwrap();
    let users = ["--users", users.to_str().unwrap()];
    Up::start_in(folder, &[&users, arguments].concat())
}

/// Returns a client of a service that signs its calls.
pub(crate) fn client(up: &Up, service: &str) -> Client {
    let keys = IdentityKeys::from_file(up.key()).unwrap();
    let client = Client::new(up.url(service)).unwrap();
    client.named("desk").unwrap().identity(keys)
}

/// Buys a number in the shop, with more headers.
pub(crate) async fn buy(
    up: &Up,
    (user, password): (&str, &str),
    path: &str,
    more: &[(&str, &str)],
) -> Response {
    let address = up.url("gatekeeper").strip_prefix("http://").unwrap();
    let login = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
    let lines = [&[("authorization", &*login)], more].concat();
    let mut raw = Raw::connect(address.parse().unwrap()).await;
    raw.ask(request("GET", path, &lines, b"")).await
}

/// Reason, principal and whether the actor is this server, of the entries of a ledger.
fn who<'l>(ledger: &'l [LedgerEntry], server: &str) -> Vec<(&'l str, Option<&'l str>, bool)> {
    let entries = ledger.iter().rev().map(|entry| {
        let actor = entry.actor.as_deref().unwrap_or_default();
        let is_by = actor.starts_with(&format!("{server}@prod/"));
        (entry.reason.as_str(), entry.principal.as_deref(), is_by)
    });
    entries.collect()
}

#[test]
fn a_purchase_is_that_of_its_login() {
    let up = start(&["--processes"]);
    let forged = URL_SAFE_NO_PAD.encode(r#"{"sub":"olga","roles":["operator"]}"#);
    runtime().block_on(async {
        let store = UserStoreClient::with_client(client(&up, "userstore"));
        for lines in [
            &[][..],
            &[("x-rpc-principal", &*forged)],
            &[("x-rpc-principal", "?"), ("x-rpc-source", "desk@prod/1")],
        ] {
            let response = buy(&up, ("ada", "p"), "/10", lines).await;
            assert_eq!((response.status, &*response.body), (200, &b"55"[..]));
        }
        let ledger = store.ledger("ada", 10).await.unwrap();
        let sold = ("reserve", Some("ada"), true);
        let opening = ("opening", None, false);
        assert_eq!(who(&ledger, "pricing"), [opening, sold, sold, sold]);
        // Without a login, the header is no user either.
        let address = up.url("gatekeeper").strip_prefix("http://").unwrap();
        let mut raw = Raw::connect(address.parse().unwrap()).await;
        let line = ("x-rpc-principal", &*forged);
        let response = raw.ask(request("GET", "/10", &[line], b"")).await;
        assert_eq!(response.status, 401);
    });
    let (ended, _folder) = up.stop();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
}

#[test]
fn no_service_acts_for_another_user() {
    let up = start(&["--processes"]);
    runtime().block_on(async {
        let store = UserStoreClient::with_client(client(&up, "userstore"));
        let pricing = PricingClient::with_client(client(&up, "pricing"));
        let controller = ControllerClient::with_client(client(&up, "controller"));
        store.reserve("bob", 1, "of-bob").await.unwrap();
        let ada = Context::for_request(RequestId::random());
        let ada = ada.with_principal(Principal::new("ada")).unwrap();
        let calls = async {
            let secret = Secret::new("p".to_owned());
            [
                (
                    "generate",
                    controller
                        .generate("bob", 10, "k")
                        .await
                        .err()
                        .map(|e| e.code()),
                ),
                (
                    "pay",
                    pricing.pay("bob", 10, "k").await.err().map(|e| e.code()),
                ),
                (
                    "settle",
                    pricing.settle("of-bob").await.err().map(|e| e.code()),
                ),
                (
                    "refund",
                    pricing.refund("of-bob").await.err().map(|e| e.code()),
                ),
                (
                    "ledger",
                    store.ledger("bob", 10).await.err().map(|e| e.code()),
                ),
                (
                    "deposit",
                    store
                        .deposit("bob", 1, 0, "d")
                        .await
                        .err()
                        .map(|e| e.code()),
                ),
                (
                    "password",
                    store
                        .set_password("bob", secret)
                        .await
                        .err()
                        .map(|e| e.code()),
                ),
            ]
        };
        for (method, code) in ada.scope(calls).await {
            assert_eq!(code, Some(Code::PermissionDenied), "{method}");
        }
        let bob = store.get_user("bob").await.unwrap().unwrap();
        assert_eq!(bob.credit, 9);
        // An operator may, through the same services.
        let olga = Principal::new("olga").with_role(OPERATOR);
        let olga = Context::for_request(RequestId::random()).with_principal(olga);
        let settled = olga
            .unwrap()
            .scope(async { pricing.settle("of-bob").await });
        assert_eq!(settled.await.unwrap().credit, 9);
    });
    let (ended, _folder) = up.stop();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
}

//! JSON of all messages, and of the errors of all services.

use fibpro::api::compute_worker::{ComputeWorker, ComputeWorkerServer};
use fibpro::api::controller::{Controller, ControllerError, ControllerServer, Sold};
use fibpro::api::pricing::{Pricing, PricingError, PricingServer, Receipt};
use fibpro::api::userstore::{
    CreditChange, LedgerEntry, LedgerPage, PurchaseState, Reservation, User, UserStore,
    UserStoreError, UserStoreServer,
};
use rpc_runtime::prelude::*;
use rpc_runtime::{Limits, Secret};
use rpc_tests::Running;
use rpc_tests::raw::{Raw, post, post_with};
use serde_json::Value;

use crate::pinned::assert_pinned;
use crate::process::fibpro;
use crate::system::{Bank, LOGIN, System};

/// Every service. It gives back what was asked for; the name or key chooses an error.
struct Echo;

fn state(name: &str) -> PurchaseState {
    match name {
        "settled" => PurchaseState::Settled,
        "refunded" => PurchaseState::Refunded,
        "expired" => PurchaseState::Expired,
        _ => PurchaseState::Reserved,
    }
}

fn user_error(name: &str) -> Option<UserStoreError> {
    let (username, key) = ("ada".to_owned(), "key".to_owned());
    Some(match name {
        "WrongCredentials" => UserStoreError::WrongCredentials,
        "NoSuchUser" => UserStoreError::NoSuchUser { username },
        "InsufficientCredit" => UserStoreError::InsufficientCredit {
            username,
            credit: 1,
            amount: 2,
        },
        "NoSuchPurchase" => UserStoreError::NoSuchPurchase { key },
        "PurchaseEnded" => UserStoreError::PurchaseEnded {
            key,
            state: PurchaseState::Expired,
        },
        "PurchaseDiffers" => UserStoreError::PurchaseDiffers { key },
        "KeyDiffers" => UserStoreError::KeyDiffers { key },
        "CreditDiffers" => UserStoreError::CreditDiffers {
            username,
            credit: 1,
            expected: 2,
        },
        "CreditLimitExceeded" => UserStoreError::CreditLimitExceeded {
            username,
            credit: 1,
            change: 2,
        },
        "UserExists" => UserStoreError::UserExists { username },
        "OtherUser" => UserStoreError::OtherUser { caller: username },
        "OperatorRequired" => UserStoreError::OperatorRequired,
        "Invalid" => UserStoreError::Invalid {
            argument: "credit".to_owned(),
            why: "why".to_owned(),
        },
        "Other" => UserStoreError::Other(Error::new(Code::DataLoss, "other")),
        _ => return None,
    })
}

fn pricing_error(name: &str) -> Option<PricingError> {
    let username = "ada".to_owned();
    Some(match name {
        "PricingInsufficientCredit" => PricingError::InsufficientCredit {
            n: 10,
            price: 2,
            username,
            credit: 1,
        },
        "PricingOther" => PricingError::Other(Error::new(Code::DataLoss, "other")),
        _ => PricingError::UserStore(user_error(name)?),
    })
}

fn controller_error(name: &str) -> Option<ControllerError> {
    let key = "key".to_owned();
    Some(match name {
        "TooLarge" => ControllerError::TooLarge {
            n: 10,
            why: "why".to_owned(),
        },
        "OutcomeUnknown" => ControllerError::OutcomeUnknown { key },
        "Ended" => ControllerError::Ended { key },
        "InvalidKey" => ControllerError::InvalidKey {
            why: "why".to_owned(),
        },
        "KeyUsedUp" => ControllerError::KeyUsedUp { key, purchases: 3 },
        "ControllerOther" => ControllerError::Other(Error::new(Code::DataLoss, "other")),
        _ => ControllerError::Pricing(pricing_error(name)?),
    })
}

fn user(name: &str, credit: u64) -> Result<User, UserStoreError> {
    match user_error(name) {
        Some(error) => Err(error),
        None => Ok(User {
            username: name.to_owned(),
            credit,
            roles: vec!["developer".to_owned()],
        }),
    }
}

fn credit_change(username: &str, change: i64, credit: u64, key: &str) -> CreditChange {
    CreditChange {
        key: key.to_owned(),
        username: username.to_owned(),
        change,
        credit,
    }
}

fn reservation(username: &str, amount: u64, key: &str) -> Result<Reservation, UserStoreError> {
    match user_error(key) {
        Some(error) => Err(error),
        None => Ok(Reservation {
            key: key.to_owned(),
            username: username.to_owned(),
            amount,
            credit: 3,
            state: state(key),
        }),
    }
}

impl UserStore for Echo {
    async fn verify(
        &self,
        username: &str,
        password: Secret<String>,
    ) -> Result<User, UserStoreError> {
        assert_eq!(password.expose(), "password");
        user(username, 4)
    }

    async fn get_user(&self, username: &str) -> Result<Option<User>, UserStoreError> {
        Ok((username != "none").then_some(user(username, 4)?))
    }

    async fn set_credit(&self, username: &str, credit: u64) -> Result<User, UserStoreError> {
        user(username, credit)
    }

    async fn deposit(
        &self,
        username: &str,
        change: i64,
        floor: u64,
        key: &str,
    ) -> Result<CreditChange, UserStoreError> {
        Ok(credit_change(username, change, floor, key))
    }

    async fn compare_and_set_credit(
        &self,
        username: &str,
        _expected: u64,
        credit: u64,
        key: &str,
    ) -> Result<CreditChange, UserStoreError> {
        Ok(credit_change(username, 1, credit, key))
    }

    async fn reserve(
        &self,
        username: &str,
        amount: u64,
        key: &str,
    ) -> Result<Reservation, UserStoreError> {
        reservation(username, amount, key)
    }

    async fn settle(&self, key: &str) -> Result<Reservation, UserStoreError> {
        reservation("ada", 2, key)
    }

    async fn refund(&self, key: &str) -> Result<Reservation, UserStoreError> {
        reservation("ada", 2, key)
    }

    async fn ledger(
        &self,
        _username: &str,
        limit: u32,
    ) -> Result<Vec<LedgerEntry>, UserStoreError> {
        let entry = |key| LedgerEntry {
            time: "2026-11-22T12:25:34.021934Z".parse().unwrap(),
            change: -2,
            credit: limit.into(),
            reason: "reserve".to_owned(),
            key,
            actor: None,
            principal: None,
        };
        let mut deposit = entry(Some("key".to_owned()));
        deposit.actor = Some("fibpro@prod/a1".to_owned());
        let mut of_operator = deposit.clone();
        of_operator.principal = Some("olga".to_owned());
        Ok(vec![
            entry(Some("key".to_owned())),
            entry(None),
            deposit,
            of_operator,
        ])
    }

    async fn ledger_page(
        &self,
        username: &str,
        before: Option<u64>,
        limit: u32,
    ) -> Result<LedgerPage, UserStoreError> {
        Ok(LedgerPage {
            entries: self.ledger(username, limit).await?,
            next: before,
        })
    }

    async fn add_user(
        &self,
        username: &str,
        _password: Secret<String>,
        credit: u64,
        roles: Vec<String>,
    ) -> Result<User, UserStoreError> {
        Ok(User {
            username: username.to_owned(),
            credit,
            roles,
        })
    }

    async fn set_password(
        &self,
        username: &str,
        password: Secret<String>,
    ) -> Result<User, UserStoreError> {
        self.add_user(username, password, 0, Vec::new()).await
    }

    async fn change_roles(
        &self,
        username: &str,
        add: Vec<String>,
        remove: Vec<String>,
    ) -> Result<User, UserStoreError> {
        let roles = [add, remove].concat();
        self.add_user(username, Secret::default(), 0, roles).await
    }
}

fn receipt(n: u64, key: &str) -> Result<Receipt, PricingError> {
    match pricing_error(key) {
        Some(error) => Err(error),
        None => Ok(Receipt {
            price: n,
            credit: 3,
            state: state(key),
        }),
    }
}

impl Pricing for Echo {
    async fn price(&self, n: u64) -> Result<u64> {
        Ok(n)
    }

    async fn pay(&self, _username: &str, n: u64, key: &str) -> Result<Receipt, PricingError> {
        receipt(n, key)
    }

    async fn settle(&self, key: &str) -> Result<Receipt, PricingError> {
        receipt(2, key)
    }

    async fn refund(&self, key: &str) -> Result<Receipt, PricingError> {
        receipt(2, key)
    }
}

impl Controller for Echo {
    async fn generate(&self, username: &str, n: u64, key: &str) -> Result<Sold, ControllerError> {
        match controller_error(key) {
            Some(error) => Err(error),
            None => Ok(Sold {
                value: username.to_owned(),
                price: n,
                credit: 3,
                replayed: key == "replayed",
            }),
        }
    }
}

impl ComputeWorker for Echo {
    async fn compute_fib(&self, n: u64) -> Result<String> {
        Ok(n.to_string())
    }
}

async fn echo() -> (Running, Raw) {
    let server = Server::new("echo")
        .add(UserStoreServer::new(Echo))
        .add(PricingServer::new(Echo))
        .add(ControllerServer::new(Echo))
        .add(ComputeWorkerServer::new(Echo));
    let server = Running::start(server).await;
    let raw = Raw::connect(server.address()).await;
    (server, raw)
}

#[tokio::test]
async fn messages_are_as_pinned() {
    let (_server, mut raw) = echo().await;
    let mut out = String::new();
    for (method, body) in [
        (
            "UserStore/Verify",
            r#"{"username":"ada","password":"password"}"#,
        ),
        ("UserStore/GetUser", r#"{"username":"ada"}"#),
        ("UserStore/GetUser", r#"{"username":"none"}"#),
        (
            "UserStore/SetCredit",
            r#"{"username":"ada","credit":1000000000000000}"#,
        ),
        (
            "UserStore/Reserve",
            r#"{"username":"ada","amount":2,"key":"reserved"}"#,
        ),
        ("UserStore/Settle", r#"{"key":"settled"}"#),
        ("UserStore/Refund", r#"{"key":"refunded"}"#),
        ("UserStore/Refund", r#"{"key":"expired"}"#),
        ("UserStore/Ledger", r#"{"username":"ada","limit":10}"#),
        ("UserStore/LedgerPage", r#"{"username":"ada","limit":10}"#),
        (
            "UserStore/LedgerPage",
            r#"{"username":"ada","before":7,"limit":10}"#,
        ),
        (
            "UserStore/Deposit",
            r#"{"username":"ada","change":-2,"floor":1,"key":"key"}"#,
        ),
        (
            "UserStore/CompareAndSetCredit",
            r#"{"username":"ada","expected":3,"credit":4,"key":"key"}"#,
        ),
        (
            "UserStore/AddUser",
            r#"{"username":"ada","password":"password","credit":4,"roles":["developer"]}"#,
        ),
        (
            "UserStore/AddUser",
            r#"{"username":"ada","password":"password"}"#,
        ),
        (
            "UserStore/SetPassword",
            r#"{"username":"ada","password":"password"}"#,
        ),
        (
            "UserStore/ChangeRoles",
            r#"{"username":"ada","add":["operator"],"remove":["developer"]}"#,
        ),
        ("UserStore/ChangeRoles", r#"{"username":"ada"}"#),
        ("Pricing/Price", r#"{"n":10}"#),
        (
            "Pricing/Pay",
            r#"{"username":"ada","n":10,"key":"reserved"}"#,
        ),
        ("Pricing/Settle", r#"{"key":"settled"}"#),
        ("Pricing/Refund", r#"{"key":"refunded"}"#),
        ("Pricing/Refund", r#"{"key":"expired"}"#),
        (
            "Controller/Generate",
            r#"{"username":"ada","n":10,"key":"key"}"#,
        ),
        (
            "Controller/Generate",
            r#"{"username":"ada","n":10,"key":"replayed"}"#,
        ),
        ("ComputeWorker/ComputeFib", r#"{"n":10}"#),
    ] {
        let response = raw.ask(post(&format!("/fibpro.v1.{method}"), body)).await;
        let text = String::from_utf8(response.body).unwrap();
        out.push_str(&format!("{method} {body}\n  {} {text}\n", response.status));
    }
    assert_pinned!("messages.txt", out);
}

#[tokio::test]
async fn errors_are_as_pinned() {
    let (_server, mut raw) = echo().await;
    let mut out = String::new();
    let user_store = [
        "WrongCredentials",
        "NoSuchUser",
        "InsufficientCredit",
        "NoSuchPurchase",
        "PurchaseEnded",
        "PurchaseDiffers",
        "KeyDiffers",
        "CreditDiffers",
        "CreditLimitExceeded",
        "UserExists",
        "OtherUser",
        "OperatorRequired",
        "Invalid",
        "Other",
    ];
    let pricing = ["PricingInsufficientCredit", "NoSuchUser", "PricingOther"];
    let controller = [
        "PricingInsufficientCredit",
        "NoSuchUser",
        "TooLarge",
        "OutcomeUnknown",
        "Ended",
        "InvalidKey",
        "KeyUsedUp",
        "ControllerOther",
    ];
    let cases = user_store
        .map(|name| ("UserStore/Settle", name))
        .into_iter();
    let cases = cases.chain(pricing.map(|name| ("Pricing/Settle", name)));
    for (method, name) in cases.chain(controller.map(|name| ("Controller/Generate", name))) {
        let body = format!(r#"{{"username":"ada","n":10,"key":"{name}"}}"#);
        let body = if method.ends_with("Settle") {
            format!(r#"{{"key":"{name}"}}"#)
        } else {
            body
        };
        let path = format!("/fibpro.v1.{method}");
        let asks = [("x-rpc-accept", "error-chain")];
        let response = raw.ask(post_with(&path, &asks, body)).await;
        let mut json = response.json();
        settle_texts(&mut json);
        let json = serde_json::to_string_pretty(&json).unwrap();
        out.push_str(&format!("{method} {name}\n{} {json}\n", response.status));
    }
    assert_pinned!("errors.txt", out);
}

/// Takes out what may change: texts, ids, addresses, lines of the source, and the Base64 that holds
/// them.
fn settle_texts(json: &mut Value) {
    match json {
        Value::Object(object) => {
            for (key, value) in object {
                match (key.as_str(), &value) {
                    (
                        "message" | "description" | "value" | "requestId" | "source" | "file",
                        Value::String(_),
                    ) => {
                        *value = "text".into();
                    }
                    ("line", Value::Number(_)) => *value = 1.into(),
                    _ => settle_texts(value),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(settle_texts),
        _ => {}
    }
}

#[tokio::test]
async fn answers_at_the_edge_are_as_pinned() {
    let worker = fibpro::service::compute_worker::Worker::new().largest_n(100);
    let system = System::with(Bank::with_credit(2), worker, Limits::default()).await;
    let mut out = String::new();
    for accept in ["text/plain", "application/json"] {
        for (verb, path, lines) in [
            ("GET", "/10", &[][..]),
            ("GET", "/10", &[LOGIN]),
            ("HEAD", "/10", &[LOGIN]),
            ("POST", "/1?a=b", &[LOGIN]),
            ("GET", "/4.5", &[LOGIN]),
            ("GET", "/101", &[LOGIN]),
            ("GET", "/nothing/here", &[LOGIN]),
            ("GET", "/10", &[LOGIN, ("idempotency-key", "")]),
        ] {
            let lines = [lines, &[("accept", accept)]].concat();
            let head = system.head_of(verb, path, &lines).await;
            let (head, body) = head.split_once("\r\n\r\n").unwrap();
            let mut headers: Vec<_> = head.lines().skip(1).map(known).collect();
            headers.sort();
            let status = head.lines().next().unwrap();
            let body = match serde_json::from_str::<Value>(body) {
                Ok(Value::Object(object)) => {
                    let fields = object.iter().map(|(key, value)| match key.as_str() {
                        "message" | "request_id" => format!("{key}: text"),
                        _ => format!("{key}: {value}"),
                    });
                    fields.collect::<Vec<_>>().join(", ")
                }
                _ if body.starts_with("Error: ") => "Error: text".to_owned(),
                _ => body.to_owned(),
            };
            let headers = headers.join("\n  ");
            out.push_str(&format!(
                "{verb} {path} {lines:?}\n  {status}\n  {headers}\n  {body}\n"
            ));
        }
    }
    assert_pinned!("edge.txt", out);
}

/// A header, without the value of one that differs from run to run.
fn known(line: &str) -> String {
    match line.split_once(": ") {
        Some((name @ ("x-request-id" | "date" | "content-length" | "idempotency-key"), _)) => {
            name.to_owned()
        }
        _ => line.to_owned(),
    }
}

/// Names, paths, arguments and guarantees of all methods, as `fibpro services --json` has them.
/// Documentation and names of types may change.
#[test]
fn services_are_as_pinned() {
    let listed = fibpro(&["services", "--json"]).stdout;
    let lines = listed.lines().map(|line| match line.split_once(": \"") {
        Some((key, _)) if ["docs", "type", "returns"].contains(&key.trim().trim_matches('"')) => {
            format!("{key}: text\n")
        }
        _ => format!("{line}\n"),
    });
    assert_pinned!("services.txt", lines.collect::<String>());
}

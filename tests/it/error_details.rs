//! The details of errors: those of a service, of the framework and of a dependency, and who gets
//! which.

use rpc_runtime::error::Detail;
use rpc_runtime::prelude::*;
use rpc_runtime::{Client, Trust};
use rpc_tests::Running;
use rpc_tests::raw::{Raw, Response, post, post_with};
use serde_json::{Value, json};

#[derive(Debug, RpcError)]
enum ShopError {
    #[rpc(code = "failed_precondition")]
    Closed,
    #[rpc(code = "not_found")]
    NoItem { name: String },
    #[rpc(code = "resource_exhausted", public)]
    SoldOut { left: u64, until: Option<String> },
    #[rpc(code = "not_found")]
    Maybe { name: Option<String> },
    #[rpc(other)]
    Other(Error),
}

#[rpc_service(package = "details.v1")]
trait Shop {
    async fn typed(&self, which: &str) -> Result<(), ShopError>;
    async fn attached(&self, code: &str, public: bool) -> Result<()>;
    async fn numbers(&self, n: u8) -> Result<()>;
    /// Passes on the error of the next shop: by `?`, or as a value.
    async fn relay(&self, by_value: bool) -> Result<()>;
}

struct Tea(Option<ShopClient>);

impl Shop for Tea {
    async fn typed(&self, which: &str) -> Result<(), ShopError> {
        Err(match which {
            "closed" => ShopError::Closed,
            "sold out" => ShopError::SoldOut {
                left: u64::MAX,
                until: None,
            },
            "maybe" => ShopError::Maybe {
                name: Some("green".to_owned()),
            },
            name => ShopError::NoItem {
                name: name.to_owned(),
            },
        })
    }

    async fn attached(&self, code: &str, public: bool) -> Result<()> {
        let error = Error::new(code.parse().unwrap(), "the text")
            .with_detail(Detail::new("shop.v1.Hint", vec![0_u8, 255]))
            .with_detail(Detail::new("google.rpc.Help", Vec::new()))
            .with_detail(Detail::new("shop.v1.Hint", vec![0_u8, 255]))
            .with_detail(Detail::new("google.rpc.RequestInfo", b"\x0a\x01a".to_vec()));
        Err(if public { error.public() } else { error })
    }

    async fn numbers(&self, _n: u8) -> Result<()> {
        Ok(())
    }

    async fn relay(&self, by_value: bool) -> Result<()> {
        let Some(next) = &self.0 else {
            return Err(Error::new(Code::Unavailable, "closed today")
                .with_reason("CLOSED_TODAY")
                .with_violation("day", "a holiday")
                .with_detail(Detail::new("shop.v1.Inner", vec![7_u8])));
        };
        match next.relay(false).await {
            Err(error) if by_value => Err(error
                .into_inner()
                .with_detail(Detail::new("shop.v1.Outer", vec![8_u8]))),
            Err(error) => Err(error.into()),
            Ok(()) => Ok(()),
        }
    }
}

fn server(next: Option<ShopClient>) -> Server {
    Server::new("shop").add(ShopServer::new(Tea(next)))
}

/// Type and value of each detail.
fn details(response: &Response) -> Vec<(String, String)> {
    let json = response.json();
    let text = |detail: &Value, key: &str| detail[key].as_str().unwrap().to_owned();
    json["details"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|detail| (text(detail, "type"), text(detail, "value")))
        .collect()
}

fn types(response: &Response) -> Vec<String> {
    details(response)
        .into_iter()
        .map(|detail| detail.0)
        .collect()
}

const ASKS: [(&str, &str); 1] = [("X-Rpc-Accept", "trailers, Error-Chain")];

#[tokio::test]
async fn attached_details_arrive_as_they_are() {
    let expected = [
        ("shop.v1.Hint", "AP8"),
        ("google.rpc.Help", ""),
        ("shop.v1.Hint", "AP8"),
        ("google.rpc.RequestInfo", "CgFh"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    for trust in [Trust::Edge, Trust::Internal] {
        let running = Running::start(server(None).trust(trust)).await;
        let mut raw = Raw::connect(running.address()).await;
        for code in Code::all() {
            for public in [false, true] {
                let private =
                    !public && matches!(code, Code::Internal | Code::Unknown | Code::DataLoss);
                let body = json!({ "code": code.as_str(), "public": public }).to_string();
                let response = raw.ask(post("/details.v1.Shop/Attached", body)).await;
                assert_eq!(response.error().1, code.as_str());
                let sent = if private { &[][..] } else { &expected };
                assert_eq!(details(&response), sent, "{trust:?} {code} {public}");
                let keys: Vec<_> = response
                    .json()
                    .as_object()
                    .unwrap()
                    .keys()
                    .cloned()
                    .collect();
                let all = if private { 2 } else { 3 };
                assert_eq!(keys.len(), all, "{keys:?}");
            }
        }
    }
}

#[tokio::test]
async fn the_chain_follows_for_trusted_callers_that_ask() {
    let (own, chain) = (
        "google.rpc.ErrorInfo",
        ["rpc.v1.ErrorPayload", "rpc.v1.HopChain"],
    );
    for (trust, headers, has_chain) in [
        (Trust::Internal, &ASKS[..], true),
        (Trust::Internal, &[], false),
        (Trust::Internal, &[("x-rpc-accept", "chain")], false),
        (Trust::Edge, &ASKS, false),
    ] {
        let running = Running::start(server(None).trust(trust)).await;
        let mut raw = Raw::connect(running.address()).await;
        let body = r#"{"which":"tea"}"#;
        let response = raw
            .ask(post_with("/details.v1.Shop/Typed", headers, body))
            .await;
        let rest = if has_chain { &chain[..] } else { &[] };
        assert_eq!(types(&response), [&[own], rest].concat(), "{headers:?}");
        // Errors that the framework makes, too: a mistake in an argument, an unknown method.
        let response = raw
            .ask(post_with(
                "/details.v1.Shop/Numbers",
                headers,
                r#"{"n":256}"#,
            ))
            .await;
        let rest = if has_chain { &chain[1..] } else { &[] };
        assert_eq!(
            types(&response),
            [&["google.rpc.BadRequest"], rest].concat()
        );
        let response = raw
            .ask(post_with("/details.v1.Shop/None", headers, "{}"))
            .await;
        assert_eq!(types(&response), rest);
    }
}

#[tokio::test]
async fn a_client_of_an_edge_gets_public_and_empty_variants() {
    let edge = Running::start(server(None).trust(Trust::Edge)).await;
    let internal = Running::start(server(None)).await;
    let local = Server::into_local_client(server(None)).unwrap();
    for (client, trusted) in [
        (Client::new(&edge.url()).unwrap(), false),
        (Client::new(&internal.url()).unwrap(), true),
        (local, true),
    ] {
        let shop = ShopClient::with_client(client);
        let error = shop.typed("closed").await.unwrap_err();
        assert!(matches!(*error, ShopError::Closed), "{error:?}");
        let error = shop.typed("sold out").await.unwrap_err();
        assert!(
            matches!(
                &*error,
                ShopError::SoldOut {
                    left: u64::MAX,
                    until: None
                }
            ),
            "{error:?}"
        );
        let error = shop.typed("tea").await.unwrap_err();
        assert_eq!(
            matches!(&*error, ShopError::NoItem { name } if name == "tea"),
            trusted
        );
        assert_eq!(error.as_error().reason(), Some("NO_ITEM"));
        let error = shop.typed("maybe").await.unwrap_err();
        assert_eq!(
            matches!(&*error, ShopError::Maybe { name: Some(_) }),
            trusted,
            "a field that was not sent is not `None`"
        );
    }
}

#[tokio::test]
async fn details_of_a_dependency_stay_inside() {
    let back = Running::start(server(None)).await;
    let next = ShopClient::connect(&back.url()).unwrap();
    let local = ShopClient::local(Tea(None));
    for next in [next, local] {
        let front = Running::start(server(Some(next)).trust(Trust::Edge)).await;
        let mut raw = Raw::connect(front.address()).await;
        let mut relay = async |by_value: bool| {
            let body = json!({ "by_value": by_value }).to_string();
            raw.ask(post("/details.v1.Shop/Relay", body)).await
        };
        assert!(types(&relay(false).await).is_empty());
        let response = relay(true).await;
        assert_eq!(response.error(), (503, "unavailable".to_owned()));
        assert_eq!(types(&response), ["shop.v1.Outer"], "only its own");
    }
}

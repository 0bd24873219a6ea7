use rpc_runtime::prelude::*;
use rpc_runtime::{Client, ListenOptions};
use rpc_tests::Running;
use rpc_tests::raw::{Raw, post};

#[derive(Debug, PartialEq, RpcError)]
enum PaymentError {
    #[rpc(code = "failed_precondition", public)]
    Declined { missing: u64 },
    #[rpc(code = "failed_precondition")]
    Suspect { score: u64 },
    #[rpc(other)]
    Other(Error),
}

#[derive(Debug, PartialEq, RpcError)]
enum OrderError {
    #[rpc(from, public)]
    Payment(PaymentError),
    #[rpc(other)]
    Other(Error),
}

/// As `OrderError`, without `public`.
#[derive(Debug, PartialEq, RpcError)]
enum QuietError {
    #[rpc(from)]
    Payment(PaymentError),
    #[rpc(other)]
    Other(Error),
}

/// Passes the error of the orders on, one more service away.
#[derive(Debug, PartialEq, RpcError)]
enum DeskError {
    #[rpc(from, public)]
    Order(OrderError),
    #[rpc(from, public)]
    Quiet(QuietError),
    #[rpc(other)]
    Other(Error),
}

#[rpc_service(package = "inner.v1")]
trait Payments {
    async fn charge(&self, cents: u64) -> Result<u64, PaymentError>;
}

#[rpc_service(package = "inner.v1")]
trait Orders {
    async fn place(&self, cents: u64) -> Result<u64, OrderError>;
    async fn place_quietly(&self, cents: u64) -> Result<u64, QuietError>;
}

#[rpc_service(package = "inner.v1")]
trait Desk {
    async fn place(&self, cents: u64) -> Result<u64, DeskError>;
    async fn place_quietly(&self, cents: u64) -> Result<u64, DeskError>;
}

struct Till;

impl Payments for Till {
    async fn charge(&self, cents: u64) -> Result<u64, PaymentError> {
        Err(match cents {
            0 => PaymentError::Suspect { score: 77 },
            missing => PaymentError::Declined { missing },
        })
    }
}

struct Shop(PaymentsClient);

impl Orders for Shop {
    async fn place(&self, cents: u64) -> Result<u64, OrderError> {
        Ok(self.0.charge(cents).await?)
    }

    async fn place_quietly(&self, cents: u64) -> Result<u64, QuietError> {
        Ok(self.0.charge(cents).await?)
    }
}

struct Front(OrdersClient);

impl Desk for Front {
    async fn place(&self, cents: u64) -> Result<u64, DeskError> {
        Ok(self.0.place(cents).await?)
    }

    async fn place_quietly(&self, cents: u64) -> Result<u64, DeskError> {
        Ok(self.0.place_quietly(cents).await?)
    }
}

async fn edge(server: Server) -> (Running, String) {
    let server = server.listen_with(ListenOptions::edge("127.0.0.1:0"));
    let running = Running::start(server).await;
    let url = running.url();
    (running, url)
}

fn shop() -> Shop {
    Shop(PaymentsClient::local(Till))
}

#[tokio::test]
async fn a_public_inner_variant_stays_public_at_an_edge() {
    let (_running, url) = edge(Server::new("orders").add(OrdersServer::new(shop()))).await;
    let orders = OrdersClient::with_client(Client::new(&url).unwrap());
    let error = orders.place(350).await.unwrap_err();
    let declined = || PaymentError::Declined { missing: 350 };
    assert_eq!(error, OrderError::Payment(declined()));
    // Without `public`, callers at an edge get code and text only.
    let error = orders.place_quietly(350).await.unwrap_err();
    assert!(matches!(&*error, QuietError::Other(_)), "{error:?}");
    assert_eq!(error.code(), Code::FailedPrecondition);
    // Through two services.
    let front = Front(OrdersClient::local(shop()));
    let (_front, url) = edge(Server::new("desk").add(DeskServer::new(front))).await;
    let desk = DeskClient::with_client(Client::new(&url).unwrap());
    let error = desk.place(7).await.unwrap_err();
    let inner = PaymentError::Declined { missing: 7 };
    assert_eq!(error, DeskError::Order(OrderError::Payment(inner)));
    let error = desk.place_quietly(7).await.unwrap_err();
    assert!(matches!(&*error, DeskError::Other(_)), "{error:?}");
}

#[tokio::test]
async fn an_inner_variant_that_is_not_public_is_hidden() {
    let (running, _) = edge(Server::new("orders").add(OrdersServer::new(shop()))).await;
    let mut raw = Raw::connect(running.address()).await;
    for method in ["Place", "PlaceQuietly"] {
        let path = format!("/inner.v1.Orders/{method}");
        let response = raw.ask(post(&path, r#"{"cents":0}"#)).await;
        assert_eq!(response.error(), (400, "failed_precondition".to_owned()));
        let text = response.json().to_string();
        assert!(text.contains("SUSPECT"), "{text}");
        for hidden in ["score", "77", "rpc.v1.ErrorPayload", r#""domain""#] {
            assert!(!text.contains(hidden), "{hidden}: {text}");
        }
    }
}

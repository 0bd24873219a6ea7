//! Conversions by `?`, fakes, comparisons, defaults, names of methods, and the
//! line at which an error began.

mod defaults;
mod origin;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rpc_runtime::middleware::{Next, Request};
use rpc_runtime::prelude::*;
use rpc_runtime::{Callers, Policy, RateLimit};

#[derive(Debug, Clone, PartialEq, thiserror::Error, RpcError)]
enum OrderError {
    #[error("{left} left")]
    #[rpc(code = "failed_precondition")]
    SoldOut { left: u32 },
    #[error("{0}")]
    #[rpc(other)]
    Other(Error),
}

#[rpc_service(package = "ergonomics.v1")]
trait Orders {
    async fn place(&self, item: &str, count: &str) -> Result<u32, OrderError>;
    async fn price(&self, ctx: &Context, item: Option<&str>) -> Result<u32>;
    /// Has a body, which an `Arc` must not hide.
    async fn version(&self) -> Result<u32> {
        Ok(1)
    }
}

#[derive(Default)]
struct Fake {
    placed: AtomicU32,
}

impl Orders for Fake {
    async fn place(&self, item: &str, count: &str) -> Result<u32, OrderError> {
        let count: u32 = count
            .parse()
            .or_error_with(Code::InvalidArgument, || format!("no count of {item}"))?;
        let stored = self.placed.fetch_add(count, Ordering::SeqCst);
        if stored + count > 3 {
            return Err(OrderError::SoldOut { left: 3 - stored });
        }
        Ok(stored + count)
    }

    async fn price(&self, ctx: &Context, item: Option<&str>) -> Result<u32> {
        let item = item.or_error(Code::InvalidArgument, "an item is needed")?;
        std::fs::read(format!("/nowhere/{item}"))
            .or_error(Code::Unavailable, "failed to read the prices")?;
        Ok(ctx.request_id().len().try_into().unwrap_or(0))
    }

    async fn version(&self) -> Result<u32> {
        Ok(2)
    }
}

#[tokio::test]
async fn a_test_looks_into_its_fake_afterwards() {
    let fake = Arc::new(Fake::default());
    let orders = OrdersClient::local(Arc::clone(&fake));
    assert_eq!(orders.place("tea", "2").await.unwrap(), 2);
    assert_eq!(fake.placed.load(Ordering::SeqCst), 2);
    assert_eq!(orders.version().await.unwrap(), 2);
    // An `Arc` of an `Arc`, and a server.
    let twice = OrdersServer::new(Arc::new(Arc::clone(&fake)));
    let client = Server::new("orders").add(twice).into_local_client();
    let orders = OrdersClient::with_client(client.unwrap());
    assert_eq!(orders.place("tea", "1").await.unwrap(), 3);
    assert_eq!(fake.placed.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn foreign_errors_get_a_code_by_or_error() {
    let orders = OrdersClient::local(Fake::default());
    let error = orders.place("tea", "two").await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert_eq!(error.message(), "no count of tea");
    let error = orders.price(None).await.unwrap_err();
    assert_eq!(error.to_string(), "invalid_argument: an item is needed");
    let error = orders.price(Some("tea")).await.unwrap_err();
    assert_eq!(error.to_string(), "unavailable: failed to read the prices");
    // The cause stays in the service.
    assert!(!format!("{error:#}").contains("No such file"), "{error:#}");
    let (file, _) = error.hops()[0].location.clone().unwrap();
    assert_eq!(file, file!());
}

#[test]
fn the_cause_of_or_error_is_for_the_log() {
    let error = std::fs::read("/nowhere/tea")
        .or_error(Code::Internal, "failed to read the prices")
        .unwrap_err();
    assert_eq!(error.public_message(), "internal error");
    assert!(format!("{error:#}").contains("caused by: No such file"));
    assert_eq!(error.location().unwrap().file(), file!());
    // Boxed errors and texts are causes as well.
    let boxed: std::result::Result<(), Box<dyn std::error::Error + Send + Sync>> =
        Err("no disk".into());
    let error = boxed.or_error(Code::Internal, "no price").unwrap_err();
    assert!(format!("{error:#}").ends_with("caused by: no disk"));
    let missing = None::<u8>.or_error(Code::NotFound, "no price").unwrap_err();
    assert_eq!(missing, Error::new(Code::NotFound, "no price"));
    // A success makes no message.
    let value = Some(7).or_error_with(Code::Internal, || -> String { unreachable!() });
    assert_eq!(value, Ok(7));
}

#[tokio::test]
async fn errors_are_compared_in_assertions() {
    let orders = OrdersClient::local(Fake::default());
    let error = orders.place("tea", "9").await.unwrap_err();
    assert_eq!(error, OrderError::SoldOut { left: 3 });
    assert_ne!(error, OrderError::SoldOut { left: 2 });
    let again = OrdersClient::local(Fake::default());
    assert_eq!(error, again.place("tea", "8").await.unwrap_err());
    // By code, reason and message; not by place, source or details.
    let base = Error::new(Code::NotFound, "no tea").with_reason("NO_TEA");
    assert_eq!(
        base,
        base.clone().with_source("why").with_violation("a", "b")
    );
    assert_ne!(base, Error::new(Code::NotFound, "no tea"));
    assert_ne!(
        base,
        Error::new(Code::Internal, "no tea").with_reason("NO_TEA")
    );
    assert_ne!(
        base,
        Error::new(Code::NotFound, "no cup").with_reason("NO_TEA")
    );
    assert_eq!(OrderError::Other(base.clone()), OrderError::Other(base));
}

#[tokio::test]
async fn methods_have_constants_for_settings() {
    assert_eq!(OrdersServer::PLACE, "ergonomics.v1.Orders/Place");
    assert_eq!(OrdersServer::VERSION, "ergonomics.v1.Orders/Version");
    let policy = Policy::new()
        .allow(OrdersServer::VERSION, Callers::anyone())
        .allow(OrdersServer::PLACE, Callers::anyone())
        .deny(OrdersServer::PRICE);
    let once = RateLimit::per_minute(1).method(OrdersServer::PLACE);
    let server = Server::new("orders")
        .add(OrdersServer::new(Fake::default()))
        .policy(policy)
        .rate_limit(once)
        .layer(|request: Request, next: Next| async move {
            if request.method().full_name() == OrdersServer::VERSION {
                return Error::new(Code::Unimplemented, "no version today").into();
            }
            next.run(request).await
        });
    let orders = OrdersClient::with_client(server.into_local_client().unwrap());
    let code = |result: Option<Code>| result.unwrap();
    let denied = orders.price(Some("tea")).await.err();
    assert_eq!(
        code(denied.map(|error| error.code())),
        Code::PermissionDenied
    );
    let layered = orders.version().await.err();
    assert_eq!(code(layered.map(|error| error.code())), Code::Unimplemented);
    orders.place("tea", "1").await.unwrap();
    let limited = orders.place("tea", "1").await.err();
    assert_eq!(
        code(limited.map(|error| error.code())),
        Code::ResourceExhausted
    );
}

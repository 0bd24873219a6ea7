//! One trace over two services: the spans of calls, with those of the application between them.
//!
//! ```text
//! # a collector, such as Jaeger, that shows them at http://localhost:16686
//! docker run --rm -p 4318:4318 -p 16686:16686 jaegertracing/jaeger
//! cargo run -p rpc-examples --bin otel -- http://127.0.0.1:4318
//! ```

#![allow(clippy::print_stdout, reason = "an example prints its results")]

use std::time::Duration;

use rpc_runtime::otel::TraceExporter;
use rpc_runtime::prelude::*;
use tracing::{Instrument as _, info_span};
use tracing_subscriber::prelude::*;

#[rpc_service(package = "examples.v1")]
trait Orders {
    /// Returns the cost of an order.
    async fn cost(&self, item: &str) -> Result<u64>;
}

#[rpc_service(package = "examples.v1")]
trait Prices {
    /// Returns the price of an item.
    async fn price(&self, item: &str) -> Result<u64>;
}

struct Desk(PricesClient);

impl Orders for Desk {
    #[tracing::instrument(skip(self))]
    async fn cost(&self, item: &str) -> Result<u64> {
        Ok(self.0.price(item).await? + 1)
    }
}

struct List;

impl Prices for List {
    async fn price(&self, item: &str) -> Result<u64> {
        match item {
            "tea" => Ok(3),
            _ => fail!(Code::NotFound, "no {item} here"),
        }
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let collector = std::env::args().nth(1);
    let collector = collector.unwrap_or_else(|| "http://127.0.0.1:4318".to_owned());
    let exporter = TraceExporter::builder(&collector)?.start("shop")?;
    tracing_subscriber::registry().with(exporter.layer()).init();
    let orders = OrdersClient::local(Desk(PricesClient::local(List)));
    for item in ["tea", "silk"] {
        let asking = orders.cost(item).into_future();
        match asking.instrument(info_span!("job", item)).await {
            Ok(cost) => println!("{item} costs {cost}"),
            Err(error) => println!("{item}: {}", error.message()),
        }
    }
    exporter.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

//! A background task refreshes a cache while the server runs. At the stop it ends within the drain,
//! and what is open is closed.

#![allow(clippy::print_stdout, reason = "an example prints its results")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rpc_runtime::prelude::*;

#[rpc_service(package = "examples.v1")]
trait Prices {
    async fn price(&self, item: &str) -> Result<u64>;
}

/// The cache, which the handlers read and the task writes.
#[derive(Default)]
struct Cache {
    rate: AtomicU64,
}

impl Prices for Cache {
    async fn price(&self, item: &str) -> Result<u64> {
        // A task of a handler: the stop of the server waits for it.
        rpc_runtime::spawn(async { tracing::info!("sold one") });
        Ok(self.rate.load(Ordering::Relaxed) * item.len() as u64)
    }
}

/// Reads the rate. An error is logged, and the task is started again.
async fn refresh(cache: &Cache) -> Result<()> {
    let rate: u64 = "7"
        .parse()
        .or_error(Code::Internal, "the rate is not a number")?;
    cache.rate.store(rate, Ordering::Relaxed);
    Ok(())
}

fn server(cache: &Arc<Cache>) -> Server {
    let task = Arc::clone(cache);
    Server::new("prices")
        .add(PricesServer::new(Arc::clone(cache)))
        .task("refresh", move |shutdown| {
            let cache = Arc::clone(&task);
            async move {
                while !shutdown.is_requested() {
                    refresh(&cache).await?;
                    tokio::select! {
                        () = tokio::time::sleep(Duration::from_secs(60)) => {}
                        () = shutdown.requested() => println!("the task ends"),
                    }
                }
                Ok::<(), Error>(())
            }
        })
        .on_shutdown("cache", async || println!("the cache is closed"))
}

#[tokio::main]
async fn main() -> Result<()> {
    let cache = Arc::default();
    let bound = server(&cache).listen("127.0.0.1:0").bind().await?;
    let prices = PricesClient::connect(&bound.url())?;
    let work = async {
        while cache.rate.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        println!("tea costs {}", prices.price("tea").await?);
        Ok::<(), Error>(())
    };
    // A program calls `run`, which stops at SIGTERM. Here the server stops after one call.
    let mut outcome = Ok(());
    bound.serve(async { outcome = work.await }).await;
    outcome
}

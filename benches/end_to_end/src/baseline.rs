//! The hand-written baseline: axum's `Json` in the server, reqwest's `json` in the client, and no
//! more.

use axum::routing::post;
use axum::serve::ListenerExt as _;
use axum::{Json, Router};
use bench_work::{Record, accepted, greet};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use crate::Result;

const GREET: &str = "/bench.v1.Echo/Greet";
const LOG_BATCH: &str = "/bench.v1.Echo/LogBatch";

#[derive(Deserialize)]
struct Greet {
    name: String,
}

#[derive(Deserialize)]
struct LogBatch {
    records: Vec<Record>,
}

#[derive(Serialize, Deserialize)]
struct Envelope<T> {
    result: T,
}

/// Serves until the process ends.
pub(crate) async fn serve(listener: TcpListener) -> Result<()> {
    // Without it, Nagle's algorithm delays small responses until the peer's acknowledgement.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    Ok(axum::serve(listener, router()).await?)
}

pub(crate) fn router() -> Router {
    let greet = async |Json(call): Json<Greet>| {
        Json(Envelope {
            result: greet(&call.name),
        })
    };
    let log_batch = async |Json(call): Json<LogBatch>| {
        Json(Envelope {
            result: accepted(&call.records),
        })
    };
    Router::new()
        .route(GREET, post(greet))
        .route(LOG_BATCH, post(log_batch))
}

/// The client of [`serve`].
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    greet: String,
    log_batch: String,
}

impl Client {
    pub(crate) fn new(url: &str) -> Result<Self> {
        Self::with_options(url, reqwest::Client::builder())
    }

    pub(crate) fn with_options(url: &str, options: reqwest::ClientBuilder) -> Result<Self> {
        Ok(Self {
            http: options.no_proxy().build()?,
            greet: format!("{url}{GREET}"),
            log_batch: format!("{url}{LOG_BATCH}"),
        })
    }

    pub(crate) async fn greet(&self, name: &str) -> Result<String> {
        #[derive(Serialize)]
        struct Greet<'a> {
            name: &'a str,
        }
        let response = self
            .http
            .post(&self.greet)
            .json(&Greet { name })
            .send()
            .await?
            .error_for_status()?;
        Ok(response.json::<Envelope<String>>().await?.result)
    }

    pub(crate) async fn log_batch(&self, records: &[Record]) -> Result<u32> {
        #[derive(Serialize)]
        struct LogBatch<'a> {
            records: &'a [Record],
        }
        let response = self
            .http
            .post(&self.log_batch)
            .json(&LogBatch { records })
            .send()
            .await?
            .error_for_status()?;
        Ok(response.json::<Envelope<u32>>().await?.result)
    }
}

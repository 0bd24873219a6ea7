//! Three services in a chain, as a team would write them: `front` calls `middle`, `middle` calls
//! `back`. They contain no code for faults; the tests inject those from outside.

use std::sync::atomic::{AtomicU64, Ordering};

use rpc_runtime::Client;
use rpc_runtime::prelude::*;
use serde::{Deserialize, Serialize};

/// The context of a call as the last service sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenContext {
    /// Number of times `add` has run here.
    pub added: u64,
    /// Number of services that the request has passed.
    pub hops: u32,
    /// Remaining time before the deadline.
    pub left_ms: Option<u64>,
    /// The caller.
    pub source: String,
}

/// Declares one service of the chain, each with a separate contract.
macro_rules! service {
    ($(#[$docs:meta])* $name:ident) => {
        $(#[$docs])*
        #[rpc_service(package = "chain.v1")]
        pub trait $name {
            /// Reads the state.
            #[rpc(no_side_effects)]
            async fn read(&self) -> Result<SeenContext>;
            /// Idempotent.
            #[rpc(idempotent)]
            async fn put(&self) -> Result<()>;
            /// Not idempotent.
            async fn add(&self) -> Result<u64>;
            /// Does not return before its deadline.
            async fn hold(&self) -> Result<()>;
        }
    };
}

service!(
    /// The entry of the chain.
    Front
);
service!(
    /// The service in the middle.
    Middle
);
service!(
    /// The last service, which does the work.
    Back
);

/// The handlers of the last service, which count their runs.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Back for Counter {
    async fn read(&self) -> Result<SeenContext> {
        let context = Context::current();
        let left = context.remaining();
        Ok(SeenContext {
            added: self.0.load(Ordering::SeqCst),
            hops: context.hops(),
            left_ms: left.and_then(|left| u64::try_from(left.as_millis()).ok()),
            source: context
                .source()
                .map(ToString::to_string)
                .unwrap_or_default(),
        })
    }

    async fn put(&self) -> Result<()> {
        Ok(())
    }

    async fn add(&self) -> Result<u64> {
        Ok(self.0.fetch_add(1, Ordering::SeqCst) + 1)
    }

    async fn hold(&self) -> Result<()> {
        std::future::pending().await
    }
}

/// Passes calls on to the next service.
#[derive(Debug)]
pub struct Passing<C>(C);

macro_rules! passes_on {
    ($name:ident to $client:ident) => {
        impl Passing<$client> {
            /// Creates a service that calls the next one at one of these addresses.
            ///
            /// # Errors
            ///
            /// `invalid_argument` for no address or an invalid one.
            pub fn to(urls: &[String]) -> Result<Self> {
                Ok(Self($client::with_client(Client::from_urls(urls)?)))
            }
        }

        impl $name for Passing<$client> {
            async fn read(&self) -> Result<SeenContext> {
                Ok(self.0.read().await?)
            }

            async fn put(&self) -> Result<()> {
                Ok(self.0.put().await?)
            }

            async fn add(&self) -> Result<u64> {
                Ok(self.0.add().await?)
            }

            async fn hold(&self) -> Result<()> {
                Ok(self.0.hold().await?)
            }
        }
    };
}

passes_on!(Front to MiddleClient);
passes_on!(Middle to BackClient);

//! Three services in a chain: `front` calls `middle`, `middle` calls `back`. What a team would write, and nothing for
//! the bad days that tests make for it.

use std::sync::atomic::{AtomicU64, Ordering};

use rpc_runtime::Client;
use rpc_runtime::prelude::*;
use serde::{Deserialize, Serialize};

/// What the last service of the chain knows of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// How often something was added here.
    pub added: u64,
    /// How many services the request has passed.
    pub hops: u32,
    /// The time that is left for it.
    pub left_ms: Option<u64>,
    /// Who called.
    pub source: String,
}

/// Declares one service of the chain. Each has a contract of its own, as services have.
macro_rules! service {
    ($(#[$docs:meta])* $name:ident) => {
        $(#[$docs])*
        #[rpc_service(package = "chain.v1")]
        pub trait $name {
            /// Looks.
            #[rpc(no_side_effects)]
            async fn read(&self) -> Result<Seen>;
            /// Twice is the same as once.
            #[rpc(idempotent)]
            async fn put(&self) -> Result<()>;
            /// Twice is not the same as once.
            async fn add(&self) -> Result<u64>;
            /// Does not answer before its deadline.
            async fn hold(&self) -> Result<()>;
        }
    };
}

service!(
    /// Where callers come in.
    Front
);
service!(
    /// In between.
    Middle
);
service!(
    /// Where the work is done.
    Back
);

/// The last service, which counts.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Back for Counter {
    async fn read(&self) -> Result<Seen> {
        let context = Context::current();
        let left = context.remaining();
        Ok(Seen {
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
            /// To the next service at one of these addresses.
            ///
            /// # Errors
            ///
            /// `invalid_argument` for no address or a wrong one.
            pub fn to(urls: &[String]) -> Result<Self> {
                Ok(Self($client::with_client(Client::from_urls(urls)?)))
            }
        }

        impl $name for Passing<$client> {
            async fn read(&self) -> Result<Seen> {
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

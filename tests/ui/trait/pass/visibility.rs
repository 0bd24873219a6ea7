//! The client, the server and their methods have the visibility of the trait.
#![deny(warnings, unreachable_pub)]

mod outer {
    pub(crate) mod inner {
        use rpc_runtime::{Result, rpc_service};

        #[rpc_service]
        pub(super) trait ForOuter {
            async fn buy(&self) -> Result<u32>;
        }

        #[rpc_service]
        pub(crate) trait ForAll {
            async fn buy(&self) -> Result<u32>;
        }

        #[rpc_service]
        pub(in crate::outer) trait ForPath {
            async fn buy(&self) -> Result<u32>;
        }

        // An unused trait causes no warning about its client.
        #[rpc_service]
        trait Unused {
            async fn buy(&self) -> Result<u32>;
        }
    }

    pub(crate) fn clients() {
        let client = inner::ForOuterClient::connect("http://127.0.0.1:9").unwrap();
        drop((client.buy(), client.ping()));
        let client = inner::ForPathClient::connect("http://127.0.0.1:9").unwrap();
        drop(client.buy());
    }
}

struct Corner;

impl outer::inner::ForAll for Corner {
    async fn buy(&self) -> rpc_runtime::Result<u32> {
        Ok(1)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    outer::clients();
    let client = outer::inner::ForAllClient::local(Corner);
    assert_eq!(client.buy().await.unwrap(), 1);
}

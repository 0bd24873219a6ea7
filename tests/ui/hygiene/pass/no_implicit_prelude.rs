//! The expansion does not need the prelude: `Result`, `Option`, `Some`, `Send`, `Clone`, `Into`,
//! `drop`, …
#![no_implicit_prelude]

/// The error.
#[derive(Debug, ::rpc_runtime::RpcError)]
pub enum ShopError {
    /// One with fields.
    #[rpc(code = "not_found")]
    NoItem {
        /// Which.
        item: u32,
        /// Not sent.
        #[rpc(skip)]
        cause: ::std::io::Error,
    },
    /// One with a default.
    #[rpc(code = "internal", public)]
    Broken(#[rpc(skip)] u8),
    /// A dependency's.
    #[rpc(from)]
    Store(StoreError),
    /// The rest.
    #[rpc(other)]
    Other(::rpc_runtime::Error),
}

/// A dependency's.
#[derive(Debug, ::rpc_runtime::RpcError)]
pub enum StoreError {
    /// The rest.
    #[rpc(other)]
    Other(::rpc_runtime::Error),
}

/// The service.
#[::rpc_runtime::rpc_service]
pub trait Shop {
    /// Every shape.
    #[rpc(idempotent, timeout = "1s")]
    async fn buy(
        &self,
        ctx: &::rpc_runtime::Context,
        item: &str,
        list: &[u32],
        maybe: ::std::option::Option<&str>,
        lent: ::std::option::Option<&u32>,
        #[rpc(default)] owned: ::std::string::String,
    ) -> ::rpc_runtime::Result<u32>;

    /// Another error.
    async fn sell(&self, item: u32) -> ::std::result::Result<(), ShopError>;

    /// A default.
    async fn wait(&self) -> ::rpc_runtime::Result<()> {
        ::std::result::Result::Ok(())
    }
}

fn main() {}

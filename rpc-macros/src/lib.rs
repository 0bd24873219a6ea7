//! The attribute `#[rpc_service]` and the derive `RpcError`.
//!
//! Use them through `rpc-runtime`: the expansion names its types, and the documentation for users stands on its
//! re-exports, where doc tests can run against the runtime.
//!
//! Each macro is a pipeline of four rooms: *parse* (tokens → model), *validate* (the rules that hold between the
//! parts of a model), *model* (plain data with every decision taken) and *expand* (model → tokens).

use proc_macro::TokenStream;

mod attributes;
mod error;
mod errors;
mod names;
mod service;
mod spelling;

#[cfg(test)]
mod tests;

/// Turns a trait into a service; documented at `rpc_runtime::rpc_service`.
#[proc_macro_attribute]
pub fn rpc_service(arguments: TokenStream, item: TokenStream) -> TokenStream {
    service::rpc_service(arguments.into(), &item.into()).into()
}

/// Makes an enum an error that crosses the network; documented at `rpc_runtime::RpcError`.
#[proc_macro_derive(RpcError, attributes(rpc))]
pub fn rpc_error(item: TokenStream) -> TokenStream {
    error::rpc_error(item.into()).into()
}

//! The attribute `#[rpc_service]` and the derive `RpcError`.
//!
//! Use them through `rpc-runtime`, whose types the expansion names. The user documentation is on
//! the re-exports in `rpc-runtime`, where its examples can run.
//!
//! Each macro is a pipeline of four modules: `parse` (tokens → model), `validate` (rules between
//! the parts of a model), `model` (plain data) and `expand` (model → tokens).

use proc_macro::TokenStream;

mod error;
mod errors;
mod names;
mod options;
mod runtime_path;
mod service;
mod token_text;

#[cfg(test)]
mod tests;

/// Generates a client and a server from a trait. Documented at `rpc_runtime::rpc_service`.
#[proc_macro_attribute]
pub fn rpc_service(arguments: TokenStream, item: TokenStream) -> TokenStream {
    service::rpc_service(arguments.into(), &item.into()).into()
}

/// Implements `rpc_runtime::RpcError` for an enum. Documented at `rpc_runtime::RpcError`.
#[proc_macro_derive(RpcError, attributes(rpc))]
pub fn rpc_error(item: TokenStream) -> TokenStream {
    error::rpc_error(item.into()).into()
}

//! Re-exports the runtime.

pub use rpc_runtime as rpc;

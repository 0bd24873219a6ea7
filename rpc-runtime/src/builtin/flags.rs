//! `rpc.v1.Flags`: lists and changes the flags of a running server. Every server has it on its
//! internal listeners, and not on edge listeners. A policy can restrict who may call it.
//!
//! ```
//! use rpc_runtime::flag_service::FlagServiceClient;
//!
//! # async fn main_() -> rpc_runtime::Result<()> {
//! let flags = FlagServiceClient::connect("http://127.0.0.1:9002")?;
//! for flag in flags.list().await? {
//!     println!("{} = {}", flag.name, flag.value);
//! }
//! flags.set("log_rpc", "true").await?;
//! # Ok(())
//! # }
//! ```

use rpc_macros::rpc_service;

use crate::context::Context;
use crate::error::Result;
use crate::flags::FlagInfo;

/// Administration of the flags of a server.
#[rpc_service(package = "rpc.v1", name = "Flags", endpoint = "flags")]
pub trait FlagService {
    /// Returns all flags, sorted by name. Values of secret flags are masked.
    #[rpc(no_side_effects)]
    async fn list(&self) -> Result<Vec<FlagInfo>>;

    /// Sets a dynamic flag until it is reset or the server ends.
    ///
    /// Fails with `not_found` for an unknown flag, `invalid_argument` for an invalid value and
    /// `failed_precondition` for a flag that is not dynamic. The flag then keeps its value.
    async fn set(&self, ctx: &Context, name: &str, #[rpc(secret)] value: &str) -> Result<FlagInfo>;

    /// Reverts `set`: the flag has again the value of the command line, the environment, the flags
    /// file, the program or its declaration.
    async fn reset(&self, ctx: &Context, name: &str) -> Result<FlagInfo>;
}

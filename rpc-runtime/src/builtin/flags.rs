//! `rpc.v1.Flags`: the flags of a running server. Every server answers it at its internal listeners; an edge has no such
//! path, and a policy may say who may call it.
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
use crate::error::{Code, Result};
use crate::flags::Flags;
pub use crate::flags::{FlagInfo, Origin};
use crate::server::{Routes, Service as _};

/// The flags of a server, for those who run it.
#[rpc_service(package = "rpc.v1", name = "Flags", endpoint = "flags")]
pub trait FlagService {
    /// All flags, by name. The values of secret ones are masked.
    #[rpc(no_side_effects)]
    async fn list(&self) -> Result<Vec<FlagInfo>>;

    /// Gives a dynamic flag another value, until it is reset or the server ends.
    ///
    /// `not_found` for a name that no flag has, `invalid_argument` for a value that the flag does not take,
    /// `failed_precondition` for a flag that is not dynamic; the old value stays.
    async fn set(&self, ctx: &Context, name: &str, #[rpc(secret)] value: &str) -> Result<FlagInfo>;

    /// Takes back what `set` did: the value is that of the command line, the environment, the file, the program or the
    /// declaration again.
    async fn reset(&self, ctx: &Context, name: &str) -> Result<FlagInfo>;
}

/// The implementation that every server has.
struct ServerFlagService(Flags);

impl FlagService for ServerFlagService {
    async fn list(&self) -> Result<Vec<FlagInfo>> {
        Ok(self.0.list())
    }

    async fn set(&self, ctx: &Context, name: &str, value: &str) -> Result<FlagInfo> {
        self.0.set_text(name, value, &changer(ctx)?)?;
        self.0.describe(name)
    }

    async fn reset(&self, ctx: &Context, name: &str) -> Result<FlagInfo> {
        self.0.reset(name, &changer(ctx)?)?;
        self.0.describe(name)
    }
}

/// Who wants a change, for the audit line.
///
/// # Errors
///
/// `permission_denied` for a page in a browser: one on this host is a peer like any other, whoever wrote the page.
fn changer(ctx: &Context) -> Result<String> {
    // Browsers send it with every POST, also to a name that was rebound to this host.
    if ctx.metadata().get("origin").is_some() {
        crate::fail!(
            Code::PermissionDenied,
            "a page in a browser may not change flags"
        );
    }
    let source = ctx
        .source()
        .map_or("an unknown caller", |source| source.as_str());
    Ok(format!("{source} in request {}", ctx.request_id()))
}

/// What answers for the flags of a server.
pub(crate) fn flag_routes(flags: &Flags) -> Routes {
    FlagServiceServer::new(ServerFlagService(flags.clone())).into_routes()
}

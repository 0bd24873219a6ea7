//! The implementation of `rpc.v1.Flags`.

use crate::builtin::flags::{FlagService, FlagServiceServer};
use crate::context::Context;
use crate::error::{Code, Result};
use crate::flags::{Actor, FlagInfo, Flags};

/// The flag service of a server.
struct ServerFlagService(Flags);

impl FlagService for ServerFlagService {
    async fn list(&self) -> Result<Vec<FlagInfo>> {
        Ok(self.0.list())
    }

    async fn set(&self, ctx: &Context, name: &str, value: &str) -> Result<FlagInfo> {
        self.0.set_text(name, value, &actor(ctx)?)?;
        self.0.describe(name)
    }

    async fn reset(&self, ctx: &Context, name: &str) -> Result<FlagInfo> {
        self.0.reset(name, &actor(ctx)?)?;
        self.0.describe(name)
    }
}

/// Returns the caller of a change, for the audit log.
///
/// # Errors
///
/// `permission_denied` for requests from web pages: a browser on this host is a trusted peer, but
/// its pages are not.
fn actor(ctx: &Context) -> Result<Actor> {
    // Browsers send `origin` with every POST, also after DNS rebinding.
    if ctx.metadata().get("origin").is_some() {
        crate::fail!(
            Code::PermissionDenied,
            "web pages cannot change flags; use a client that sends no `origin` header"
        );
    }
    let source = ctx
        .source()
        .map_or("an unknown caller", |source| source.as_str());
    Ok(Actor::new(format!(
        "{source} in request {}",
        ctx.request_id()
    )))
}

/// Returns the flag service of a server.
pub(crate) fn server_flag_service(flags: &Flags) -> FlagServiceServer<impl FlagService> {
    FlagServiceServer::new(ServerFlagService(flags.clone()))
}

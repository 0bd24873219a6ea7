//! Socket activation, on systems without Unix sockets: no process inherits sockets.

use super::Listener;
use crate::error::Result;

#[allow(clippy::unused_async, reason = "as on Unix")]
pub(crate) async fn take(_: &str) -> Result<Option<Listener>> {
    Ok(None)
}

#[allow(clippy::unnecessary_wraps, reason = "as on Unix")]
pub(crate) fn take_rest() -> Result<Vec<Listener>> {
    Ok(Vec::new())
}

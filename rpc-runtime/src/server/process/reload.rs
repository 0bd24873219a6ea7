//! Reads the identity keys again on SIGHUP, so that keys are rotated without a restart.

use tokio::task::JoinHandle;

use crate::error::Result;
use crate::identity::IdentityKeys;

/// The task that waits for the signal; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct KeyReloader(Option<JoinHandle<()>>);

impl Drop for KeyReloader {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

impl KeyReloader {
    /// Waits for SIGHUP where there are keys. Without keys the signal keeps its meaning.
    ///
    /// # Errors
    ///
    /// `internal` when the system gives no signals.
    #[cfg(unix)]
    pub(crate) fn on_hangup(keys: Option<IdentityKeys>) -> Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};

        use crate::error::{Code, Error};

        let Some(keys) = keys else {
            return Ok(Self(None));
        };
        let mut hangups = signal(SignalKind::hangup()).map_err(|error| {
            let text = format!("cannot wait for SIGHUP: {error}");
            Error::without_location(Code::Internal, text).with_source(error)
        })?;
        let task = tokio::spawn(async move {
            while hangups.recv().await.is_some() {
                reload(&keys);
            }
        });
        Ok(Self(Some(task)))
    }

    #[cfg(not(unix))]
    pub(crate) fn on_hangup(_: Option<IdentityKeys>) -> Result<Self> {
        Ok(Self(None))
    }
}

/// A small file, read seldom: not worth a thread of its own.
#[cfg(unix)]
fn reload(keys: &IdentityKeys) {
    match keys.reload() {
        Ok(()) => {
            tracing::info!(target: "rpc", keys = ?keys.ids(), "the identity keys were read again");
        }
        Err(error) => {
            tracing::error!(target: "rpc", %error, "the identity keys stay as they are");
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::time::Duration;

    use tokio::signal::unix::{SignalKind, signal};

    use super::*;

    #[tokio::test]
    async fn a_hangup_brings_the_new_keys() {
        // Where nobody waits for it, the signal ends the process: the test's own handler is there first.
        let _guard = signal(SignalKind::hangup()).unwrap();
        let name = format!("rpc-reload-{}-{:x}", std::process::id(), fastrand::u64(..));
        let path = std::env::temp_dir().join(name);
        let secret = "0123456789abcdef0123456789abcdef";
        std::fs::write(&path, format!("old {secret}")).unwrap();
        let keys = IdentityKeys::from_file(&path).unwrap();
        let _reloading = KeyReloader::on_hangup(Some(keys.clone())).unwrap();
        std::fs::write(&path, format!("new {secret}\nold {secret}")).unwrap();
        let id = std::process::id().to_string();
        let sent = std::process::Command::new("kill")
            .args(["-HUP", &id])
            .status();
        assert!(sent.unwrap().success());
        let seen = tokio::time::timeout(Duration::from_secs(20), async {
            while keys.ids() != ["new", "old"] {
                tokio::task::yield_now().await;
            }
        });
        seen.await.unwrap();
        std::fs::remove_file(&path).unwrap();
    }
}

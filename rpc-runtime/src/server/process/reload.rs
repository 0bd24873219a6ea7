//! Reloads the identity keys and TLS certificates on SIGHUP, so that they can be rotated without a
//! restart.

use tokio::task::JoinHandle;

use super::tls_files;
use crate::error::Result;
use crate::identity::IdentityKeys;
use crate::server::transport::tls::ServerTls;

/// A task that waits for SIGHUP. It ends when this is dropped.
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
    /// Reloads the keys and certificates on SIGHUP. Without a file, the signal only writes a line
    /// to the log: its default action would end the server when its terminal is closed.
    ///
    /// # Errors
    ///
    /// `internal` if the signal handler cannot be installed.
    #[cfg(unix)]
    pub(crate) fn on_hangup(keys: Option<IdentityKeys>, tls: Vec<ServerTls>) -> Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};

        use crate::error::{Code, Error};

        let mut hangups = signal(SignalKind::hangup()).map_err(|error| {
            let text = format!("cannot wait for SIGHUP: {error}");
            Error::without_location(Code::Internal, text).with_source(error)
        })?;
        let task = tokio::spawn(async move {
            while hangups.recv().await.is_some() {
                for tls in &tls {
                    tls_files::reload(tls);
                }
                reload(keys.as_ref(), !tls.is_empty());
            }
        });
        Ok(Self(Some(task)))
    }

    #[cfg(not(unix))]
    pub(crate) fn on_hangup(_: Option<IdentityKeys>, _: Vec<ServerTls>) -> Result<Self> {
        Ok(Self(None))
    }
}

/// Reloads the keys. Blocks the task for one rare read of a small file.
#[cfg(unix)]
fn reload(keys: Option<&IdentityKeys>, has_certificates: bool) {
    let Some(keys) = keys.filter(|keys| keys.is_from_file()) else {
        if has_certificates {
            return;
        }
        tracing::info!(
            target: "rpc",
            "SIGHUP: nothing to reload: the server has no identity key file; a flags file is reloaded when it changes"
        );
        return;
    };
    match keys.reload() {
        Ok(()) => {
            tracing::info!(target: "rpc", keys = ?keys.ids(), "the identity keys were reloaded");
        }
        Err(error) => {
            tracing::error!(target: "rpc", %error, "failed to reload the identity keys: keys are unchanged");
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::time::Duration;

    use tokio::signal::unix::{SignalKind, signal};

    use super::*;

    #[tokio::test]
    async fn a_hangup_reloads_the_keys() {
        // Without a handler SIGHUP ends the process, so the test installs its own handler first.
        let _guard = signal(SignalKind::hangup()).unwrap();
        let name = format!("rpc-reload-{}-{:x}", std::process::id(), fastrand::u64(..));
        let path = std::env::temp_dir().join(name);
        let secret = "0123456789abcdef0123456789abcdef";
        std::fs::write(&path, format!("old {secret}")).unwrap();
        let keys = IdentityKeys::from_file(&path).unwrap();
        let _reloading = KeyReloader::on_hangup(Some(keys.clone()), Vec::new()).unwrap();
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

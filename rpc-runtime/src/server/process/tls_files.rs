//! Reloads the certificates of TLS listeners, when their files change and on SIGHUP.

use tokio::task::JoinSet;

use super::watch_files::watch_files;
use crate::error::{Error, Result};
use crate::server::transport::tls::{ServerTls, TlsTexts};

/// Tasks that read certificate files periodically. They end when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct TlsFilesWatcher {
    _tasks: JoinSet<()>,
}

impl TlsFilesWatcher {
    /// Watches the files of listeners.
    pub(crate) fn start(all: impl Iterator<Item = ServerTls>) -> Self {
        let mut tasks = JoinSet::new();
        for tls in all {
            tasks.spawn(watch(tls));
        }
        Self { _tasks: tasks }
    }
}

#[allow(
    unreachable_code,
    unused_variables,
    reason = "without the feature `tls` there is no value of this type"
)]
async fn watch(tls: ServerTls) {
    let reader = tls.clone();
    let read = move || reader.read().map_err(|error| error.message().to_owned());
    watch_files(
        Ok(tls.texts()),
        read,
        |reading: &std::result::Result<TlsTexts, String>| {
            match reading {
                // SIGHUP has applied it.
                Ok(texts) if *texts == tls.texts() => {}
                Ok(texts) => report(&tls, tls.apply(texts)),
                Err(problem) => report_problem(&tls, problem),
            }
        },
    )
    .await;
}

/// Reads and applies the files of a listener now. Blocks the task for one rare read of small files.
pub(crate) fn reload(tls: &ServerTls) {
    let outcome = tls.read().and_then(|texts| tls.apply(&texts));
    report(tls, outcome);
}

fn report(tls: &ServerTls, outcome: Result<()>) {
    match outcome {
        Ok(()) => {
            tracing::info!(target: "rpc", files = tls.files(), "the TLS certificate was reloaded");
        }
        Err(error) => report_problem(tls, Error::message(&error)),
    }
}

fn report_problem(tls: &ServerTls, reason: &str) {
    tracing::error!(target: "rpc", files = tls.files(), reason, "failed to reload the TLS certificate: the old one stays in use");
}

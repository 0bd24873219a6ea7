//! `Server::run`: what a process adds to a server: signals, a log, a line that says where it listens.

use std::io::{IsTerminal as _, Write as _};

use tracing_subscriber::EnvFilter;

use super::reload::Reloading;
use super::signals::Signals;
use super::watchdog::Watchdog;
use super::{LogFormat, Server, panic};
use crate::error::{Code, Error, Result};

pub(super) async fn run(server: Server) -> Result<()> {
    install_subscriber(server.log_format);
    panic::install_hook();
    let name = server.name().to_owned();
    // Both before anybody knows that we are here: a signal that only one of them has seen would never be the second.
    let (mut signals, mut second) = (Signals::new()?, Signals::new()?);
    let bound = server.bind().await?;
    for url in bound.urls() {
        announce(&format!("{name} listening on {url}"));
    }
    for address in bound.open_addresses() {
        tracing::warn!(
            target: "rpc",
            "{address} is an internal listener without keys: it answers peers on this host only, and refuses all others"
        );
    }
    let _watchdog = Watchdog::start();
    let _reloading = Reloading::on_hangup(bound.identity().cloned())?;
    let serving = bound.serve(async move {
        let signal = signals.next().await;
        tracing::info!(target: "rpc", signal, "stopping");
    });
    tokio::pin!(serving);
    let mut received = 0;
    loop {
        tokio::select! {
            () = &mut serving => return Ok(()),
            signal = second.next() => {
                received += 1;
                if received > 1 {
                    return Err(Error::unlocated(Code::Canceled, format!("ended by a second {signal} before all calls were done")));
                }
            }
        }
    }
}

/// Logs to stderr. Fails where the application has set a subscriber, and that one stays.
pub(super) fn install_subscriber(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // It tells of a closed stderr on stderr, which panics: a log that nobody reads would end the server.
        .log_internal_errors(false);
    let _ = match format {
        LogFormat::Text => lines
            // Escape codes are for eyes, and not for files and pipes.
            .with_ansi(!plain && std::io::stderr().is_terminal())
            .try_init(),
        LogFormat::Json => lines.json().with_span_list(false).try_init(),
    };
}

/// One line on stdout: what scripts and tests wait for.
fn announce(line: &str) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = writeln!(out, "{line}").and_then(|()| out.flush()) {
        tracing::warn!(target: "rpc", %error, "not printed: {line}");
    }
}

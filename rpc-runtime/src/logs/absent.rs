//! Takes the place of the log exporter in a server without the feature `client`, which it needs.
//!
//! The types have no values, so the code of the server that uses them is the same in both builds.

use std::path::PathBuf;
use std::time::Duration;

use tracing_subscriber::layer::Identity;

use crate::context::Source;
use crate::error::{Code, Error, Result};
use crate::identity::IdentityKeys;

/// The configuration of a log exporter. There is none without the feature `client`.
#[derive(Debug)]
pub enum LogExporterBuilder {}

impl LogExporterBuilder {
    pub(crate) fn target(&self) -> &str {
        match *self {}
    }

    pub(crate) fn prepare(self) -> Result<PreparedExporter> {
        match self {}
    }
}

/// The log export part of [`ServerOptions`](crate::ServerOptions).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LogExportOptions {
    /// Whether the options on the command line begin with `--rpc-`.
    pub(crate) prefixed: bool,
    pub(crate) sink: Option<String>,
    pub(crate) spool: Option<PathBuf>,
    pub(crate) filter: Option<String>,
}

impl LogExportOptions {
    /// Returns the program's own configuration: none.
    ///
    /// # Errors
    ///
    /// `unimplemented` if a sink is set.
    pub(crate) fn apply(
        &self,
        program: Option<LogExporterBuilder>,
    ) -> Result<Option<LogExporterBuilder>> {
        if self.sink.is_some() {
            return Err(Error::without_location(
                Code::Unimplemented,
                "--logsink (RPC_LOGSINK): the export of logs needs the feature `client` of rpc-runtime",
            ));
        }
        Ok(program)
    }
}

/// An exporter that is not started.
pub(crate) enum PreparedExporter {}

impl PreparedExporter {
    pub(crate) fn layer(&self) -> Identity {
        match *self {}
    }

    pub(crate) fn target(&self) -> &str {
        match *self {}
    }

    pub(crate) fn discard(self) {
        match self {}
    }

    pub(crate) fn start(self, _: Source, _: Option<IdentityKeys>) -> Result<LogExporter> {
        match self {}
    }
}

/// An exporter that is running.
pub(crate) enum LogExporter {}

impl LogExporter {
    pub(crate) async fn shutdown(self, _: Duration) {
        match self {}
    }
}

/// Returns the number of log records that were dropped: none are exported.
pub(crate) fn dropped() -> u64 {
    0
}

/// Returns whether the program exports its log: never.
pub(crate) fn is_exporting() -> bool {
    false
}

/// Returns whether the program exports its log to this sink: never.
pub(crate) fn is_exporting_to(_: &str) -> bool {
    false
}

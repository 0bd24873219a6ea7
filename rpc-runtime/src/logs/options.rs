//! Options of an operator for the export of logs.

use std::path::PathBuf;

use super::exporter::read_filter;
use super::layer::ExportFilter;
use super::{LogExporter, LogExporterBuilder};
use crate::client::Client;
use crate::error::Result;
use crate::option_name::option_name;

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
    /// Merges these options into the program's own configuration. Options that are set take
    /// precedence.
    ///
    /// # Errors
    ///
    /// `invalid_argument` for an invalid URL or filter.
    pub(crate) fn apply(
        &self,
        program: Option<LogExporterBuilder>,
    ) -> Result<Option<LogExporterBuilder>> {
        let sink = self.sink.as_deref().map(Client::new).transpose();
        let option = option_name!(self.prefixed, "logsink (RPC_LOGSINK)");
        let sink = sink.map_err(|error| error.caused_by_option(option))?;
        // Checked even without a sink, so that a mistake is found before a sink is configured.
        let filter: Option<ExportFilter> = self
            .filter
            .as_deref()
            .map(read_filter)
            .transpose()
            .map_err(|error| {
                let option = option_name!(self.prefixed, "ship-log (RPC_SHIP_LOG)");
                error.caused_by_option(option)
            })?;
        let builder = match (sink, program) {
            (Some(sink), Some(program)) => Some(program.with_client(sink)),
            (Some(sink), None) => Some(LogExporter::builder(sink)),
            (None, program) => program,
        };
        let Some(mut builder) = builder else {
            return Ok(None);
        };
        if let Some(folder) = &self.spool {
            builder = builder.spool(folder);
        }
        if let Some(filter) = filter {
            builder = builder.with_filter(filter);
        }
        Ok(Some(builder))
    }
}

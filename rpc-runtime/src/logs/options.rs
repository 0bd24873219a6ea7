//! What the one who starts a server may say of its logs.

use std::path::PathBuf;

use super::exporter::read_filter;
use super::layer::ExportFilter;
use super::{LogExporter, LogExporterBuilder};
use crate::client::Client;
use crate::error::{Error, Result};

/// The part of [`server::Options`](crate::server::Options) that is about logs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LogExportOptions {
    pub(crate) sink: Option<String>,
    pub(crate) spool: Option<PathBuf>,
    pub(crate) filter: Option<String>,
}

impl LogExportOptions {
    /// What is to be shipped how: what the operator says, and where nothing is said, what the program does.
    ///
    /// # Errors
    ///
    /// `invalid_argument` for what is no URL or no filter.
    pub(crate) fn apply(
        &self,
        program: Option<LogExporterBuilder>,
    ) -> Result<Option<LogExporterBuilder>> {
        let sink = self.sink.as_deref().map(Client::new).transpose();
        let sink = sink.map_err(|error| said_by("--logsink (RPC_LOGSINK)", &error))?;
        // Also where nothing is shipped: what is wrong should not come up on the day on which a sink is named.
        let filter: Option<ExportFilter> = self
            .filter
            .as_deref()
            .map(read_filter)
            .transpose()
            .map_err(|error| said_by("--ship-log (RPC_SHIP_LOG)", &error))?;
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

/// Says which option is meant: an operator may have set it in a variable, hours ago.
fn said_by(option: &str, error: &Error) -> Error {
    Error::unlocated(error.code(), format!("{option}: {}", error.message()))
}

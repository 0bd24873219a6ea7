//! Takes the place of the export of traces in a server without the feature `otel`.
//!
//! The types have no values, so the code of the server that uses them is the same in both builds.

use std::time::Duration;

use tracing_subscriber::layer::Identity;

use crate::context::Source;
use crate::error::{Code, Error, Result};

/// The configuration of an exporter. There is none without the feature `otel`.
#[derive(Debug)]
pub(crate) enum TraceExporterBuilder {}

impl TraceExporterBuilder {
    pub(crate) fn prepare(self) -> Result<PreparedTraces> {
        match self {}
    }
}

/// The part of [`ServerOptions`](crate::ServerOptions) about traces.
#[derive(Debug, Clone, Default)]
pub(crate) struct TraceOptions {
    /// The options as error messages name them.
    pub(crate) endpoint_option: &'static str,
    pub(crate) ratio_option: &'static str,
    pub(crate) endpoint: Option<String>,
    pub(crate) ratio: Option<String>,
}

impl TraceOptions {
    /// Returns the program's own configuration: none.
    ///
    /// # Errors
    ///
    /// `unimplemented` if a collector or a ratio is set.
    pub(crate) fn apply(
        &self,
        program: Option<TraceExporterBuilder>,
    ) -> Result<Option<TraceExporterBuilder>> {
        let option = match (&self.endpoint, &self.ratio) {
            (Some(_), _) => self.endpoint_option,
            (None, Some(_)) => self.ratio_option,
            (None, None) => return Ok(program),
        };
        let text = "the export of traces needs the feature `otel` of rpc-runtime";
        let error = Error::without_location(Code::Unimplemented, text);
        Err(error.caused_by_option(option))
    }
}

/// An exporter that is not started.
pub(crate) enum PreparedTraces {}

impl PreparedTraces {
    pub(crate) fn layer(&self) -> Identity {
        match *self {}
    }

    pub(crate) fn target(&self) -> String {
        match *self {}
    }

    pub(crate) fn start(self, _: &Source) -> Result<TraceExporter> {
        match self {}
    }
}

/// An exporter that is running.
pub(crate) enum TraceExporter {}

impl TraceExporter {
    pub(crate) async fn shutdown(self, _: Duration) {
        match self {}
    }
}

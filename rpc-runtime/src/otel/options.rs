//! The options of every server that concern traces.

use super::{TraceExporter, TraceExporterBuilder};
use crate::client::Collector;
use crate::error::{Code, Error, Result};

/// The path of traces below the URL of a collector.
const TRACES_PATH: &str = "/v1/traces";

/// The variables of OpenTelemetry: the first one is the URL of traces, the second that of all
/// signals.
const VARIABLES: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
];

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
    /// Returns the exporter of these options, of the variables of OpenTelemetry, or of the program,
    /// in this order; `None` without any.
    ///
    /// # Errors
    ///
    /// `invalid_argument` for an invalid URL or ratio, and for a ratio without an exporter.
    pub(crate) fn apply(
        &self,
        program: Option<TraceExporterBuilder>,
    ) -> Result<Option<TraceExporterBuilder>> {
        let given = self
            .endpoint
            .as_deref()
            .map(|url| (self.endpoint_option, url.to_owned()))
            .or_else(from_variables);
        let builder = match given {
            None => program,
            Some((name, url)) => {
                let collector = Collector::new(url.trim_end_matches('/'));
                let collector = collector.map_err(|error| error.caused_by_option(name))?;
                Some(match program {
                    Some(program) => program.with_collector(collector),
                    None => TraceExporter::of(collector),
                })
            }
        };
        let Some(ratio) = &self.ratio else {
            return Ok(builder);
        };
        let ratio = ratio.parse().map_err(|_| {
            let text = format!("invalid sampling ratio `{ratio}`: expected a number from 0 to 1");
            Error::without_location(Code::InvalidArgument, text).caused_by_option(self.ratio_option)
        })?;
        // Without an exporter no trace starts here, and an operator may set the ratio for all.
        builder
            .map(|builder| builder.ratio(ratio))
            .transpose()
            .map_err(|error| error.caused_by_option(self.ratio_option))
    }
}

fn from_variables() -> Option<(&'static str, String)> {
    VARIABLES.into_iter().find_map(|name| {
        let url = std::env::var(name).ok().filter(|url| !url.is_empty())?;
        let base = url.trim_end_matches('/');
        let base = base.strip_suffix(TRACES_PATH).unwrap_or(base);
        Some((name, base.to_owned()))
    })
}

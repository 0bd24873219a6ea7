//! The options of every server that concern traces.

use super::{TraceExporter, TraceExporterBuilder, variables};
use crate::client::CollectorConfig;
use crate::error::{Code, Error, Result};

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
        let given = match self.endpoint.as_deref() {
            Some(url) => Some((self.endpoint_option, url.to_owned())),
            None => variables::endpoint()?,
        };
        let headers = variables::Headers::read()?;
        let mut builder = match given {
            None => program,
            Some((name, url)) => {
                let collector = CollectorConfig::new(url.trim_end_matches('/'));
                let collector = collector.map_err(|error| error.caused_by_option(name))?;
                Some(match program {
                    Some(program) => program.with_collector(collector),
                    None => TraceExporter::of(collector),
                })
            }
        };
        if let Some(builder) = &mut builder {
            headers.apply(builder.collector())?;
            variables::apply_tls(builder.collector())?;
        }
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

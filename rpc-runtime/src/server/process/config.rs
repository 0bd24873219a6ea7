//! The configuration of a server as a process.

use std::path::PathBuf;
use std::time::Duration;

use super::log::{self, LogFormat, ProcessLog};
use super::tasks::Background;
use crate::error::{Code, Error, Result};
use crate::logs::{LogExportOptions, LogExporterBuilder};
use crate::option_name::option_name;
use crate::otel::{TraceExporterBuilder, TraceOptions};
use crate::server::Trust;
use crate::server::tls_listeners::TlsListeners;
use crate::server::transport::listen::SOCKET_MODE;
use crate::server::transport::listen::settings::ListenOptions;
use crate::server::transport::tls::{self, ServerTlsConfig};

/// The settings that only starting and running a server use: addresses, files and the log.
pub(crate) struct ProcessConfig {
    /// The addresses to bind.
    pub(crate) listen: Vec<ListenOptions>,
    /// The program's listeners whose addresses options have replaced.
    pub(crate) replaced: Vec<ListenOptions>,
    /// Whether the server is the only one of its process, so that every inherited socket is meant
    /// for it.
    pub(crate) takes_all_sockets: bool,
    /// The trust of a listener of the program and of a router.
    pub(crate) trust: Option<Trust>,
    pub(crate) socket_mode: u32,
    /// The TLS of all TCP listeners without their own.
    pub(crate) tls: Option<ServerTlsConfig>,
    /// The operator's options of TLS. They take precedence over `tls`.
    pub(crate) tls_options: TlsOptions,
    /// The background tasks, and the work at the stop.
    pub(crate) background: Background,
    /// The lame duck time that an operator has set; it may be 0.
    pub(crate) lame_duck: Option<Duration>,
    /// Read when the server starts; takes precedence over the identity keys of the program.
    pub(crate) identity_file: Option<PathBuf>,
    pub(crate) flags_file: Option<PathBuf>,
    /// Whether the options on the command line begin with `--rpc-`.
    pub(crate) prefixed_options: bool,
    /// The options that have set these values, for error messages.
    pub(crate) flags_file_option: Option<&'static str>,
    pub(crate) environment_option: Option<&'static str>,
    pub(crate) instance_option: Option<&'static str>,
    /// The first error of setting a flag; the start of the server returns it.
    pub(crate) flags_refused: Option<Error>,
    pub(crate) log_format: LogFormat,
    pub(crate) log_exporter: Option<LogExporterBuilder>,
    /// The operator's options of the log export. They take precedence over `log_exporter`.
    pub(crate) log_export_options: LogExportOptions,
    pub(crate) trace_exporter: Option<TraceExporterBuilder>,
    /// The operator's options of the export of traces.
    pub(crate) trace_options: TraceOptions,
    /// The log of the process, if it was started before `run`.
    pub(crate) log: Option<Result<ProcessLog>>,
}

/// The options `--tls-cert`, `--tls-key`, `--tls-client-ca` and `--tls-listeners`.
#[derive(Debug, Default)]
pub(crate) struct TlsOptions {
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    pub(crate) client_ca: Option<PathBuf>,
    pub(crate) listeners: Option<TlsListeners>,
    /// Whether the options on the command line begin with `--rpc-`.
    pub(crate) prefixed: bool,
}

impl TlsOptions {
    /// Returns whether a listener without its own TLS has that of the options, if there is one.
    pub(crate) fn include(listeners: TlsListeners, trust: Trust) -> bool {
        match listeners {
            TlsListeners::All => true,
            TlsListeners::Edge => trust == Trust::Edge,
            TlsListeners::Internal => trust == Trust::Internal,
        }
    }

    /// Returns the option that errors of TLS files name.
    pub(crate) fn certificate_option(&self) -> &'static str {
        option_name!(self.prefixed, "tls-cert (RPC_TLS_CERT)")
    }

    /// Returns the TLS that the options describe; `None` without options.
    ///
    /// # Errors
    ///
    /// `invalid_argument` for options that need another one, `unimplemented` without the feature
    /// `tls`.
    pub(crate) fn config(self) -> Result<Option<ServerTlsConfig>> {
        let prefixed = self.prefixed;
        let certificate_option = self.certificate_option();
        let missing = |option: &str, other: &'static str| {
            let text =
                format!("{option} is missing: a TLS listener needs a certificate and its key");
            Err(Error::without_location(Code::InvalidArgument, text).caused_by_option(other))
        };
        let certificate_name = option_name!(prefixed, "tls-cert");
        match (self.certificate, self.key, self.client_ca) {
            (None, None, None) if self.listeners.is_some() => missing(
                certificate_name,
                option_name!(prefixed, "tls-listeners (RPC_TLS_LISTENERS)"),
            ),
            (None, None, None) => Ok(None),
            (Some(certificate), Some(key), client_ca) => {
                let config = tls::from_options(certificate, key, client_ca);
                config
                    .map(Some)
                    .map_err(|error| error.caused_by_option(certificate_option))
            }
            (Some(_), None, _) => missing(option_name!(prefixed, "tls-key"), certificate_option),
            (None, Some(_), _) => missing(
                certificate_name,
                option_name!(prefixed, "tls-key (RPC_TLS_KEY)"),
            ),
            (None, None, Some(_)) => missing(
                certificate_name,
                option_name!(prefixed, "tls-client-ca (RPC_TLS_CLIENT_CA)"),
            ),
        }
    }
}

impl Default for ProcessConfig {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            replaced: Vec::new(),
            takes_all_sockets: false,
            trust: None,
            socket_mode: SOCKET_MODE,
            tls: None,
            tls_options: TlsOptions::default(),
            background: Background::default(),
            lame_duck: None,
            identity_file: None,
            flags_file: None,
            prefixed_options: false,
            flags_file_option: None,
            environment_option: None,
            instance_option: None,
            flags_refused: None,
            log_format: LogFormat::default(),
            log_exporter: None,
            log_export_options: LogExportOptions::default(),
            trace_exporter: None,
            trace_options: TraceOptions::default(),
            log: None,
        }
    }
}

impl ProcessConfig {
    /// Starts the log with the format and the export of this configuration.
    pub(crate) fn start_log(&mut self) -> Result<ProcessLog> {
        let exporter = self.log_exporter.take();
        let traces = self.trace_options.apply(self.trace_exporter.take())?;
        log::start_log(self.log_format, &self.log_export_options, exporter, traces)
    }
}

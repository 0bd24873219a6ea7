//! The configuration of a server as a process.

use std::path::PathBuf;
use std::time::Duration;

use super::log::{self, LogFormat, ProcessLog};
use crate::error::{Error, Result};
use crate::logs::{LogExportOptions, LogExporterBuilder};
use crate::server::Trust;
use crate::server::transport::listen::SOCKET_MODE;

/// The settings that only starting and running a server use: addresses, files and the log.
pub(crate) struct ProcessConfig {
    /// The addresses to bind.
    pub(crate) listen: Vec<ListenAddress>,
    /// Whether the server is the only one of its process, so that every inherited socket is meant
    /// for it.
    pub(crate) takes_all_sockets: bool,
    /// The trust of a listener of the program and of a router.
    pub(crate) trust: Option<Trust>,
    pub(crate) socket_mode: u32,
    /// The lame duck time that an operator has set; it may be 0.
    pub(crate) lame_duck: Option<Duration>,
    /// Read when the server starts; takes precedence over the identity keys of the program.
    pub(crate) identity_file: Option<PathBuf>,
    pub(crate) flags_file: Option<PathBuf>,
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
    /// The log of the process, if it was started before `run`.
    pub(crate) log: Option<Result<ProcessLog>>,
}

/// An address to bind.
#[derive(Debug)]
pub(crate) struct ListenAddress {
    pub(crate) address: String,
    pub(crate) trust: Trust,
    /// The option that has set it, for error messages.
    pub(crate) option: Option<&'static str>,
}

impl Default for ProcessConfig {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            takes_all_sockets: false,
            trust: None,
            socket_mode: SOCKET_MODE,
            lame_duck: None,
            identity_file: None,
            flags_file: None,
            flags_file_option: None,
            environment_option: None,
            instance_option: None,
            flags_refused: None,
            log_format: LogFormat::default(),
            log_exporter: None,
            log_export_options: LogExportOptions::default(),
            log: None,
        }
    }
}

impl ProcessConfig {
    /// Starts the log with the format and the export of this configuration.
    pub(crate) fn start_log(&mut self) -> Result<ProcessLog> {
        let exporter = self.log_exporter.take();
        log::start_log(self.log_format, &self.log_export_options, exporter)
    }
}

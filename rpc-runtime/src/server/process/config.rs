//! The configuration of a server as a process.

use std::path::PathBuf;

use super::log::{self, LogFormat, ProcessLog};
use crate::error::{Error, Result};
use crate::logs::{LogExportOptions, LogExporterBuilder};
use crate::server::Trust;
use crate::server::transport::listen::SOCKET_MODE;

/// The settings that only starting and running a server use: addresses, files and the log.
pub(crate) struct ProcessConfig {
    /// The addresses to bind.
    pub(crate) listen: Vec<(String, Trust)>,
    /// Whether the server is the only one of its process, so that every inherited socket is meant
    /// for it.
    pub(crate) takes_all_sockets: bool,
    /// The trust of a listener of the program and of a router.
    pub(crate) trust: Option<Trust>,
    pub(crate) socket_mode: u32,
    /// Read when the server starts; takes precedence over the identity keys of the program.
    pub(crate) identity_file: Option<PathBuf>,
    pub(crate) flags_file: Option<PathBuf>,
    /// The first error of setting a flag; the start of the server returns it.
    pub(crate) flags_refused: Option<Error>,
    pub(crate) log_format: LogFormat,
    pub(crate) log_exporter: Option<LogExporterBuilder>,
    /// The operator's options of the log export. They take precedence over `log_exporter`.
    pub(crate) log_export_options: LogExportOptions,
    /// The log of the process, if it was started before `run`.
    pub(crate) log: Option<Result<ProcessLog>>,
}

impl Default for ProcessConfig {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            takes_all_sockets: false,
            trust: None,
            socket_mode: SOCKET_MODE,
            identity_file: None,
            flags_file: None,
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

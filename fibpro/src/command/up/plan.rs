//! Addresses and options of each service, decided before the start.

use std::env;
use std::ffi::OsString;
use std::path::{self, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Parser as _;
use fibpro::endpoints::{BASE_PORT, SERVICES, variable_of};
use fibpro::service::userstore::Database;
use rpc_runtime::{Limits, LogFilter, Secret, ServerOptions};

use super::UpOptions;
use super::data::DataDir;
use super::replicas::Replicas;

/// Returns the services in the order of their start.
pub(super) fn start_order() -> impl DoubleEndedIterator<Item = &'static str> {
    SERVICES.into_iter().map(|service| service.name)
}

/// Returns the offset of a listener from the base port.
fn port_offset(listener: &str) -> Option<u16> {
    let mut services = SERVICES.iter();
    let port = match listener {
        OPERATOR => services.find_map(|service| service.operator_port),
        name => services
            .find(|service| service.name == name)
            .map(|service| service.port),
    };
    port.map(|port| port - BASE_PORT)
}

/// Name of the service whose first listener is an edge.
const SHOP: &str = "gatekeeper";

/// Name of the gatekeeper's operator listener among the addresses.
pub(super) const OPERATOR: &str = "operator";

/// The settings that are known before any service runs.
#[derive(Debug)]
pub(super) struct SystemPlan {
    base_port: u16,
    /// Whether the internal listeners are Unix sockets.
    unix: bool,
    replicas: Vec<Replicas>,
    /// Time for each process to stop.
    pub(super) stop_timeout: Duration,
    pub(super) data: DataDir,
    pub(super) users: Option<PathBuf>,
    database: Option<Secret<String>>,
    /// `RUST_LOG`.
    pub(super) stderr_filter: LogFilter,
}

impl SystemPlan {
    pub(super) fn new(options: &UpOptions) -> Result<Self, String> {
        // SQLite takes names of files as UTF-8 only.
        if options.data_dir.to_str().is_none() {
            let folder = options.data_dir.display();
            return Err(format!(
                "the path of the data folder (`--data-dir`) must be UTF-8: {folder}"
            ));
        }
        let folder = path::absolute(&options.data_dir).unwrap_or_default();
        // A comma separates the addresses of an option.
        if options.unix && folder.to_str().is_none_or(|folder| folder.contains(',')) {
            let folder = folder.display();
            return Err(format!(
                "`--unix` needs a data folder (`--data-dir`) whose path is UTF-8 without commas: {folder}"
            ));
        }
        Replicas::check(&options.replicas)?;
        Ok(Self {
            base_port: options.base_port,
            unix: options.unix,
            replicas: options.replicas.clone(),
            stop_timeout: stop_timeout(options.stop_timeout),
            data: DataDir::prepare(&options.data_dir)?,
            users: options.users.clone(),
            database: options.database.clone(),
            stderr_filter: LogFilter::from_environment("error"),
        })
    }

    /// Returns whether the users are those of the tutorial with their initial credit, as far as the
    /// folder shows.
    pub(super) fn is_first_start(&self) -> bool {
        self.data.is_new() && self.users.is_none() && self.database.is_none()
    }

    /// Returns whether all addresses are the defaults of the tools.
    pub(super) fn has_usual_addresses(&self) -> bool {
        self.base_port == BASE_PORT && !self.unix && !Replicas::are_several(&self.replicas)
    }

    /// Returns the names of the replicas of a service: that of the service is the first.
    pub(super) fn replicas(&self, service: &str) -> impl Iterator<Item = Arc<str>> {
        Replicas::names(&self.replicas, service)
    }

    /// Returns the address of a listener: a replica, or [`OPERATOR`].
    pub(super) fn address(&self, listener: &str) -> String {
        // The shop is for callers of other hosts.
        if self.unix && listener != SHOP {
            let name = if listener == OPERATOR { SHOP } else { listener };
            let socket = self.data.file(&format!("{name}.sock"));
            // Without a current folder the path stays relative, and binding it is an error.
            let socket = path::absolute(&socket).unwrap_or(socket);
            return format!("unix:{}", socket.display());
        }
        let port = match (self.base_port, port_offset(listener)) {
            // Port 0 selects a free port, also for replicas after the first.
            (0, _) | (_, None) => 0,
            (base, Some(offset)) => base + offset,
        };
        format!("127.0.0.1:{port}")
    }

    /// Returns the options of a service except its addresses.
    pub(super) fn arguments(&self, service: &str, urls: &ServiceUrls) -> Vec<OsString> {
        let mut arguments = vec![
            "--identity-key-file".into(),
            self.data.identity_key().into(),
        ];
        match service {
            "logsink" => {
                arguments.extend(["--store".into(), self.data.file("logs.sqlite").into()]);
            }
            "userstore" => {
                if let Some(users) = &self.users {
                    arguments.extend(["--users".into(), users.into()]);
                }
            }
            _ => {}
        }
        let spec = SERVICES.iter().find(|spec| spec.name == service);
        for peer in spec.map_or(&[][..], |spec| spec.calls) {
            for url in urls.all(peer) {
                arguments.extend(["--endpoint".into(), format!("{peer}={url}").into()]);
            }
        }
        arguments
    }

    /// Returns the database URL. It may contain a password, so it is never passed on a command
    /// line.
    pub(super) fn database(&self) -> OsString {
        match &self.database {
            Some(url) => url.expose().into(),
            None => Database::file_url(&self.data.file("users.sqlite")).into(),
        }
    }
}

/// Returns the variables of services that are set, and for which `up` has its own values.
pub(super) fn ignored_variables() -> Vec<String> {
    let endpoints = SERVICES.iter().map(|service| variable_of(service.name));
    [
        "RPC_LISTEN",
        "RPC_LISTEN_EDGE",
        "RPC_INSTANCE",
        "RPC_LOGSINK",
        "RPC_LOG_SPOOL",
        "RPC_IDENTITY_KEY_FILE",
        "FIBPRO_OPERATOR",
        "LOGSINK_STORE",
    ]
    .map(str::to_owned)
    .into_iter()
    .chain(endpoints)
    .filter(|variable| env::var_os(variable).is_some_and(|value| !value.is_empty()))
    .collect()
}

/// The URLs of all services.
#[derive(Debug, Default)]
pub(super) struct ServiceUrls(Vec<(&'static str, String)>);

impl ServiceUrls {
    /// Adds a listener: a service, or [`OPERATOR`].
    pub(super) fn add(&mut self, listener: &'static str, url: String) {
        self.0.push((listener, url));
    }

    /// Returns the URL of a listener; empty if there is none. Of several replicas it is the first.
    pub(super) fn of(&self, listener: &str) -> &str {
        self.all(listener).next().unwrap_or_default()
    }

    /// Returns the URLs of all replicas of a service.
    pub(super) fn all(&self, listener: &str) -> impl Iterator<Item = &str> {
        let known = self.0.iter().filter(move |known| known.0 == listener);
        known.map(|known| known.1.as_str())
    }
}

/// Time for a process to deliver its last log records, write its last lines and exit, after its
/// calls are done.
const STOP_MARGIN: Duration = Duration::from_secs(15);

/// Returns the time for each process to stop: as configured, or the drain time of a server and a
/// margin.
fn stop_timeout(seconds: Option<u64>) -> Duration {
    /// The options of a service, with the variables that it inherits.
    #[derive(clap::Parser)]
    struct Inherited {
        #[command(flatten)]
        server: ServerOptions,
    }

    if let Some(seconds) = seconds {
        return Duration::from_secs(seconds);
    }
    let limits = Limits::default();
    // A service reports an invalid variable.
    let inherited = Inherited::try_parse_from(["service"]).ok();
    let lame_duck = inherited.and_then(|options| options.server.lame_duck);
    let lame_duck = lame_duck.unwrap_or(limits.lame_duck);
    lame_duck.saturating_add(limits.drain_timeout + STOP_MARGIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_as_pinned() {
        let mut ports = String::new();
        for listener in start_order().chain([OPERATOR]) {
            let offset = port_offset(listener).unwrap();
            ports.push_str(&format!("{listener} {}\n", 9000 + offset));
        }
        let expected = "logsink 9002\nuserstore 9003\npricing 9004\ncompute_worker 9005\ncontroller 9006\n\
             gatekeeper 9001\noperator 9011\n";
        assert_eq!(ports, expected);
    }
}

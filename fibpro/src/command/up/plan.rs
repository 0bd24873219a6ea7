//! Addresses and options of each service, decided before the start.

use std::ffi::OsString;
use std::path::PathBuf;

use fibpro::endpoints::{BASE_PORT, SERVICES};
use rpc_runtime::Secret;

use super::UpOptions;
use super::data::DataDir;

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

/// Name of the gatekeeper's operator listener among the addresses.
pub(super) const OPERATOR: &str = "operator";

/// The settings that are known before any service runs.
#[derive(Debug)]
pub(super) struct Plan {
    base_port: u16,
    pub(super) data: DataDir,
    pub(super) users: Option<PathBuf>,
    database: Option<Secret<String>>,
}

impl Plan {
    pub(super) fn new(options: &UpOptions) -> Result<Self, String> {
        Ok(Self {
            base_port: options.base_port,
            data: DataDir::prepare(&options.data_dir)?,
            users: options.users.clone(),
            database: options.database.clone(),
        })
    }

    /// Returns whether the users are those of the tutorial with their initial credit, as far as the
    /// folder shows.
    pub(super) fn is_first_start(&self) -> bool {
        self.data.is_new() && self.users.is_none() && self.database.is_none()
    }

    /// Returns whether all ports are the defaults of the tools.
    pub(super) fn has_usual_ports(&self) -> bool {
        self.base_port == BASE_PORT
    }

    /// Returns the listen address of a service.
    pub(super) fn address(&self, listener: &str) -> String {
        let port = match (self.base_port, port_offset(listener)) {
            // Port 0 selects a free port.
            (0, _) | (_, None) => 0,
            (base, Some(offset)) => base + offset,
        };
        format!("127.0.0.1:{port}")
    }

    /// Returns the options of a service except its addresses, given the URLs of the services before
    /// it.
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
            let url = urls.of(peer);
            arguments.extend(["--endpoint".into(), format!("{peer}={url}").into()]);
        }
        arguments
    }

    /// Returns the database URL. It may contain a password, so it is never passed on a command
    /// line.
    pub(super) fn database(&self) -> OsString {
        match &self.database {
            Some(url) => url.expose().into(),
            None => {
                let mut url = OsString::from("sqlite://");
                url.push(self.data.file("users.sqlite"));
                url
            }
        }
    }
}

/// The URLs of the services that run.
#[derive(Debug, Default)]
pub(super) struct ServiceUrls(Vec<(&'static str, String)>);

impl ServiceUrls {
    /// Adds the listeners of a service; the gatekeeper has two.
    pub(super) fn add(&mut self, service: &'static str, urls: Vec<String>) {
        let names = [service, OPERATOR];
        self.0.extend(names.into_iter().zip(urls));
    }

    /// Returns the URL of a service; empty if it does not run.
    pub(super) fn of(&self, service: &str) -> &str {
        let known = self.0.iter().find(|known| known.0 == service);
        known.map_or("", |known| &known.1)
    }
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

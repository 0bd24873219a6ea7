//! Addresses of the other services: by option, by environment variable, or by default.

use std::env;
use std::path::PathBuf;

use clap::builder::PathBufValueParser;
use rpc_runtime::env_option::{masked_url, named, variable};
use rpc_runtime::{Client, ClientBuilder, ClientTlsConfig, Code, Error, Result};

/// First port of the default addresses.
pub const BASE_PORT: u16 = 9000;

/// A service of FibPro: its default ports and the services that it calls.
#[derive(Debug)]
pub struct ServiceSpec {
    /// Name of the service, of its endpoint and of its program.
    pub name: &'static str,
    /// Default port of its first listener.
    pub port: u16,
    /// Default port of its operator listener, if the first one is an edge listener.
    pub operator_port: Option<u16>,
    /// Names of the services that it calls.
    pub calls: &'static [&'static str],
}

impl ServiceSpec {
    const fn new(name: &'static str, port: u16, calls: &'static [&'static str]) -> Self {
        Self {
            name,
            port,
            operator_port: None,
            calls,
        }
    }

    /// Returns the port that other services and tools call: never an edge listener.
    #[must_use]
    pub fn internal_port(&self) -> u16 {
        self.operator_port.unwrap_or(self.port)
    }

    /// Returns the default address of its first listener.
    pub(crate) fn listen_address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Returns the default address that other services and tools call.
    pub(crate) fn internal_address(&self) -> String {
        format!("127.0.0.1:{}", self.internal_port())
    }
}

pub(crate) const LOGSINK: ServiceSpec = ServiceSpec::new("logsink", 9002, &[]);
pub(crate) const USERSTORE: ServiceSpec = ServiceSpec::new("userstore", 9003, &[]);
pub(crate) const PRICING: ServiceSpec = ServiceSpec::new("pricing", 9004, &["userstore"]);
pub(crate) const COMPUTE_WORKER: ServiceSpec = ServiceSpec::new("compute_worker", 9005, &[]);
pub(crate) const CONTROLLER: ServiceSpec =
    ServiceSpec::new("controller", 9006, &["pricing", "compute_worker"]);
pub(crate) const GATEKEEPER: ServiceSpec = ServiceSpec {
    operator_port: Some(9011),
    ..ServiceSpec::new("gatekeeper", 9001, &["userstore", "controller"])
};

/// All services in the order of their start: each calls only those before it.
pub const SERVICES: [ServiceSpec; 6] = [
    LOGSINK,
    USERSTORE,
    PRICING,
    COMPUTE_WORKER,
    CONTROLLER,
    GATEKEEPER,
];

/// The addresses of other services, as options of a program.
///
/// `--endpoint NAME=URL` comes first, then the variable `FIBPRO_ENDPOINT_NAME` in capitals, then
/// the service's default port on 127.0.0.1.
#[derive(Debug, Clone, Default, clap::Args)]
#[group(skip)]
pub struct Endpoints {
    /// URL of another service, such as `pricing=http://127.0.0.1:9004`; may be repeated, also for
    /// several replicas of one service [env: FIBPRO_ENDPOINT_PRICING and so on]
    #[arg(long = "endpoint", value_name = "NAME=URL", value_parser = masked_url(Endpoint::parse))]
    endpoints: Vec<Endpoint>,

    /// PEM file with the certificate authorities of services at `https` addresses, instead of those
    /// of this system
    #[arg(long = "endpoint-ca", env = variable("FIBPRO_ENDPOINT_CA"), value_name = "FILE", value_parser = named(PathBufValueParser::new()))]
    authorities: Option<PathBuf>,
}

/// One address of a service.
#[derive(Debug, Clone)]
struct Endpoint {
    service: &'static str,
    url: String,
}

impl Endpoint {
    fn parse(text: &str) -> Result<Self, String> {
        let (name, url) = text
            .split_once('=')
            .ok_or("expected NAME=URL, such as pricing=http://127.0.0.1:9004")?;
        let Some(service) = SERVICES.iter().find(|service| service.name == name) else {
            let names = SERVICES.map(|service| service.name);
            return Err(format!(
                "unknown service; expected one of {}",
                names.join(", ")
            ));
        };
        match Client::new(url) {
            // Others are about the authorities of this system, which may not count.
            Err(error) if error.code() == Code::InvalidArgument => {
                return Err(error.message().to_owned());
            }
            _ => {}
        }
        Ok(Self {
            service: service.name,
            url: url.to_owned(),
        })
    }
}

impl Endpoints {
    /// Returns the addresses of a service.
    ///
    /// Several addresses (comma-separated in the environment) are replicas of one service.
    #[must_use]
    pub fn urls(&self, service: &str) -> Vec<String> {
        // A value that is not Unicode is not a valid URL, and is refused as such.
        self.urls_with(service, |variable| {
            env::var_os(variable).map(|value| value.to_string_lossy().into_owned())
        })
    }

    fn urls_with(&self, service: &str, variable: impl Fn(&str) -> Option<String>) -> Vec<String> {
        let given = self
            .endpoints
            .iter()
            .filter(|endpoint| endpoint.service == service);
        let given: Vec<_> = given.map(|endpoint| endpoint.url.clone()).collect();
        if !given.is_empty() {
            return given;
        }
        let set = variable(&variable_of(service)).filter(|urls| !urls.is_empty());
        if let Some(urls) = set {
            return urls.split(',').map(|url| url.trim().to_owned()).collect();
        }
        let ports = SERVICES.iter().filter(|known| known.name == service);
        ports
            .map(|known| format!("http://{}", known.internal_address()))
            .collect()
    }

    /// Returns a client of a service.
    ///
    /// # Errors
    ///
    /// `invalid_argument` for a variable whose value is not a URL, with the variable's name, and
    /// for authorities that cannot be used.
    pub fn client(&self, service: &str) -> Result<Client> {
        self.connect(self.urls(service)).map_err(|error| {
            let text = format!(
                "the address of {service} ({}): {}",
                variable_of(service),
                error.message()
            );
            Error::new(Code::InvalidArgument, text)
        })
    }

    /// Returns a client of these URLs, which are replicas of one service. It trusts the authorities
    /// of `--endpoint-ca`.
    ///
    /// # Errors
    ///
    /// For an invalid URL, and for authorities that cannot be used.
    pub fn connect(&self, urls: impl IntoIterator<Item = String>) -> Result<Client> {
        let client = urls.into_iter().fold(Client::builder(), ClientBuilder::url);
        match &self.authorities {
            None => client,
            Some(file) => client.tls(ClientTlsConfig::new().root_certificates(file)),
        }
        .build()
    }

    /// Returns all services with their addresses, for tools.
    ///
    /// # Errors
    ///
    /// As for [`client`](Self::client).
    pub fn all(&self) -> Result<Vec<(&'static str, Vec<String>)>> {
        let names = SERVICES.iter().map(|service| service.name);
        names
            .map(|name| self.client(name).map(|_| (name, self.urls(name))))
            .collect()
    }
}

/// Returns the name of the variable with the addresses of a service.
#[must_use]
pub fn variable_of(service: &str) -> String {
    format!("FIBPRO_ENDPOINT_{}", service.to_uppercase())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Program {
        #[command(flatten)]
        endpoints: Endpoints,
    }

    fn parse(arguments: &[&str]) -> Result<Endpoints, String> {
        Program::try_parse_from(["program"].iter().chain(arguments))
            .map(|program| program.endpoints)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn options_override_variables_and_defaults() {
        let endpoints = parse(&[
            "--endpoint=pricing=http://a:1",
            "--endpoint",
            "pricing=unix:/b",
        ])
        .unwrap();
        let variable = |name: &str| match name {
            "FIBPRO_ENDPOINT_PRICING" => Some("http://c:3".to_owned()),
            "FIBPRO_ENDPOINT_COMPUTE_WORKER" => Some("http://d:4, http://e:5".to_owned()),
            "FIBPRO_ENDPOINT_CONTROLLER" => Some(String::new()),
            _ => None,
        };
        let urls = |service| endpoints.urls_with(service, variable);
        assert_eq!(urls("pricing"), ["http://a:1", "unix:/b"]);
        assert_eq!(urls("compute_worker"), ["http://d:4", "http://e:5"]);
        assert_eq!(urls("controller"), ["http://127.0.0.1:9006"]);
        assert_eq!(urls("userstore"), ["http://127.0.0.1:9003"]);
        assert_eq!(urls("nobody"), [""; 0]);
    }

    #[test]
    fn an_invalid_endpoint_is_refused_with_advice() {
        for (argument, words) in [
            ("pricing", "expected NAME=URL"),
            (
                "prices=http://a:1",
                "expected one of logsink, userstore, pricing, compute_worker, controller, gatekeeper",
            ),
            ("pricing=localhost:1", "the scheme is missing"),
            ("pricing=", "pricing="),
            ("pricing=http://admin:canary@a:1", "credentials"),
            ("pricing=http://a:1/?token=canary", "a query"),
            ("http://a:1#canary", "expected NAME=URL"),
        ] {
            let refused = parse(&["--endpoint", argument]).unwrap_err();
            assert!(refused.contains(words), "{argument}: {refused}");
            assert!(!refused.contains("canary"), "{refused}");
        }
    }
}

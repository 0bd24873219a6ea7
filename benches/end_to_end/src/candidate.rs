//! The measured combinations of a server and a client.

use std::fmt;
use std::future::pending;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use bench_work::{EchoClient, EchoServer, Handlers, NAME, RECORDS, Record};
use clap::ValueEnum;
use rpc_runtime::{
    ClientTlsConfig, Context, IdentityKeys, Limits, ListenOptions, Principal, RetryPolicy, Server,
};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use crate::{Result, baseline, tls};

/// A server and a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Candidate {
    /// Hand-written axum and reqwest; by default the others are compared with it.
    Baseline,
    /// The framework with its defaults.
    Rpc,
    /// The same with a subscriber that formats one line per call.
    RpcLogged,
    /// The framework's server with the reqwest client.
    RpcServer,
    /// The framework's client with the axum server.
    RpcClient,
    /// The framework without a socket, in the process of the client.
    Local,
    /// The framework with every optional part disabled.
    RpcOff,
    /// The framework with signed calls.
    RpcSigned,
    /// The same for a user of 200 bytes.
    RpcUser,
    /// The framework over HTTP/2.
    RpcHttp2,
    /// The framework over TLS, which negotiates HTTP/2.
    RpcTls,
    /// The same over HTTP/1.1.
    RpcTlsHttp1,
    /// Axum and reqwest over TLS with rustls, which negotiate HTTP/2.
    AxumTls,
    /// The same over HTTP/1.1.
    AxumTlsHttp1,
}

impl Candidate {
    /// The candidates of the default table.
    pub(crate) const USUAL: [Self; 6] = [
        Self::Baseline,
        Self::Rpc,
        Self::RpcLogged,
        Self::RpcServer,
        Self::RpcClient,
        Self::Local,
    ];

    /// Returns the name in the table.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Baseline => "axum + reqwest, hand-written",
            Self::Rpc => "**rpc-runtime**",
            Self::RpcLogged => "rpc-runtime, log lines formatted",
            Self::RpcServer => "rpc-runtime's server, reqwest",
            Self::RpcClient => "axum, rpc-runtime's client",
            Self::Local => "rpc-runtime in process",
            Self::RpcOff => "rpc-runtime, all off",
            Self::RpcSigned => "rpc-runtime, signed",
            Self::RpcUser => "rpc-runtime, signed, with a user",
            Self::RpcHttp2 => "rpc-runtime, HTTP/2",
            Self::RpcTls => "rpc-runtime, TLS, HTTP/2",
            Self::RpcTlsHttp1 => "rpc-runtime, TLS, HTTP/1.1",
            Self::AxumTls => "axum + reqwest, TLS, HTTP/2",
            Self::AxumTlsHttp1 => "axum + reqwest, TLS, HTTP/1.1",
        }
    }

    pub(crate) fn has_tls(self) -> bool {
        matches!(
            self,
            Self::RpcTls | Self::RpcTlsHttp1 | Self::AxumTls | Self::AxumTlsHttp1
        )
    }

    /// Serves until standard input is closed, so that no server outlives the harness.
    ///
    /// `certificate` is the folder of the certificate, for those with TLS.
    pub(crate) async fn serve(self, certificate: &Path) -> Result<()> {
        self.subscribe();
        std::thread::spawn(|| {
            // The harness writes nothing; the pipe closes when the harness exits.
            let _ = std::io::stdin().read(&mut [0]);
            std::process::exit(0);
        });
        if let Self::RpcTls | Self::RpcTlsHttp1 = self {
            return serve_tls(certificate).await;
        }
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
        match self {
            Self::Baseline | Self::RpcClient => baseline::serve(listener).await,
            Self::Rpc | Self::RpcLogged | Self::RpcServer | Self::RpcHttp2 | Self::Local => {
                Ok(server().serve(listener, pending()).await?)
            }
            Self::RpcOff => {
                let server = server().without_observers().limits(without_limits());
                Ok(server.serve(listener, pending()).await?)
            }
            Self::RpcSigned | Self::RpcUser => {
                let server = server().identity(keys()?);
                Ok(server.serve(listener, pending()).await?)
            }
            Self::AxumTls | Self::AxumTlsHttp1 => {
                tls::serve(listener, baseline::router(), certificate).await
            }
            Self::RpcTls | Self::RpcTlsHttp1 => Ok(()),
        }
    }

    pub(crate) fn client(self, address: &str, certificate: &Path) -> Result<Client> {
        self.subscribe();
        let scheme = if self.has_tls() { "https" } else { "http" };
        let url = format!("{scheme}://{address}");
        Ok(match self {
            Self::Baseline | Self::RpcServer => Client::Baseline(baseline::Client::new(&url)?),
            Self::Rpc | Self::RpcLogged | Self::RpcClient => {
                Client::Rpc(EchoClient::connect(&url)?)
            }
            Self::Local => Client::Rpc(EchoClient::local(Handlers)),
            Self::RpcOff => {
                let client = rpc_runtime::Client::new(&url)?
                    .without_observers()
                    .retry(RetryPolicy::off())
                    .timeout(Duration::MAX);
                Client::Rpc(EchoClient::with_client(client))
            }
            Self::RpcHttp2 => {
                let client = rpc_runtime::Client::new(&url)?.http2();
                Client::Rpc(EchoClient::with_client(client))
            }
            Self::RpcSigned | Self::RpcUser => {
                let client = rpc_runtime::Client::new(&url)?.identity(keys()?);
                Client::Rpc(EchoClient::with_client(client.named("bench")?))
            }
            Self::RpcTls => Client::Rpc(tls_client(&url, tls::client(certificate))?),
            Self::RpcTlsHttp1 => Client::Rpc(tls_client(&url, tls::client(certificate).http1())?),
            Self::AxumTls => {
                let options = tls::reqwest_options(certificate)?;
                Client::Baseline(baseline::Client::with_options(&url, options)?)
            }
            Self::AxumTlsHttp1 => {
                let options = tls::reqwest_options(certificate)?.http1_only();
                Client::Baseline(baseline::Client::with_options(&url, options)?)
            }
        })
    }

    /// Returns the context in which the calls are made, as the calls of a handler are.
    pub(crate) fn context(self) -> Result<Option<Context>> {
        Ok(match self {
            Self::RpcSigned => Some(Context::current()),
            Self::RpcUser => Some(Context::current().with_principal(user())?),
            _ => None,
        })
    }

    /// Formats the log of a production service and discards it; writing it is not the framework's
    /// cost.
    fn subscribe(self) {
        if self == Self::RpcLogged {
            tracing_subscriber::fmt()
                .with_ansi(false)
                .with_max_level(tracing_subscriber::filter::LevelFilter::INFO)
                .with_writer(std::io::sink)
                .init();
        }
    }
}

fn server() -> Server {
    Server::new("echo").add(EchoServer::new(Handlers))
}

/// Serves on a TLS listener until the process ends.
async fn serve_tls(certificate: &Path) -> Result<()> {
    let listener = ListenOptions::internal("127.0.0.1:0").tls(tls::server(certificate));
    let bound = server().listen_with(listener).bind().await?;
    for address in bound.addresses() {
        writeln!(std::io::stdout(), "{address}")?;
    }
    bound.serve(pending()).await;
    Ok(())
}

fn tls_client(url: &str, tls: ClientTlsConfig) -> Result<EchoClient> {
    let client = rpc_runtime::Client::builder().url(url).tls(tls).build()?;
    Ok(EchoClient::with_client(client))
}

/// Returns limits that no call reaches. The checks themselves still run.
fn without_limits() -> Limits {
    const NO_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    let mut limits = Limits::default();
    limits.running_calls = usize::MAX;
    limits.connections = usize::MAX;
    limits.first_byte_timeout = NO_TIMEOUT;
    limits.header_timeout = NO_TIMEOUT;
    limits.idle_timeout = NO_TIMEOUT;
    limits.body_timeout = NO_TIMEOUT;
    limits.default_deadline = NO_TIMEOUT;
    limits.deadline_cap = NO_TIMEOUT;
    limits
}

/// Returns a user whose subject, roles and claims have 200 bytes together.
fn user() -> Principal {
    Principal::new("5e884898-da28-4715-b1d0-e56f8dc62927")
        .with_role("customer")
        .with_role("reseller")
        .with_claim("tenant", "t".repeat(60))
        .with_claim("department", "d".repeat(72))
}

/// Returns the key that both processes share.
fn keys() -> Result<IdentityKeys> {
    Ok(IdentityKeys::parse("k1 0123456789abcdef0123456789abcdef")?)
}

/// The measured call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Work {
    /// A request of 16 bytes and a response of 24 bytes.
    Small,
    /// A request of 17 KB and a response of one number.
    Large,
}

/// A client for every server: all use the same JSON.
#[derive(Debug, Clone)]
pub(crate) enum Client {
    Baseline(baseline::Client),
    Rpc(EchoClient),
}

impl Client {
    /// Makes one call and checks its result.
    pub(crate) async fn call(&self, work: Work, records: &[Record]) -> Result<()> {
        let right = match work {
            Work::Small => {
                let text = match self {
                    Self::Baseline(client) => client.greet(NAME).await?,
                    Self::Rpc(client) => client.greet(NAME).await?,
                };
                text.len() == NAME.len() + "Hello, !".len()
            }
            Work::Large => {
                let accepted = match self {
                    Self::Baseline(client) => client.log_batch(records).await?,
                    Self::Rpc(client) => client.log_batch(records).await?,
                };
                accepted as usize == RECORDS
            }
        };
        if right {
            Ok(())
        } else {
            Err("wrong result".into())
        }
    }
}

macro_rules! print_as_on_the_command_line {
    ($($type:ty)*) => {
        $(impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.to_possible_value().as_ref().map_or("", |value| value.get_name()))
            }
        })*
    };
}

print_as_on_the_command_line!(Candidate Work);

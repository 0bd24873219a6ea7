//! Who is measured: which server, which client.

use std::fmt;
use std::future::pending;
use std::io::{Read as _, Write as _};
use std::time::Duration;

use bench_work::{EchoClient, EchoServer, Handlers, NAME, RECORDS, Record};
use clap::ValueEnum;
use rpc_runtime::{IdentityKeys, Limits, RetryPolicy, Server};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use crate::{Result, pair};

/// A server and a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Contestant {
    /// Hand-written, axum and reqwest. Everybody is compared with this one.
    Pair,
    /// The framework, with all that is on by default.
    Rpc,
    /// The same, and a subscriber that formats a line for each call.
    RpcLogged,
    /// Our server under their client.
    RpcServer,
    /// Our client on their server.
    RpcClient,
    /// The framework without a socket, in the client's process.
    Local,
    /// The framework, with all switched off that can be.
    RpcOff,
    /// The framework, with signed calls.
    RpcSigned,
}

impl Contestant {
    /// Those of the table beside the pair. The others are for questions of their own.
    pub(crate) const USUAL: [Self; 6] = [
        Self::Pair,
        Self::Rpc,
        Self::RpcLogged,
        Self::RpcServer,
        Self::RpcClient,
        Self::Local,
    ];

    /// For people.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Pair => "axum + reqwest, hand-written",
            Self::Rpc => "**rpc-runtime**",
            Self::RpcLogged => "rpc-runtime, log lines formatted",
            Self::RpcServer => "rpc-runtime's server, reqwest",
            Self::RpcClient => "axum, rpc-runtime's client",
            Self::Local => "rpc-runtime in process",
            Self::RpcOff => "rpc-runtime, all off",
            Self::RpcSigned => "rpc-runtime, signed",
        }
    }

    /// Serves until standard input ends, so that no server outlives the harness.
    pub(crate) async fn serve(self) -> Result<()> {
        self.subscribe();
        std::thread::spawn(|| {
            // Nothing is ever written to it: it ends, or fails, with the harness.
            let _ = std::io::stdin().read(&mut [0]);
            std::process::exit(0);
        });
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
        match self {
            Self::Pair | Self::RpcClient => pair::serve(listener).await,
            Self::Rpc | Self::RpcLogged | Self::RpcServer | Self::Local => {
                Ok(server().serve(listener, pending()).await?)
            }
            Self::RpcOff => {
                let server = server().without_observers().limits(without_limits());
                Ok(server.serve(listener, pending()).await?)
            }
            Self::RpcSigned => {
                let server = server().identity(keys()?);
                Ok(server.serve(listener, pending()).await?)
            }
        }
    }

    pub(crate) fn client(self, address: &str) -> Result<Client> {
        self.subscribe();
        let url = format!("http://{address}");
        Ok(match self {
            Self::Pair | Self::RpcServer => Client::Pair(pair::Client::new(&url)?),
            Self::Rpc | Self::RpcLogged | Self::RpcClient => {
                Client::Rpc(EchoClient::connect(&url)?)
            }
            Self::Local => Client::Rpc(EchoClient::local(Handlers)),
            Self::RpcOff => {
                let client = rpc_runtime::Client::new(&url)?
                    .without_observers()
                    .without_circuit_breaker()
                    .retry(RetryPolicy::off())
                    .timeout(Duration::MAX);
                Client::Rpc(EchoClient::with_client(client))
            }
            Self::RpcSigned => {
                let client = rpc_runtime::Client::new(&url)?.identity(keys()?);
                Client::Rpc(EchoClient::with_client(client.named("bench")?))
            }
        })
    }

    /// Formats what a service in production logs, and throws it away: where lines go is not the framework's cost.
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

/// Limits that nothing comes near to. What has no limit still has the code that looks for it.
fn without_limits() -> Limits {
    const FOREVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    let mut limits = Limits::default();
    limits.running_calls = usize::MAX;
    limits.connections = usize::MAX;
    limits.first_byte_timeout = FOREVER;
    limits.header_timeout = FOREVER;
    limits.idle_timeout = FOREVER;
    limits.body_timeout = FOREVER;
    limits.default_deadline = FOREVER;
    limits.deadline_cap = FOREVER;
    limits
}

/// A key that both processes know.
fn keys() -> Result<IdentityKeys> {
    Ok(IdentityKeys::parse("k1 0123456789abcdef0123456789abcdef")?)
}

/// Which call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Work {
    /// 16 bytes there, 24 back.
    Small,
    /// 17 KB there, a number back.
    Large,
}

/// A client of any server: both sides speak the same JSON.
#[derive(Debug, Clone)]
pub(crate) enum Client {
    Pair(pair::Client),
    Rpc(EchoClient),
}

impl Client {
    /// Makes one call and checks the answer.
    pub(crate) async fn call(&self, work: Work, records: &[Record]) -> Result<()> {
        let right = match work {
            Work::Small => {
                let text = match self {
                    Self::Pair(client) => client.greet(NAME).await?,
                    Self::Rpc(client) => client.greet(NAME).await?,
                };
                text.len() == NAME.len() + "Hello, !".len()
            }
            Work::Large => {
                let accepted = match self {
                    Self::Pair(client) => client.log_batch(records).await?,
                    Self::Rpc(client) => client.log_batch(records).await?,
                };
                accepted as usize == RECORDS
            }
        };
        if right {
            Ok(())
        } else {
            Err("a wrong answer".into())
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

print_as_on_the_command_line!(Contestant Work);

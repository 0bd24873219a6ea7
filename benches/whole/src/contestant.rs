//! Who is measured: which server, which client.

use std::fmt;
use std::future::pending;
use std::io::{Read as _, Write as _};

use bench_work::{EchoClient, EchoServer, Handlers, NAME, RECORDS, Record};
use clap::ValueEnum;
use rpc_runtime::Server;
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
}

impl Contestant {
    pub(crate) const ALL: [Self; 6] = [
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
                let server = Server::new("echo").add(EchoServer::new(Handlers));
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

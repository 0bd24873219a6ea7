//! Layouts of the services: in one process or in several.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use fibpro::api::compute_worker::{ComputeWorkerClient, ComputeWorkerServer};
use fibpro::api::controller::{ControllerClient, ControllerServer};
use fibpro::api::pricing::{PricingClient, PricingServer};
use fibpro::api::userstore::{UserStoreClient, UserStoreServer};
use fibpro::service::compute_worker::Worker;
use fibpro::service::controller::Seller;
use fibpro::service::gatekeeper::Gatekeeper;
use fibpro::service::pricing::Prices;
use fibpro::service::userstore::{Database, UserList, Users};
use rpc_runtime::{Client, Server, Trust};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use crate::Failure;

/// Start order: each service calls only services before it.
const SERVICES: [&str; 5] = [
    "userstore",
    "pricing",
    "compute_worker",
    "controller",
    "gatekeeper",
];

/// Distribution of the services over processes and sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// One process; only the gatekeeper has a socket.
    Local,
    /// One process; each service has a socket.
    Sockets,
    /// A separate process for each service.
    Processes,
}

impl Layout {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Local => "no sockets",
            Self::Sockets => "one process",
            Self::Processes => "processes",
        }
    }
}

/// All services; they stop when it is dropped.
pub(crate) struct System {
    pub(crate) gatekeeper: SocketAddr,
    _tasks: JoinSet<rpc_runtime::Result<()>>,
    /// Killed on drop; they also exit when this process does.
    _processes: Vec<Child>,
}

impl System {
    pub(crate) async fn start(
        layout: Layout,
        database: &str,
        users: &Path,
    ) -> Result<Self, Failure> {
        let mut dependencies = DependencyClients::default();
        let mut arguments = vec![database.to_owned(), users.display().to_string()];
        let (mut tasks, mut processes) = (JoinSet::new(), Vec::new());
        for name in SERVICES {
            let address = match layout {
                Layout::Local if name != "gatekeeper" => {
                    let server = dependencies.server(name, database, users).await?;
                    dependencies
                        .0
                        .insert(name.to_owned(), server.into_local_client()?);
                    continue;
                }
                Layout::Local | Layout::Sockets => {
                    let server = dependencies.server(name, database, users).await?;
                    let listener = TcpListener::bind("127.0.0.1:0").await?;
                    let address = listener.local_addr()?;
                    tasks.spawn(server.serve(listener, std::future::pending()));
                    address
                }
                Layout::Processes => {
                    let (process, address) = start_process(name, &arguments).await?;
                    processes.push(process);
                    arguments.push(format!("{name}=http://{address}"));
                    address
                }
            };
            let client = Client::new(&format!("http://{address}"))?;
            dependencies.0.insert(name.to_owned(), client);
            if name == "gatekeeper" {
                return Ok(Self {
                    gatekeeper: address,
                    _tasks: tasks,
                    _processes: processes,
                });
            }
        }
        Err("the layout starts no gatekeeper".into())
    }
}

/// Starts this program as one service.
async fn start_process(name: &str, arguments: &[String]) -> Result<(Child, SocketAddr), Failure> {
    let mut process = Command::new(std::env::current_exe()?)
        .args(["service", name])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let stdout = process.stdout.take().ok_or("no stdout")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).await?;
    let address = line.trim().parse();
    let address = address.map_err(|_| format!("{name} did not start: {line:?}"))?;
    Ok((process, address))
}

/// Runs one service: `NAME DATABASE USERS NAME=URL...`. Prints its address, and exits when stdin is
/// closed.
pub(crate) async fn serve(arguments: &[String]) -> Result<(), Failure> {
    let [name, database, users, endpoints @ ..] = arguments else {
        return Err("usage: service NAME DATABASE USERS NAME=URL...".into());
    };
    let mut dependencies = DependencyClients::default();
    for endpoint in endpoints {
        let (name, url) = endpoint.split_once('=').ok_or("expected NAME=URL")?;
        dependencies.0.insert(name.to_owned(), Client::new(url)?);
    }
    let server = dependencies
        .server(name, database, Path::new(users))
        .await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    crate::print_line(&listener.local_addr()?.to_string())?;
    let parent_ends = async {
        let mut nothing = [0];
        // An end or an error of stdin means that the parent has exited.
        let _ = tokio::io::stdin().read(&mut nothing).await;
    };
    Ok(server.serve(listener, parent_ends).await?)
}

/// Clients of the services that run already.
#[derive(Default)]
struct DependencyClients(HashMap<String, Client>);

impl DependencyClients {
    fn client(&self, name: &str) -> Result<Client, Failure> {
        let client = self.0.get(name).cloned();
        client.ok_or_else(|| {
            format!("the service {name} was not started before the services that call it").into()
        })
    }

    async fn server(&self, name: &str, database: &str, users: &Path) -> Result<Server, Failure> {
        let server = Server::new(name);
        Ok(match name {
            "userstore" => {
                let database: Database = database.parse()?;
                let users = Users::open(&database, UserList::read(users)?).await?;
                server.add(UserStoreServer::new(users))
            }
            "pricing" => {
                let users = UserStoreClient::with_client(self.client("userstore")?);
                server.add(PricingServer::new(Prices::new(users)))
            }
            "compute_worker" => server.add(ComputeWorkerServer::new(Worker::new())),
            "controller" => {
                let pricing = PricingClient::with_client(self.client("pricing")?);
                let worker = ComputeWorkerClient::with_client(self.client("compute_worker")?);
                server.add(ControllerServer::new(Seller::new(pricing, worker)))
            }
            "gatekeeper" => {
                let users = UserStoreClient::with_client(self.client("userstore")?);
                let controller = ControllerClient::with_client(self.client("controller")?);
                let routes = Gatekeeper::new(users, controller).into_routes();
                server.trust(Trust::Edge).http(routes)
            }
            _ => return Err(format!("unknown service {name}").into()),
        })
    }
}

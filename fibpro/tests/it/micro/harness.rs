//! All services, wired in process.

use std::time::Duration;

use fibpro::api::compute_worker::{ComputeWorker, ComputeWorkerClient, ComputeWorkerServer};
use fibpro::api::controller::{ControllerClient, ControllerServer};
use fibpro::api::pricing::{PricingClient, PricingServer};
use fibpro::api::userstore::{LedgerEntry, UserStoreClient, UserStoreServer};
use fibpro::service::compute_worker::Worker;
use fibpro::service::controller::Seller;
use fibpro::service::gatekeeper::Gatekeeper;
use fibpro::service::pricing::Prices;
use fibpro::service::userstore::{Argon2Cost, Database, Settings, UserList, Users};
use rpc_runtime::Service;
use rpc_runtime::axum::Router;
use rpc_runtime::axum::body::{Body, to_bytes};
use rpc_runtime::axum::http::{HeaderMap, Request};
use rpc_runtime::{Client, Limits, Server, Trust};
use tower::ServiceExt as _;

use crate::system::LOGIN;
use crate::userstore::fixture::{Folder, audit};

/// The services, running until dropped.
pub(crate) struct FibPro {
    pub(crate) users: UserStoreClient,
    pub(crate) pricing: PricingClient,
    pub(crate) worker: ComputeWorkerClient,
    pub(crate) controller: ControllerClient,
    /// The gatekeeper's router with edge trust.
    edge: Router,
    /// The gatekeeper's router with internal trust: it accepts fault plans, and its deadline is two
    /// seconds.
    inside: Router,
    database: Database,
    _folder: Folder,
}

impl FibPro {
    /// Starts the services with one user, `username`/`password`, who has this credit.
    pub(crate) async fn start(credit: u64) -> Self {
        Self::with_worker(credit, Worker::new()).await
    }

    /// Starts the services with another compute worker.
    pub(crate) async fn with_worker(credit: u64, worker: impl ComputeWorker) -> Self {
        let folder = Folder::new();
        let database = Database::file(folder.file("users.sqlite"));
        let list =
            format!(r#"[{{"username": "username", "password": "password", "credit": {credit}}}]"#);
        let settings = Settings {
            // Hashes at production cost would slow each test down.
            cost: Argon2Cost::TEST,
            ..Settings::default()
        };
        let list = UserList::parse(&list).unwrap();
        let users = Users::open_with(&database, list, settings).await.unwrap();

        let users = UserStoreClient::with_client(local("userstore", UserStoreServer::new(users)));
        let prices = PricingServer::new(Prices::new(users.clone()));
        let pricing = PricingClient::with_client(local("pricing", prices));
        let worker = ComputeWorkerServer::new(worker);
        let worker = ComputeWorkerClient::with_client(local("compute_worker", worker));
        let seller = ControllerServer::new(Seller::new(pricing.clone(), worker.clone()));
        let controller = ControllerClient::with_client(local("controller", seller));
        let gatekeeper = |trust, limits| {
            let routes = Gatekeeper::new(users.clone(), controller.clone()).into_routes();
            let server = Server::new("gatekeeper").trust(trust).limits(limits);
            server.http(routes).into_router().unwrap()
        };
        let mut impatient = Limits::default();
        impatient.default_deadline = Duration::from_secs(2);
        Self {
            edge: gatekeeper(Trust::Edge, Limits::default()),
            inside: gatekeeper(Trust::Internal, impatient),
            users,
            pricing,
            worker,
            controller,
            database,
            _folder: folder,
        }
    }

    /// Sends `GET` as `username`.
    pub(crate) async fn get(&self, path: &str) -> HttpResponse {
        ask(&self.edge, path, &[LOGIN]).await
    }

    /// Sends `GET` with any headers.
    pub(crate) async fn get_with(&self, path: &str, lines: &[(&str, &str)]) -> HttpResponse {
        ask(&self.edge, path, lines).await
    }

    /// Sends `GET` as `username` for the purchase with this key.
    pub(crate) async fn buy(&self, path: &str, key: &str) -> HttpResponse {
        self.get_with(path, &[LOGIN, ("idempotency-key", key)])
            .await
    }

    /// Sends the same while the calls named by the fault plan fail.
    pub(crate) async fn buy_despite(&self, plan: &str, path: &str, key: &str) -> HttpResponse {
        self.ask_despite(plan, path, &[("idempotency-key", key)])
            .await
    }

    /// Sends `GET` as `username` with other headers while the calls named by the fault plan fail.
    pub(crate) async fn ask_despite(
        &self,
        plan: &str,
        path: &str,
        lines: &[(&str, &str)],
    ) -> HttpResponse {
        let lines = [&[LOGIN, ("x-rpc-fault", plan)], lines].concat();
        ask(&self.inside, path, &lines).await
    }

    pub(crate) async fn credit(&self) -> u64 {
        let user = self.users.get_user("username").await.unwrap();
        user.unwrap().credit
    }

    /// Returns the ledger, oldest first: each change and its reason.
    pub(crate) async fn ledger(&self) -> Vec<(i64, String)> {
        let mut entries = self.users.ledger("username", 1000).await.unwrap();
        entries.sort_by_key(|entry| entry.time);
        let line = |entry: LedgerEntry| (entry.change, entry.reason);
        entries.into_iter().map(line).collect()
    }

    /// Checks that the ledger is consistent, after any operation and any failure.
    pub(crate) async fn audit(&self) {
        audit(&self.database).await;
    }
}

/// Returns an in-process server's client. The server injects the faults that its requests ask for.
pub(crate) fn local(name: &str, service: impl Service) -> Client {
    let server = Server::new(name).allow_faults().add(service);
    server.into_local_client().unwrap()
}

#[derive(Debug)]
pub(crate) struct HttpResponse {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl HttpResponse {
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }
}

async fn ask(router: &Router, path: &str, lines: &[(&str, &str)]) -> HttpResponse {
    // HTTP/1.1 requires a host.
    let mut request = Request::get(path).header("host", "fibpro");
    for (name, value) in lines {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    HttpResponse {
        status: head.status.as_u16(),
        headers: head.headers,
        text: String::from_utf8(body.to_vec()).unwrap(),
    }
}

//! All of FibPro in one process: a socket for each service, users in memory, log lines captured.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fibpro::api::compute_worker::{ComputeWorker, ComputeWorkerClient, ComputeWorkerServer};
use fibpro::api::controller::{ControllerClient, ControllerServer};
use fibpro::api::pricing::{PricingClient, PricingServer};
use fibpro::api::userstore::{
    LedgerEntry, LedgerPage, PurchaseState, Reservation, User, UserStore, UserStoreClient,
    UserStoreError, UserStoreServer,
};
use fibpro::service::compute_worker::Worker;
use fibpro::service::controller::Seller;
use fibpro::service::gatekeeper::Gatekeeper;
use fibpro::service::pricing::Prices;
use rpc_runtime::prelude::*;
use rpc_runtime::{Limits, Secret, Trust};
use rpc_tests::Running;
use rpc_tests::captured::CapturedWriter;
use rpc_tests::raw::{Raw, Response, request};
use tokio::sync::watch;
use tracing::subscriber::DefaultGuard;

/// `username:password`.
pub(crate) const LOGIN: (&str, &str) = ("authorization", "Basic dXNlcm5hbWU6cGFzc3dvcmQ=");

/// Users and purchases in memory, by the contract of the user store.
#[derive(Clone)]
pub(crate) struct Bank(Arc<watch::Sender<BankState>>);

/// State of a [`Bank`].
#[derive(Debug, Default)]
pub(crate) struct BankState {
    /// Password and credit by name.
    users: BTreeMap<String, (String, u64)>,
    pub(crate) purchases: BTreeMap<String, Reservation>,
    /// Called methods, each with its request ID.
    pub(crate) calls: Vec<(&'static str, String)>,
    /// The failure to inject from now on.
    pub(crate) fault: Fault,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    #[default]
    None,
    /// Every call fails with this code.
    Fails(Code),
    /// Purchases are settled, and the response is lost.
    SettlesSilently,
    /// Reservations expire before they are settled.
    Expires,
}

impl Bank {
    /// One user, `username` with `password`.
    pub(crate) fn with_credit(credit: u64) -> Self {
        let mut state = BankState::default();
        let user = ("password".to_owned(), credit);
        state.users.insert("username".to_owned(), user);
        Self(Arc::new(watch::Sender::new(state)))
    }

    pub(crate) fn add_user(&self, name: &str, credit: u64) {
        self.write(|state| {
            let user = ("password".to_owned(), credit);
            state.users.insert(name.to_owned(), user);
        });
    }

    pub(crate) fn credit(&self) -> u64 {
        self.read(|state| state.users["username"].1)
    }

    pub(crate) fn set_fault(&self, fault: Fault) {
        self.write(|state| state.fault = fault);
    }

    /// Returns the states of all purchases.
    pub(crate) fn states(&self) -> Vec<PurchaseState> {
        self.read(|state| {
            state
                .purchases
                .values()
                .map(|purchase| purchase.state)
                .collect()
        })
    }

    pub(crate) fn read<R>(&self, read: impl FnOnce(&BankState) -> R) -> R {
        read(&self.0.borrow())
    }

    /// Waits until the purchases have the expected states.
    pub(crate) async fn until(&self, are_so: impl FnMut(&BankState) -> bool) {
        let mut seen = self.0.subscribe();
        let waiting = seen.wait_for(are_so);
        let waited = tokio::time::timeout(Duration::from_secs(20), waiting).await;
        waited
            .expect("the state of the bank does not become as expected")
            .unwrap();
    }

    fn write<R>(&self, write: impl FnOnce(&mut BankState) -> R) -> R {
        let mut done = None;
        self.0.send_modify(|state| done = Some(write(state)));
        done.unwrap()
    }

    /// Records a call, and fails it where a failure is injected.
    fn call(&self, method: &'static str) -> Result<(), UserStoreError> {
        let id = Context::current().request_id().to_owned();
        self.write(|state| {
            state.calls.push((method, id));
            match state.fault {
                Fault::Fails(code) => fail!(code, "canary: the table users is gone"),
                _ => Ok(()),
            }
        })
    }

    fn end(&self, key: &str, state: PurchaseState) -> Result<Reservation, UserStoreError> {
        let (ended, is_new, fault) = self.write(|bank| {
            let fault = bank.fault;
            let Some(purchase) = bank.purchases.get_mut(key) else {
                let key = key.to_owned();
                return Err(UserStoreError::NoSuchPurchase { key });
            };
            let is_new = purchase.state == PurchaseState::Reserved;
            if is_new {
                purchase.state = if fault == Fault::Expires {
                    PurchaseState::Expired
                } else {
                    state
                };
                let credit = &mut bank.users.get_mut(&purchase.username).unwrap().1;
                if purchase.state != PurchaseState::Settled {
                    *credit += purchase.amount;
                }
                purchase.credit = *credit;
            }
            if purchase.state != state {
                let (key, state) = (key.to_owned(), purchase.state);
                return Err(UserStoreError::PurchaseEnded { key, state });
            }
            Ok((purchase.clone(), is_new, fault))
        })?;
        if state == PurchaseState::Settled && is_new {
            let Reservation {
                username,
                amount,
                credit,
                ..
            } = &ended;
            tracing::info!("Credit for {username} incremented -{amount} yielding {credit}");
        }
        if fault == Fault::SettlesSilently && state == PurchaseState::Settled {
            fail!(Code::Unavailable, "canary: the connection was cut");
        }
        Ok(ended)
    }
}

impl UserStore for Bank {
    async fn verify(
        &self,
        username: &str,
        password: Secret<String>,
    ) -> Result<User, UserStoreError> {
        self.call("verify")?;
        self.read(|state| match state.users.get(username) {
            Some((right, credit)) if right == password.expose() => Ok(User {
                username: username.to_owned(),
                credit: *credit,
                roles: Vec::new(),
            }),
            _ => Err(UserStoreError::WrongCredentials),
        })
    }

    async fn get_user(&self, username: &str) -> Result<Option<User>, UserStoreError> {
        self.call("get_user")?;
        Ok(self.read(|state| {
            let (_, credit) = state.users.get(username)?;
            Some(User {
                username: username.to_owned(),
                credit: *credit,
                roles: Vec::new(),
            })
        }))
    }

    async fn set_credit(&self, _username: &str, _credit: u64) -> Result<User, UserStoreError> {
        fail!(Code::Unimplemented, "not called by these tests")
    }

    async fn reserve(
        &self,
        username: &str,
        amount: u64,
        key: &str,
    ) -> Result<Reservation, UserStoreError> {
        self.call("reserve")?;
        self.write(|state| {
            if let Some(known) = state.purchases.get(key) {
                if (known.username.as_str(), known.amount) != (username, amount) {
                    return Err(UserStoreError::PurchaseDiffers {
                        key: key.to_owned(),
                    });
                }
                return match known.state {
                    PurchaseState::Reserved | PurchaseState::Settled => Ok(known.clone()),
                    state => Err(UserStoreError::PurchaseEnded {
                        key: key.to_owned(),
                        state,
                    }),
                };
            }
            let Some((_, credit)) = state.users.get_mut(username) else {
                return Err(UserStoreError::NoSuchUser {
                    username: username.to_owned(),
                });
            };
            let Some(left) = credit.checked_sub(amount) else {
                return Err(UserStoreError::InsufficientCredit {
                    username: username.to_owned(),
                    credit: *credit,
                    amount,
                });
            };
            *credit = left;
            let reservation = Reservation {
                key: key.to_owned(),
                username: username.to_owned(),
                amount,
                credit: left,
                state: PurchaseState::Reserved,
            };
            state.purchases.insert(key.to_owned(), reservation.clone());
            Ok(reservation)
        })
    }

    async fn settle(&self, key: &str) -> Result<Reservation, UserStoreError> {
        self.call("settle")?;
        self.end(key, PurchaseState::Settled)
    }

    async fn refund(&self, key: &str) -> Result<Reservation, UserStoreError> {
        self.call("refund")?;
        self.end(key, PurchaseState::Refunded)
    }

    async fn ledger(
        &self,
        _username: &str,
        _limit: u32,
    ) -> Result<Vec<LedgerEntry>, UserStoreError> {
        fail!(Code::Unimplemented, "not called by these tests")
    }

    async fn ledger_page(
        &self,
        _username: &str,
        _before: Option<u64>,
        _limit: u32,
    ) -> Result<LedgerPage, UserStoreError> {
        fail!(Code::Unimplemented, "not called by these tests")
    }
}

/// All services, running until dropped.
pub(crate) struct System {
    pub(crate) bank: Bank,
    pub(crate) gatekeeper: Running,
    worker: Option<Running>,
    /// Internal addresses: userstore, pricing, compute worker, controller.
    pub(crate) internal: [SocketAddr; 4],
    _others: [Running; 3],
}

impl System {
    /// Starts the services with one user who has this credit.
    pub(crate) async fn start(credit: u64) -> Self {
        Self::with(Bank::with_credit(credit), Worker::new(), Limits::default()).await
    }

    /// Starts the services with other users, another worker, and other limits of the gatekeeper.
    pub(crate) async fn with(bank: Bank, worker: impl ComputeWorker, limits: Limits) -> Self {
        Self::with_gatekeeper(bank, worker, limits, |gatekeeper| gatekeeper).await
    }

    /// Starts the services with another gatekeeper as well.
    pub(crate) async fn with_gatekeeper(
        bank: Bank,
        worker: impl ComputeWorker,
        limits: Limits,
        change: impl FnOnce(Gatekeeper) -> Gatekeeper,
    ) -> Self {
        let userstore = Server::new("userstore").add(UserStoreServer::new(bank.clone()));
        let userstore = Running::start(userstore).await;
        let users = UserStoreClient::connect(&userstore.url()).unwrap();
        let prices = Prices::new(users.clone());
        let pricing = Running::start(Server::new("pricing").add(PricingServer::new(prices))).await;
        let worker = Server::new("compute_worker").add(ComputeWorkerServer::new(worker));
        let worker = Running::start(worker).await;
        let seller = Seller::new(
            PricingClient::connect(&pricing.url()).unwrap(),
            ComputeWorkerClient::connect(&worker.url()).unwrap(),
        );
        let controller = Server::new("controller").add(ControllerServer::new(seller));
        let controller = Running::start(controller).await;
        let gatekeeper =
            Gatekeeper::new(users, ControllerClient::connect(&controller.url()).unwrap());
        let gatekeeper = Server::new("gatekeeper")
            .trust(Trust::Edge)
            .limits(limits)
            .http(change(gatekeeper).into_routes());
        Self {
            bank,
            gatekeeper: Running::start(gatekeeper).await,
            internal: [&userstore, &pricing, &worker, &controller].map(Running::address),
            worker: Some(worker),
            _others: [userstore, pricing, controller],
        }
    }

    /// Stops the compute worker; its address refuses connections from now on.
    pub(crate) async fn stop_worker(&mut self) {
        self.worker.take().unwrap().stop().await;
    }

    /// Sends `GET` as `username`.
    pub(crate) async fn get(&self, path: &str) -> Response {
        self.get_with(path, &[]).await
    }

    /// Sends `GET` as `username` with additional headers.
    pub(crate) async fn get_with(&self, path: &str, lines: &[(&str, &str)]) -> Response {
        let lines = [&[LOGIN], lines].concat();
        self.ask("GET", path, &lines).await
    }

    /// Returns the head of a response that may come without the body it announces.
    pub(crate) async fn head_of(&self, verb: &str, path: &str, lines: &[(&str, &str)]) -> String {
        let mut raw = Raw::connect(self.gatekeeper.address()).await;
        let lines = [&[("connection", "close")], lines].concat();
        raw.send(request(verb, path, &lines, b"")).await.unwrap();
        let arrived = raw.closed().await;
        String::from_utf8(arrived).unwrap()
    }

    /// Sends any request.
    pub(crate) async fn ask(&self, verb: &str, path: &str, lines: &[(&str, &str)]) -> Response {
        let mut raw = Raw::connect(self.gatekeeper.address()).await;
        raw.ask(request(verb, path, lines, b"")).await
    }
}

/// Returns status and text body of a response.
pub(crate) fn text(response: &Response) -> (u16, String) {
    let content_type = response.header("content-type");
    assert_eq!(
        content_type,
        Some("text/plain; charset=utf-8"),
        "{response:?}"
    );
    (
        response.status,
        String::from_utf8(response.body.clone()).unwrap(),
    )
}

/// Captures the log of this thread until dropped.
pub(crate) struct Log {
    captured: CapturedWriter,
    _guard: DefaultGuard,
}

impl Log {
    /// Captures all levels.
    pub(crate) fn start() -> Self {
        let captured = CapturedWriter::default();
        let writer = captured.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .finish();
        let guard = tracing::subscriber::set_default(subscriber);
        Self {
            captured,
            _guard: guard,
        }
    }

    pub(crate) fn text(&self) -> String {
        self.captured.text()
    }

    /// Returns the lines that contain one of these words, in order.
    pub(crate) fn lines_with(&self, words: &[&str]) -> Vec<String> {
        let text = self.text();
        let lines = text
            .lines()
            .filter(|line| words.iter().any(|word| line.contains(word)));
        lines.map(str::to_owned).collect()
    }
}

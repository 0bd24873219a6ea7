use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rpc_runtime::middleware::{Layer as _, Next, Request, Response};
use rpc_runtime::prelude::*;
use rpc_runtime::testing::{Faults, NetworkFault, Proxy};
use rpc_runtime::{Client, RetryPolicy, Trust};
use rpc_tests::Running;
use serde::{Deserialize, Serialize};

use super::shop::{DEAD, quick};
use crate::retries::Seen;

#[derive(Debug, RpcError)]
enum BankError {
    #[rpc(code = "failed_precondition")]
    Closed,
    #[rpc(other)]
    Other(Error),
}

#[derive(Debug, RpcError)]
enum TillError {
    #[rpc(from)]
    Bank(BankError),
    #[rpc(other)]
    Other(Error),
}

/// The way in which a handler returns the error of its dependency.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Way {
    QuestionMark,
    From,
    ReplacedBy,
    IntoInner,
    /// A new error, with the code of the dependency's error.
    New,
    /// Through one more service.
    Hop,
    /// A layer of the server returns a new error.
    Layer,
}

const WAYS: [Way; 7] = [
    Way::QuestionMark,
    Way::From,
    Way::ReplacedBy,
    Way::IntoInner,
    Way::New,
    Way::Hop,
    Way::Layer,
];

#[rpc_service(package = "chains.v1")]
trait Bank {
    async fn charge(&self, hop: bool) -> Result<String, BankError>;
}

#[rpc_service(package = "chains.v1")]
trait Till {
    async fn pay(&self, #[rpc(idempotency_key(shared))] key: &str, way: Way) -> Result<String>;
    async fn pay_typed(
        &self,
        #[rpc(idempotency_key(shared))] key: &str,
        way: Way,
    ) -> Result<String, TillError>;
    /// May be repeated.
    #[rpc(idempotent)]
    async fn quote(&self, way: Way) -> Result<String, TillError>;
}

/// Charges, or forwards to another bank.
struct Vault {
    charges: Arc<AtomicUsize>,
    next: Option<BankClient>,
    /// The size of a response.
    bytes: usize,
}

impl Bank for Vault {
    async fn charge(&self, hop: bool) -> Result<String, BankError> {
        if let Some(next) = self.next.as_ref().filter(|_| hop) {
            return Ok(next.charge(false).await.map_err(Error::from)?);
        }
        self.charges.fetch_add(1, Ordering::SeqCst);
        Ok("x".repeat(self.bytes))
    }
}

struct Register {
    bank: BankClient,
    runs: Arc<AtomicUsize>,
}

impl Register {
    async fn run(&self, way: Way) -> Result<String> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        let charged = self.bank.charge(way == Way::Hop).await;
        match way {
            Way::ReplacedBy => charged.map_err(|error| {
                let own = Error::new(error.code(), "the bank is away");
                error.replaced_by(own)
            }),
            Way::IntoInner => charged.map_err(|error| error.into_inner().into_error()),
            Way::New => charged.map_err(|error| Error::new(error.code(), "come back")),
            _ => Ok(charged?),
        }
    }
}

impl Till for Register {
    async fn pay(&self, _: &str, way: Way) -> Result<String> {
        self.run(way).await
    }

    async fn pay_typed(&self, _: &str, _: Way) -> Result<String, TillError> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        Ok(self.bank.charge(false).await?)
    }

    async fn quote(&self, way: Way) -> Result<String, TillError> {
        if way == Way::From {
            self.runs.fetch_add(1, Ordering::SeqCst);
            return Ok(self.bank.charge(false).await?);
        }
        Ok(self.run(way).await?)
    }
}

/// A till in front of a bank whose network fails on demand.
struct Chain {
    charges: Arc<AtomicUsize>,
    runs: Arc<AtomicUsize>,
    proxy: Proxy,
    tills: Vec<TillClient>,
    running: Vec<Running>,
}

/// A server layer that replaces the error of the handler for `Way::Layer`.
async fn new_error(request: Request, next: Next) -> Response {
    let body = request.body().as_message().cloned().unwrap_or_default();
    let is_mine = String::from_utf8_lossy(&body).contains("Layer");
    let response = next.run(request).await;
    match response.error() {
        Some(error) if is_mine => Error::new(error.code(), "from a layer").into(),
        _ => response,
    }
}

impl Chain {
    /// Starts a till with clients over each transport. `limit` is the largest response that the
    /// till accepts from the bank.
    async fn start(limit: usize, bank_retry: RetryPolicy) -> Self {
        let (charges, runs) = <(Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
        let vault = |next| Vault {
            charges: Arc::clone(&charges),
            next,
            bytes: 1_000,
        };
        let bank = Running::start(Server::new("bank").add(BankServer::new(vault(None)))).await;
        let proxy = Proxy::start(bank.address()).await.unwrap();
        let client = |url: &str| {
            let client = Client::new(url).unwrap().without_outlier_detection();
            client.retry(bank_retry).message_limit(limit)
        };
        // Its calls with `hop` meet the proxy one service further.
        let behind = BankClient::with_client(client(&proxy.url()));
        let middle = vault(Some(behind.clone()));
        let middle = Running::start(Server::new("middle").add(BankServer::new(middle))).await;
        // Calls without `hop` go through the proxy too.
        let direct = BankClient::with_client(client(&proxy.url()));
        let by_middle = BankClient::with_client(client(&middle.url()).message_limit(1 << 20));
        let till = || {
            let register = Register {
                bank: BankClient::local(Switch(direct.clone(), by_middle.clone())),
                runs: Arc::clone(&runs),
            };
            Server::new("till")
                .layer(new_error)
                .add(TillServer::new(register))
        };
        let running = Running::start(till()).await;
        let socket = || Client::new(&running.url()).unwrap();
        let tills = [
            socket(),
            socket().http2(),
            till().into_local_client().unwrap(),
        ]
        .map(|client| TillClient::with_client(client.retry(quick())));
        Self {
            charges,
            runs,
            proxy,
            tills: tills.into(),
            running: vec![bank, middle, running],
        }
    }

    fn charges(&self) -> usize {
        self.charges.load(Ordering::SeqCst)
    }

    fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }
}

/// Calls one bank or the other.
struct Switch(BankClient, BankClient);

impl Bank for Switch {
    async fn charge(&self, hop: bool) -> Result<String, BankError> {
        let bank = if hop { &self.1 } else { &self.0 };
        Ok(bank.charge(hop).await.map_err(Error::from)?)
    }
}

async fn pay(till: &TillClient, key: &str, way: Way) -> Result<(String, bool), Code> {
    let reply = match way {
        Way::From => till.pay_typed(key, way).with_response().await,
        _ => {
            let reply = till.pay(key, way).with_response().await;
            reply.map_err(|error| Remote::from_error(error.as_error().clone()))
        }
    };
    let reply = reply.map_err(|error: Remote<TillError>| error.code())?;
    let replayed = reply.headers.get("idempotent-replayed").is_some();
    Ok((reply.value, replayed))
}

/// A dependency's answer is lost, or too large to be read: the key never runs a second time.
#[tokio::test]
async fn one_key_charges_once_on_every_way_of_an_error() {
    for (lost, limit, code) in [
        (true, 1 << 20, Code::Unavailable),
        (false, 100, Code::ResourceExhausted),
    ] {
        let chain = Chain::start(limit, RetryPolicy::default()).await;
        for (number, till) in chain.tills.iter().enumerate() {
            for way in WAYS {
                let case = format!("{code}, till {number}, {way:?}");
                let before = (chain.charges(), chain.runs());
                if lost {
                    chain.proxy.set(NetworkFault::CutResponses { after: 0 });
                }
                assert_eq!(pay(till, &case, way).await, Err(code), "{case}");
                chain.proxy.set(NetworkFault::None);
                // By itself the client may have repeated it; now its user does.
                for _ in 0..2 {
                    assert_eq!(pay(till, &case, way).await, Err(code), "{case}");
                }
                let after = (chain.charges(), chain.runs());
                assert_eq!(after, (before.0 + 1, before.1 + 1), "{case}");
            }
        }
    }
}

/// A dependency that was not reached has done nothing: the key may be used again.
#[tokio::test]
async fn a_key_is_free_after_a_dependency_was_not_reached() {
    for retry in [RetryPolicy::off(), quick()] {
        let mut chain = Chain::start(1 << 20, retry).await;
        for number in 0..chain.tills.len() {
            for way in WAYS {
                let case = format!("till {number}, {way:?}");
                let before = chain.charges();
                chain.proxy.refuse().await;
                let error = pay(&chain.tills[number], &case, way).await;
                assert_eq!(error, Err(Code::Unavailable), "{case}");
                chain.proxy.accept().await.unwrap();
                let again = pay(&chain.tills[number], &case, way).await;
                if way == Way::New {
                    // Nothing is known of an error that the handler makes itself.
                    assert_eq!(again, Err(Code::Unavailable), "{case}");
                    assert_eq!(chain.charges(), before, "{case}");
                } else {
                    assert!(matches!(again, Ok((_, false))), "{case}: {again:?}");
                    assert_eq!(chain.charges(), before + 1, "{case}");
                }
            }
        }
    }
}

/// Only the client next to the fault retries, though edges send no chain of services.
#[tokio::test]
async fn retries_over_edges_do_not_multiply() {
    for way in [Way::QuestionMark, Way::From, Way::ReplacedBy] {
        for edges in 1..=2 {
            let seen = Seen::default();
            let bank = Client::new(DEAD).unwrap().without_outlier_detection();
            let bank = bank.retry(quick()).observer(seen.clone());
            let runs = Arc::<AtomicUsize>::default();
            let register = Register {
                bank: BankClient::with_client(bank),
                runs: Arc::clone(&runs),
            };
            let server = Server::new("edge").add(TillServer::new(register));
            let mut running = vec![Running::start(server.trust(Trust::Edge)).await];
            if edges == 2 {
                let client = Client::new(&running[0].url()).unwrap().retry(quick());
                let next = Relay(TillClient::with_client(client));
                let server = Server::new("outer").add(TillServer::new(next));
                running.push(Running::start(server.trust(Trust::Edge)).await);
            }
            let last = running.last().unwrap();
            let client = Client::new(&last.url()).unwrap().retry(quick());
            let error = TillClient::with_client(client).quote(way).await;
            let error = error.unwrap_err();
            assert_eq!(error.code(), Code::Unavailable);
            assert!(error.hops().is_empty(), "an edge sends no chain");
            assert_eq!(runs.load(Ordering::SeqCst), 1, "{way:?}, {edges} edges");
            assert_eq!(seen.attempts(), 3, "{way:?}, {edges} edges");
        }
    }
}

/// Passes `quote` on.
struct Relay(TillClient);

impl Till for Relay {
    async fn pay(&self, _: &str, _: Way) -> Result<String> {
        fail!(Code::Unimplemented, "not used")
    }

    async fn pay_typed(&self, _: &str, _: Way) -> Result<String, TillError> {
        Ok(self.pay("", Way::New).await?)
    }

    async fn quote(&self, way: Way) -> Result<String, TillError> {
        Ok(self.0.quote(way).await.map_err(Error::from)?)
    }
}

/// The outcome of a call is that of all of its attempts.
#[tokio::test]
async fn an_earlier_attempt_may_have_run() {
    for (first_is_lost, not_executed) in [(true, false), (false, true)] {
        let chain = Chain::start(1 << 20, RetryPolicy::off()).await;
        let lose = Arc::new(Faults::seeded(1).drop_response(1.0));
        let refuse = Arc::new(Faults::seeded(1).refuse(1.0));
        let url = chain.running[2].url();
        let client = Client::new(&url).unwrap().retry(quick());
        let client = client.attempt_layer(move |request: Request, next: Next| {
            let lost = first_is_lost && request.context().attempt() == 1;
            let faults = if lost { &lose } else { &refuse };
            faults.call(request, next)
        });
        let error = TillClient::with_client(client).quote(Way::New).await;
        let error = error.unwrap_err();
        assert!(error.message().contains("connection refused"), "{error}");
        assert!(error.message().contains("after 3 attempts"), "{error}");
        assert_eq!(error.is_not_executed(), not_executed, "{error}");
        assert_eq!(chain.charges(), usize::from(first_is_lost));
    }
}

#[derive(Debug, RpcError)]
enum StockError {
    #[rpc(code = "unavailable")]
    Busy,
    #[rpc(code = "unavailable", public)]
    Closed,
    #[rpc(other)]
    Other(Error),
}

#[rpc_service(package = "chains.v1")]
trait Stock {
    #[rpc(idempotent)]
    async fn count(&self, public: bool) -> Result<u32, StockError>;
}

/// Has no stock, or passes the error of another shelf on as a plain enum.
struct Shelf {
    runs: Arc<AtomicUsize>,
    next: Option<StockClient>,
}

impl Stock for Shelf {
    async fn count(&self, public: bool) -> Result<u32, StockError> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        match &self.next {
            Some(next) => next.count(public).await.map_err(Remote::into_inner),
            None if public => Err(StockError::Closed),
            None => Err(StockError::Busy),
        }
    }
}

/// An enum cannot say that its call was retried; the call of the handler remembers it.
#[tokio::test]
async fn retries_of_a_variant_do_not_multiply() {
    for public in [false, true] {
        let runs = [(); 3].map(|()| Arc::<AtomicUsize>::default());
        let (mut running, mut next) = (Vec::new(), None::<StockClient>);
        for runs in &runs {
            let shelf = Shelf {
                runs: Arc::clone(runs),
                next,
            };
            let server = Server::new("stock").add(StockServer::new(shelf));
            let server = Running::start(server).await;
            let client = Client::new(&server.url()).unwrap().retry(quick());
            next = Some(StockClient::with_client(client));
            running.push(server);
        }
        let error = next.unwrap().count(public).await.unwrap_err();
        assert_eq!(error.code(), Code::Unavailable);
        let runs = runs.map(|runs| runs.load(Ordering::SeqCst));
        assert_eq!(runs, [3, 1, 1], "public: {public}");
    }
}

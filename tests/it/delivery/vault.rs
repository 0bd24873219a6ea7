//! A bank that counts its charges, and a till whose work is that of a test.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use rpc_runtime::prelude::*;
use rpc_runtime::{Client, RetryPolicy};
use tokio::sync::Semaphore;

#[derive(Debug, RpcError)]
pub(crate) enum BankError {
    #[rpc(code = "failed_precondition")]
    Closed,
    #[rpc(other)]
    Other(Error),
}

#[derive(Debug, RpcError)]
pub(crate) enum TillError {
    #[rpc(code = "unavailable")]
    Busy,
    #[rpc(from)]
    Bank(BankError),
    #[rpc(other)]
    Other(Error),
}

#[rpc_service(package = "vault.v1")]
pub(crate) trait Bank {
    async fn charge(&self) -> Result<u32, BankError>;
    #[rpc(no_side_effects)]
    async fn look(&self) -> Result<u32, BankError>;
    async fn pay(&self, #[rpc(idempotency_key)] key: &str) -> Result<u32, BankError>;
}

#[rpc_service(package = "vault.v1")]
pub(crate) trait Till {
    async fn sell(&self) -> Result<(), TillError>;
    async fn pay(&self, #[rpc(idempotency_key)] key: &str) -> Result<(), TillError>;
}

/// Counts its charges, and waits for a permit first if it has a gate.
#[derive(Clone, Default)]
pub(crate) struct Vault {
    charges: Arc<AtomicUsize>,
    gate: Option<Arc<Gate>>,
}

pub(crate) struct Gate {
    pub(crate) begun: Semaphore,
    pub(crate) go: Semaphore,
}

impl Vault {
    /// Creates one whose calls wait for a permit of the gate.
    pub(crate) fn held() -> (Self, Arc<Gate>) {
        let gate = Arc::new(Gate {
            begun: Semaphore::new(0),
            go: Semaphore::new(0),
        });
        let vault = Self {
            gate: Some(Arc::clone(&gate)),
            ..Self::default()
        };
        (vault, gate)
    }

    pub(crate) fn server(&self) -> Server {
        Server::new("bank").add(BankServer::new(self.clone()))
    }

    pub(crate) fn charges(&self) -> usize {
        self.charges.load(Ordering::SeqCst)
    }

    async fn run(&self) -> Result<u32, BankError> {
        let number = self.charges.fetch_add(1, Ordering::SeqCst) + 1;
        if let Some(gate) = &self.gate {
            gate.begun.add_permits(1);
            let _permit = gate.go.acquire().await;
        }
        Ok(u32::try_from(number).unwrap())
    }
}

impl Bank for Vault {
    async fn charge(&self) -> Result<u32, BankError> {
        self.run().await
    }

    async fn look(&self) -> Result<u32, BankError> {
        self.run().await
    }

    async fn pay(&self, _: &str) -> Result<u32, BankError> {
        self.run().await
    }
}

pub(crate) type Work = Arc<dyn Fn() -> BoxFuture<'static, Result<(), TillError>> + Send + Sync>;

/// Counts its runs and does some work.
#[derive(Clone)]
pub(crate) struct Register {
    work: Work,
    runs: Arc<AtomicUsize>,
}

impl Register {
    pub(crate) fn new<F: Future<Output = Result<(), TillError>> + Send + 'static>(
        work: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self {
        Self {
            work: Arc::new(move || work().boxed()),
            runs: Arc::default(),
        }
    }

    pub(crate) fn server(&self) -> Server {
        Server::new("till").add(TillServer::new(self.clone()))
    }

    async fn run(&self) -> Result<(), TillError> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        (self.work)().await
    }

    pub(crate) fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }

    /// Makes a failing call and repeats it. Returns the number of runs: 1 if the key was kept.
    pub(crate) async fn runs_of_a_repeated_call(&self) -> usize {
        let client = self.server().into_local_client().unwrap();
        let till = TillClient::with_client(client.retry(RetryPolicy::off()));
        let before = self.runs();
        for _ in 0..2 {
            till.pay("k").await.unwrap_err();
        }
        self.runs() - before
    }
}

impl Till for Register {
    async fn sell(&self) -> Result<(), TillError> {
        self.run().await
    }

    async fn pay(&self, _: &str) -> Result<(), TillError> {
        self.run().await
    }
}

pub(crate) fn once(url: &str) -> BankClient {
    BankClient::with_client(Client::new(url).unwrap().retry(RetryPolicy::off()))
}

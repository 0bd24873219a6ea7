use std::collections::BTreeSet;
use std::error::Error as StdError;
use std::sync::{Arc, Mutex};

use rpc_runtime::middleware::{Next, Request, Response};
use rpc_runtime::prelude::*;
use rpc_runtime::{Client, RetryPolicy};

use super::far_end::{DeskError, MARK, Vault, VaultClient, VaultError};

/// A way of a dependency's error through a service.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Way {
    QuestionMark,
    IntoInner,
    /// By `impl Vault for VaultClient`.
    Trait,
    Deref,
    /// The text of `Display` in an error of the service.
    Display,
    /// The texts of `Display` and of all sources.
    Sources,
    /// As the source of an error of the service.
    WithSource,
    ReplacedBy,
    /// With details and metadata of the service.
    Extended,
    /// In a task.
    Spawned,
    /// A layer of the client makes a new error of it.
    ClientLayer,
    /// A layer of the server makes a new error of it.
    ServerLayer,
    /// A layer of the server made the call.
    LayerCalls,
}

pub(super) const WAYS: [Way; 13] = [
    Way::QuestionMark,
    Way::IntoInner,
    Way::Trait,
    Way::Deref,
    Way::Display,
    Way::Sources,
    Way::WithSource,
    Way::ReplacedBy,
    Way::Extended,
    Way::Spawned,
    Way::ClientLayer,
    Way::ServerLayer,
    Way::LayerCalls,
];

/// The faults whose mark has reached a service.
pub(super) type Seen = Arc<Mutex<BTreeSet<String>>>;

/// A service between the far end and its caller.
#[derive(Clone)]
pub(super) struct Relay {
    pub(super) way: Way,
    /// The next service, for the faults that begin with a word.
    pub(super) next: Vec<(&'static str, VaultClient)>,
    pub(super) is_edge: bool,
    pub(super) seen: Seen,
}

impl Relay {
    pub(super) fn server(self) -> Server {
        let server = Server::new(if self.is_edge { "edge" } else { "middle" });
        let server = match self.way {
            Way::ServerLayer => server.layer(new_error),
            Way::LayerCalls => {
                let relay = self.clone();
                server.layer(move |request: Request, next: Next| {
                    let relay = relay.clone();
                    async move { relay.call_in_layer(request, next).await }
                })
            }
            _ => server,
        };
        server.add(super::far_end::VaultServer::new(self))
    }

    /// Returns the client of the service that has this fault.
    pub(super) fn next(&self, fault: &str) -> &VaultClient {
        let mut next = self.next.iter();
        let (_, client) = next.find(|(word, _)| fault.starts_with(word)).unwrap();
        client
    }

    fn see<E: std::fmt::Debug>(&self, fault: &str, error: &Remote<E>) {
        let has_mark = format!(
            "{error:?} {:?}",
            error.metadata().iter().collect::<Vec<_>>()
        );
        if fault == "absent" || has_mark.contains(MARK) || has_mark.contains("CANARY") {
            self.seen.lock().unwrap().insert(fault.to_owned());
        }
    }

    /// Returns the result of a call as the error of the service, which is not typed.
    fn convert<E: RpcError + Clone>(
        &self,
        fault: &str,
        result: Result<u32, Remote<E>>,
    ) -> Result<u32> {
        result.map_err(|error| {
            self.see(fault, &error);
            match self.way {
                Way::IntoInner => error.into_inner().into_error(),
                Way::Deref => E::clone(&error).into_error(),
                Way::Display => Error::new(Code::Unavailable, format!("the vault: {error}")),
                Way::Sources => Error::new(Code::NotFound, with_sources(&error)),
                Way::WithSource => Error::new(Code::NotFound, "not here").with_source(error),
                Way::ReplacedBy => error.replaced_by(Error::new(Code::NotFound, "not here")),
                Way::Extended => Error::from(error)
                    .with_reason("OWN")
                    .with_violation("own", "own")
                    .with_metadata("x-own", "own"),
                _ => Error::from(error),
            }
        })
    }

    /// Calls the next service in a context with a secret.
    async fn secretly<T>(&self, work: impl Future<Output = T> + Send) -> T {
        let context = Context::current();
        let context = context.with_baggage("token", "canary-baggage").unwrap();
        context.scope(work).await
    }

    async fn call_in_layer(&self, request: Request, next: Next) -> Response {
        let body = request.body().as_message().cloned().unwrap_or_default();
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let Some(fault) = json["fault"].as_str() else {
            return next.run(request).await;
        };
        let fault = fault.to_owned();
        let call = request.context().enter(|| self.next(&fault).open(&fault));
        match call.await {
            Ok(_) => next.run(request).await,
            Err(error) => {
                self.see(&fault, &error);
                error.into_inner().into()
            }
        }
    }
}

/// Returns the text of an error and of its sources, as programs write it.
pub(super) fn with_sources(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text += &format!(": {source}");
        next = source.source();
    }
    text
}

async fn new_error(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    match response.error() {
        Some(error) => Error::new(error.code(), with_sources(error)).into(),
        None => response,
    }
}

/// A layer of a client that writes the error anew, with all that it can read.
async fn write_anew(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    match response.error() {
        Some(error) => Error::new(error.code(), error.message().to_owned())
            .with_reason("CANARY_LAYER")
            .with_metadata("x-canary", "canary-layer")
            .into(),
        None => response,
    }
}

/// Returns a client of the next service.
pub(super) fn client(url: &str, way: Way) -> VaultClient {
    let client = Client::new(url).unwrap().retry(RetryPolicy::off());
    VaultClient::with_client(if way == Way::ClientLayer {
        client.layer(write_anew)
    } else {
        client
    })
}

async fn through(vault: &impl Vault, fault: &str) -> Result<u32> {
    vault.open(fault).await
}

impl Vault for Relay {
    async fn open(&self, fault: &str) -> Result<u32> {
        let next = self.next(fault);
        match self.way {
            Way::Trait => self.secretly(through(next, fault)).await,
            Way::Spawned => {
                let call = rpc_runtime::spawn(next.open(fault));
                self.convert(fault, call.await.unwrap())
            }
            _ => {
                let result = self.secretly(async { next.open(fault).await }).await;
                self.convert(fault, result)
            }
        }
    }

    async fn open_typed(&self, fault: &str) -> Result<u32, VaultError> {
        let next = self.next(fault);
        if self.way == Way::Trait {
            return self
                .secretly(<VaultClient as Vault>::open_typed(next, fault))
                .await;
        }
        let result = self.secretly(async { next.open_typed(fault).await }).await;
        match (self.way, result) {
            (Way::IntoInner, Err(error)) => Err(error.into_inner()),
            (Way::Deref, Err(error)) => Err(VaultError::clone(&error)),
            (_, result) => self.convert(fault, result).map_err(VaultError::from),
        }
    }

    async fn open_own(&self, fault: &str) -> Result<u32, DeskError> {
        let next = self.next(fault);
        if self.is_edge {
            let result = next.open_own(fault).await;
            return match (self.way, result) {
                (Way::IntoInner | Way::Trait, Err(error)) => Err(error.into_inner()),
                (Way::Deref, Err(error)) => Err(DeskError::clone(&error)),
                (_, result) => self.convert(fault, result).map_err(DeskError::from),
            };
        }
        // The errors of the vault are those of the desk.
        Ok(next.open_typed(fault).await?)
    }

    async fn open_keyed(&self, key: &str, fault: &str) -> Result<u32> {
        let result = self.next(fault).open_keyed(key, fault).await;
        self.convert(fault, result)
    }

    async fn open_detached(&self, fault: &str) -> Result<u32> {
        let result = self.next(fault).open_detached(fault).await;
        self.convert(fault, result)
    }
}

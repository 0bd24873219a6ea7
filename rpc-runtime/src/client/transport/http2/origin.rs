//! The connections of one address: chooses one for a call, opens more, and forgets those that have
//! ended.

use std::error::Error as StdError;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use ::http::uri::Authority;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::connection::{Connection, Health, Lease};
use super::queue::{ClientId, FairQueue, Ticket};
use super::{Connector, PoolInner, connection};
use crate::sync::MutexExt as _;

/// The maximum number of connections to one address. More than one is opened only when all streams
/// that the server allows on the others are in use.
const MAX_CONNECTIONS: usize = 256;

/// The same for a server that allows no streams for now.
const MAX_WITHOUT_STREAMS: usize = 16;

/// The maximum number of connections that are opened at the same time.
const MAX_CONNECTING: usize = 8;

/// The pause after a connection could not be opened, while others are open. The server may limit
/// the connections of a peer.
const FAILURE_PAUSE: Duration = Duration::from_millis(200);

/// The reason why a connection could not be opened, shared by all calls that waited for it.
#[derive(Debug, Clone)]
pub(in crate::client::transport) struct ConnectError(Arc<dyn StdError + Send + Sync>);

impl ConnectError {
    pub(super) fn new(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self(error.into().into())
    }

    /// Returns whether the reason is of this type.
    pub(in crate::client::transport) fn is<T: StdError + 'static>(&self) -> bool {
        self.0.is::<T>()
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for ConnectError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

/// An address and its connections.
#[derive(Debug)]
pub(super) struct Origin {
    authority: Authority,
    connector: Connector,
    pool: Weak<PoolInner>,
    runtime: Handle,
    state: Mutex<OriginState>,
    /// The number of calls in the queue, so that the end of a stream takes no lock if there is
    /// none.
    waiting: AtomicUsize,
}

#[derive(Debug, Default)]
struct OriginState {
    /// The connections that take calls.
    connections: Vec<Arc<Connection>>,
    /// The number of connections that are being opened.
    connecting: usize,
    /// Whether no connection is opened for now, because one has failed and others are open.
    paused: bool,
    /// The number of streams that the last connection allowed when it was opened.
    streams: Option<usize>,
    queue: FairQueue<Waiter>,
}

type Waiter = oneshot::Sender<Result<Lease, ConnectError>>;

impl Origin {
    /// Creates an origin. Its connections are driven by tasks of the current runtime.
    pub(super) fn new(authority: Authority, connector: Connector, pool: Weak<PoolInner>) -> Self {
        Self {
            authority,
            connector,
            pool,
            runtime: Handle::current(),
            state: Mutex::default(),
            waiting: AtomicUsize::new(0),
        }
    }

    pub(super) fn authority(&self) -> &Authority {
        &self.authority
    }

    pub(super) fn connector(&self) -> &Connector {
        &self.connector
    }

    pub(super) fn is_unused(&self) -> bool {
        let state = self.lock();
        state.connections.is_empty() && state.connecting == 0 && state.queue.is_empty()
    }

    /// Takes a stream of a connection. If all are in use, waits for one: more connections are
    /// opened, up to a limit, and calls of other clients take turns with those of this one.
    ///
    /// # Errors
    ///
    /// The reason why no connection could be opened, if there is none.
    ///
    /// # Cancellation
    ///
    /// Dropping the future loses nothing. A connection that is being opened is kept for other
    /// calls.
    pub(super) async fn lease(self: &Arc<Self>, client: ClientId) -> Result<Lease, ConnectError> {
        let place = {
            let mut state = self.lock();
            // A new call does not overtake those that wait.
            if state.queue.is_empty()
                && let Some(lease) = state.lease(self)
            {
                return Ok(lease);
            }
            let (sender, receiver) = oneshot::channel();
            // Announced before the streams are looked at again, or the end of one could be missed.
            self.waiting.fetch_add(1, Ordering::SeqCst);
            Place {
                ticket: state.queue.push(client, sender),
                origin: Arc::clone(self),
                receiver,
            }
        };
        self.serve_queue();
        place.wait().await
    }

    /// Gives free streams to the calls that wait, and opens connections for the others.
    fn serve_queue(self: &Arc<Self>) {
        loop {
            let mut state = self.lock();
            if state.queue.is_empty() {
                return;
            }
            let Some(lease) = state.lease(self) else {
                let new = state.wanted_connections();
                state.connecting += new;
                drop(state);
                for _ in 0..new {
                    // A call may end outside of the runtime.
                    self.runtime.spawn(open(Arc::clone(self)));
                }
                return;
            };
            let waiter = state.queue.pop();
            drop(state);
            if let Some(waiter) = waiter {
                self.waiting.fetch_sub(1, Ordering::SeqCst);
                // An entry leaves the queue before its receiver is dropped. If it was dropped
                // since, so is the stream, which goes to the next one.
                let _ = waiter.send(Ok(lease));
            }
        }
    }

    /// Gives no more calls to a connection.
    pub(super) fn leave(self: &Arc<Self>, health: &Arc<Health>) {
        health.leave();
        let mut state = self.lock();
        state
            .connections
            .retain(|connection| !Arc::ptr_eq(connection.health(), health));
        drop(state);
        // Calls that waited for a stream of it may need another connection.
        self.serve_queue();
    }

    /// Called when a connection has ended.
    pub(super) fn ended(self: &Arc<Self>, health: &Arc<Health>) {
        self.leave(health);
        super::remove(&self.pool, self);
    }

    /// Called when a stream has ended.
    pub(super) fn stream_ended(self: &Arc<Self>) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.serve_queue();
        }
    }

    /// Records the result of opening a connection. Returns whether it has failed while others are
    /// open.
    fn opened(self: &Arc<Self>, opened: Result<Arc<Connection>, ConnectError>) -> bool {
        let mut failed = Vec::new();
        let mut state = self.lock();
        let error = match opened {
            // It may have ended already.
            Ok(connection) if !connection.health().is_left() => {
                state.streams = Some(connection.max_streams());
                state.connections.push(connection);
                None
            }
            Ok(_) => Some(ConnectError::new("the server closed the connection")),
            Err(error) => Some(error),
        };
        let is_only = state.connections.is_empty() && state.connecting == 1;
        if let Some(error) = &error
            && is_only
        {
            failed.extend(std::iter::from_fn(|| state.queue.pop()).map(|waiter| (waiter, error)));
            self.waiting.fetch_sub(failed.len(), Ordering::SeqCst);
        }
        let has_others = !state.connections.is_empty();
        let pauses = error.is_some() && has_others && !state.paused;
        state.paused |= pauses;
        if !pauses {
            state.connecting -= 1;
        }
        drop(state);
        for (waiter, error) in failed {
            // The call may have left.
            let _ = waiter.send(Err(error.clone()));
        }
        pauses
    }

    /// Ends the pause after a failure.
    fn resume(&self) {
        let mut state = self.lock();
        state.paused = false;
        state.connecting -= 1;
    }

    fn lock(&self) -> MutexGuard<'_, OriginState> {
        self.state.lock_unpoisoned()
    }
}

impl OriginState {
    /// Takes a stream of the first connection that has one. Later connections are used only under
    /// load, and so become idle and are closed after it.
    fn lease(&self, origin: &Arc<Origin>) -> Option<Lease> {
        self.connections
            .iter()
            .find_map(|connection| Lease::take(connection, origin))
    }

    /// Returns the number of connections to open for the calls that wait.
    fn wanted_connections(&self) -> usize {
        if self.paused && !self.connections.is_empty() {
            return 0;
        }
        let (wanted, max) = match self.streams {
            // The first connection shows how many streams there are.
            None => (1, MAX_CONNECTIONS),
            Some(0) => (1, MAX_WITHOUT_STREAMS),
            Some(streams) => (self.queue.len().div_ceil(streams), MAX_CONNECTIONS),
        };
        let wanted = wanted.min(MAX_CONNECTING).saturating_sub(self.connecting);
        wanted.min(max.saturating_sub(self.connections.len() + self.connecting))
    }
}

/// The place of a call in the queue.
struct Place {
    origin: Arc<Origin>,
    ticket: Ticket,
    receiver: oneshot::Receiver<Result<Lease, ConnectError>>,
}

impl Place {
    async fn wait(mut self) -> Result<Lease, ConnectError> {
        match (&mut self.receiver).await {
            Ok(result) => result,
            // Every entry that leaves the queue gets a result.
            Err(_) => Err(ConnectError::new("the connections were closed")),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.origin.lock().queue.remove(self.ticket) {
            self.origin.waiting.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// Opens a connection and gives its streams to waiting calls.
async fn open(origin: Arc<Origin>) {
    let opened = connection::open(&origin).await;
    if origin.opened(opened) {
        sleep(FAILURE_PAUSE).await;
        origin.resume();
    }
    origin.serve_queue();
    super::remove(&origin.pool, &origin);
}

//! The connections of one address: chooses one for a call, opens more, and forgets those that have
//! ended.

use std::error::Error as StdError;
use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use ::http::uri::Authority;
use tokio::sync::Notify;

use super::connection::{Connection, Health, Lease};
use super::{Connector, PoolInner, connection};
use crate::sync::MutexExt as _;

/// The maximum number of connections to one address. More than one is opened only when all streams
/// that the server allows on the others are in use.
const MAX_CONNECTIONS: usize = 16;

/// The reason why a connection could not be opened, shared by all calls that waited for it.
#[derive(Debug, Clone)]
pub(in crate::client::transport) struct ConnectError(Arc<dyn StdError + Send + Sync>);

impl ConnectError {
    pub(super) fn new(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self(error.into().into())
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
    state: Mutex<OriginState>,
    /// Wakes one waiting call when a stream ends, and all when the connections have changed.
    changed: Notify,
}

#[derive(Debug, Default)]
struct OriginState {
    /// The connections that take calls.
    connections: Vec<Arc<Connection>>,
    /// Whether a connection is being opened.
    connecting: bool,
    /// The number of connections that could not be opened, and the last error.
    failures: u64,
    last_failure: Option<ConnectError>,
}

impl Origin {
    pub(super) fn new(authority: Authority, connector: Connector, pool: Weak<PoolInner>) -> Self {
        Self {
            authority,
            connector,
            pool,
            state: Mutex::default(),
            changed: Notify::new(),
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
        state.connections.is_empty() && !state.connecting
    }

    /// Takes a stream of a connection. Opens a connection if all streams are in use, or waits for
    /// one of them to end.
    ///
    /// # Errors
    ///
    /// The reason why no connection could be opened, if there is none.
    ///
    /// # Cancellation
    ///
    /// Dropping the future loses nothing. A connection that is being opened is kept for other
    /// calls.
    pub(super) async fn lease(self: &Arc<Self>) -> Result<Lease, ConnectError> {
        let failures = {
            let state = self.lock();
            if let Some(lease) = state.lease(self) {
                return Ok(lease);
            }
            state.failures
        };
        loop {
            let mut changed = pin!(self.changed.notified());
            // Registered before the state is read, so that no change is missed.
            changed.as_mut().enable();
            {
                let mut state = self.lock();
                if let Some(lease) = state.lease(self) {
                    return Ok(lease);
                }
                let failed = state.failures != failures;
                match &state.last_failure {
                    Some(error) if failed && state.connections.is_empty() => {
                        return Err(error.clone());
                    }
                    // One failure is enough to know: this call waits for a stream.
                    Some(_) if failed => {}
                    _ if state.connecting || state.connections.len() >= MAX_CONNECTIONS => {}
                    _ => {
                        state.connecting = true;
                        tokio::spawn(open(Arc::clone(self)));
                    }
                }
            }
            changed.await;
        }
    }

    /// Gives no more calls to a connection.
    pub(super) fn leave(&self, health: &Arc<Health>) {
        health.leave();
        let mut state = self.lock();
        state
            .connections
            .retain(|connection| !Arc::ptr_eq(connection.health(), health));
        drop(state);
        // Calls that waited for a stream of it may open another connection.
        self.changed.notify_waiters();
    }

    /// Called when a connection has ended.
    pub(super) fn ended(self: &Arc<Self>, health: &Arc<Health>) {
        self.leave(health);
        super::remove(&self.pool, self);
    }

    /// Called when a stream has ended.
    pub(super) fn stream_ended(&self) {
        self.changed.notify_one();
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
}

/// Opens a connection and tells all waiting calls.
async fn open(origin: Arc<Origin>) {
    let opened = connection::open(&origin).await;
    {
        let mut state = origin.lock();
        state.connecting = false;
        match opened {
            // It may have ended already.
            Ok(connection) if !connection.health().is_left() => state.connections.push(connection),
            ended => {
                state.failures += 1;
                state.last_failure = Some(match ended {
                    Ok(_) => ConnectError::new("the server closed the connection"),
                    Err(error) => error,
                });
            }
        }
    }
    origin.changed.notify_waiters();
    super::remove(&origin.pool, &origin);
}

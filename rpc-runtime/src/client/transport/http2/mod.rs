//! HTTP/2 connections with prior knowledge, on the crate `h2`.
//!
//! Hand-written because hyper's client does not tell whether a request was sent: a request that
//! waits for a stream when the connection ends fails like one that was lost on the way. It also
//! uses one connection however many calls wait for a stream, and keeps one on which no call gets a
//! response.
//!
//! | module | responsibility |
//! | --- | --- |
//! | `mod` | the connections of a runtime, by address |
//! | `origin` | the connections of one address: choosing, opening and leaving them |
//! | `queue` | the calls that wait for a stream, by client |
//! | `connection` | one connection: its handshake, its task, keep-alive |
//! | `exchange` | one request and its response |
//! | `open` | one request and its response as streams |

mod connection;
mod exchange;
mod open;
mod origin;
mod queue;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use ::http::Request;
use ::http::response::Parts;
use ::http::uri::Authority;
use bytes::Bytes;
use hyper_util::client::legacy::connect::HttpConnector;

pub(super) use self::exchange::{ExchangeError, ExchangeOptions, not_begun};
use self::open::OpenBody;
use self::origin::Origin;
pub(super) use self::queue::ClientId;
use super::connect;
use super::request_body::RequestBody;
use super::tcp::tcp_connector;
#[cfg(unix)]
use super::unix::UnixConnector;
use crate::sync::MutexExt as _;

/// Opens the connections of a pool.
#[derive(Debug, Clone)]
enum Connector {
    Tcp(HttpConnector),
    Configured(connect::Connector),
    #[cfg(unix)]
    Unix(UnixConnector),
}

/// The HTTP/2 connections of one runtime. Cloning is cheap.
#[derive(Debug, Clone)]
pub(super) struct Http2Pool(Arc<PoolInner>);

#[derive(Debug)]
struct PoolInner {
    connector: Connector,
    origins: Mutex<HashMap<Authority, Arc<Origin>>>,
}

impl Http2Pool {
    /// Creates a pool for TCP.
    pub(super) fn tcp() -> Self {
        Self::new(Connector::Tcp(tcp_connector()))
    }

    /// Creates a pool for connections with settings.
    pub(super) fn configured(connector: connect::Connector) -> Self {
        Self::new(Connector::Configured(connector))
    }

    /// Creates a pool for Unix sockets.
    #[cfg(unix)]
    pub(super) fn unix() -> Self {
        Self::new(Connector::Unix(UnixConnector))
    }

    fn new(connector: Connector) -> Self {
        Self(Arc::new(PoolInner {
            connector,
            origins: Mutex::default(),
        }))
    }

    /// Sends a request to an address and reads the response, of at most `limit` bytes. `write`
    /// returns the request when it can be sent at once.
    ///
    /// # Cancellation
    ///
    /// Dropping the future resets the stream. The connection stays open.
    pub(super) async fn send(
        &self,
        authority: &Authority,
        write: impl FnOnce() -> Request<Bytes>,
        options: ExchangeOptions,
    ) -> Result<(Parts, Bytes), ExchangeError> {
        let origin = self.origin(authority);
        exchange::send(&origin, write, options).await
    }

    /// Sends a request, whose body may be a stream, and waits for the head of its response.
    ///
    /// # Cancellation
    ///
    /// Dropping the future or the body resets the stream. The connection stays open.
    pub(super) async fn open(
        &self,
        authority: &Authority,
        write: impl FnOnce() -> Request<RequestBody>,
        options: ExchangeOptions,
    ) -> Result<(Parts, OpenBody), ExchangeError> {
        let origin = self.origin(authority);
        open::open(&origin, write, options).await
    }

    fn origin(&self, authority: &Authority) -> Arc<Origin> {
        let mut origins = self.0.origins.lock_unpoisoned();
        if let Some(origin) = origins.get(authority) {
            return Arc::clone(origin);
        }
        let pool = Arc::downgrade(&self.0);
        let origin = Arc::new(Origin::new(
            authority.clone(),
            self.0.connector.clone(),
            pool,
        ));
        origins.insert(authority.clone(), Arc::clone(&origin));
        origin
    }
}

/// Removes an origin that has no connection, so that addresses that are no longer used take no
/// memory. A call that has just got the origin opens a connection that no other call uses.
fn remove(pool: &Weak<PoolInner>, origin: &Arc<Origin>) {
    let Some(pool) = pool.upgrade() else {
        return;
    };
    let mut origins = pool.origins.lock_unpoisoned();
    let is_same = origins
        .get(origin.authority())
        .is_some_and(|known| Arc::ptr_eq(known, origin));
    if is_same && origin.is_unused() {
        origins.remove(origin.authority());
    }
}

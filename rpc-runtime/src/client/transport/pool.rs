//! The connection pools of this process.
//!
//! Each pool is hyper-util's client; this module only finds the pool of the current runtime. It is
//! hand-written because a connection must not outlive the runtime that drives it, and because a
//! lookup must not take a lock.

use std::collections::HashMap;
use std::sync::Mutex;

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, ResponseFuture};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::http::{CONNECT_TIMEOUT, POOL_IDLE};
#[cfg(unix)]
use super::unix::UnixConnector;
use crate::sync::MutexExt as _;

/// A pool of connections of one kind.
#[derive(Clone)]
pub(super) enum Pool {
    Tcp(Client<HttpConnector, Full<Bytes>>),
    #[cfg(unix)]
    Unix(Client<UnixConnector, Full<Bytes>>),
}

/// The kind of connections in a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct PoolKey {
    pub(super) http2: bool,
    /// Whether the connections are Unix sockets.
    pub(super) is_socket: bool,
}

/// Calls `f` with the pool of the current tokio runtime for connections of this kind.
///
/// Each runtime has its own pools, because a connection is driven by a task of the runtime that
/// opened it and ends with that runtime.
pub(super) fn with_pool<R>(kind: PoolKey, f: impl FnOnce(&Pool) -> R) -> R {
    type Pools = HashMap<(tokio::runtime::Id, PoolKey), Pool>;
    static POOLS: Mutex<Option<Pools>> = Mutex::new(None);
    thread_local! {
        /// The pool last used by this thread, to avoid the lock.
        static LAST: std::cell::RefCell<Option<((tokio::runtime::Id, PoolKey), Pool)>> =
            const { std::cell::RefCell::new(None) };
    }
    let key = (tokio::runtime::Handle::current().id(), kind);
    LAST.with_borrow_mut(|last| match last {
        Some((known, pool)) if *known == key => f(pool),
        _ => {
            let mut pools = POOLS.lock_unpoisoned();
            let pools = pools.get_or_insert_default();
            let pool = pools.entry(key).or_insert_with(|| new_pool(kind));
            f(&last.insert((key, pool.clone())).1)
        }
    })
}

fn new_pool(kind: PoolKey) -> Pool {
    let mut builder = Client::builder(TokioExecutor::new());
    builder
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE)
        .http2_only(kind.http2);
    #[cfg(unix)]
    if kind.is_socket {
        return Pool::Unix(builder.build(UnixConnector));
    }
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    Pool::Tcp(builder.build(connector))
}

impl Pool {
    pub(super) fn request(&self, request: ::http::Request<Full<Bytes>>) -> ResponseFuture {
        match self {
            Self::Tcp(pool) => pool.request(request),
            #[cfg(unix)]
            Self::Unix(pool) => pool.request(request),
        }
    }
}

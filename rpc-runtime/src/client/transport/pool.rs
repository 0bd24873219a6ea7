//! The connection pools of this process.
//!
//! A pool of HTTP/1 connections is hyper-util's client, one of HTTP/2 connections is in `http2`.
//! This module only finds the pool of the current runtime. It is hand-written because a connection
//! must not outlive the runtime that drives it, and because a lookup must not take a lock.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Builder, Client, ResponseFuture};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::http::{CONNECT_TIMEOUT, POOL_IDLE};
use super::http2::Http2Pool;
#[cfg(unix)]
use super::unix::UnixConnector;
use crate::sync::MutexExt as _;

/// The pools of one runtime. Each is created when it is first used.
#[derive(Default)]
pub(super) struct Pools {
    tcp: OnceLock<Client<HttpConnector, Full<Bytes>>>,
    #[cfg(unix)]
    unix: OnceLock<Client<UnixConnector, Full<Bytes>>>,
    http2_tcp: OnceLock<Http2Pool>,
    #[cfg(unix)]
    http2_unix: OnceLock<Http2Pool>,
}

/// Calls `f` with the pools of the current tokio runtime.
///
/// Each runtime has its own pools, because a connection is driven by a task of the runtime that
/// opened it and ends with that runtime.
pub(super) fn with_pools<R>(f: impl FnOnce(&Pools) -> R) -> R {
    static POOLS: Mutex<Option<HashMap<tokio::runtime::Id, Arc<Pools>>>> = Mutex::new(None);
    thread_local! {
        /// The pools last used by this thread, to avoid the lock.
        static LAST: std::cell::RefCell<Option<(tokio::runtime::Id, Arc<Pools>)>> =
            const { std::cell::RefCell::new(None) };
    }
    let runtime = tokio::runtime::Handle::current().id();
    LAST.with_borrow_mut(|last| match last {
        Some((known, pools)) if *known == runtime => f(pools),
        _ => {
            let mut all = POOLS.lock_unpoisoned();
            let all = all.get_or_insert_default();
            let pools = all.entry(runtime).or_default();
            f(&last.insert((runtime, Arc::clone(pools))).1)
        }
    })
}

impl Pools {
    /// Sends a request over HTTP/1.
    pub(super) fn http1(
        &self,
        is_socket: bool,
        request: ::http::Request<Full<Bytes>>,
    ) -> ResponseFuture {
        #[cfg(unix)]
        if is_socket {
            let unix = self.unix.get_or_init(|| builder().build(UnixConnector));
            return unix.request(request);
        }
        let tcp = self.tcp.get_or_init(|| builder().build(tcp_connector()));
        tcp.request(request)
    }

    /// Returns the pool of HTTP/2 connections.
    pub(super) fn http2(&self, is_socket: bool) -> Http2Pool {
        #[cfg(unix)]
        if is_socket {
            return self.http2_unix.get_or_init(Http2Pool::unix).clone();
        }
        self.http2_tcp.get_or_init(Http2Pool::tcp).clone()
    }
}

impl fmt::Debug for Pools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pools")
    }
}

fn builder() -> Builder {
    let mut builder = Client::builder(TokioExecutor::new());
    builder
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE);
    builder
}

/// Returns a connector for TCP.
pub(super) fn tcp_connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    connector
}

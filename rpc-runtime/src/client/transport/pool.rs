//! The connection pools of this process.
//!
//! A pool of HTTP/1 connections is hyper-util's client, one of HTTP/2 connections is in `http2`.
//! Connections with settings, such as TLS, have pools of their own, by their settings.
//!
//! This module only finds the pools of the current runtime. It is hand-written because a connection
//! must not outlive the runtime that drives it, and because a lookup must not take a lock.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, RwLock, Weak};

use ::http::uri::Authority;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Builder, Client, ResponseFuture};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::runtime::{Handle, Id};

use super::connect::{ConnectSettings, Connector, HttpVersion, InUse};
use super::http2::Http2Pool;
use super::limits::POOL_IDLE;
use super::request_body::RequestBody;
use super::tcp::tcp_connector;
use super::timed_connector::TimedConnector;
#[cfg(unix)]
use super::unix::UnixConnector;
use crate::sync::{MutexExt as _, RwLockExt as _};

/// The pools of one runtime. Each is created when it is first used.
#[derive(Default)]
pub(super) struct Pools {
    tcp: OnceLock<Client<TimedConnector<HttpConnector>, RequestBody>>,
    #[cfg(unix)]
    unix: OnceLock<Client<TimedConnector<UnixConnector>, RequestBody>>,
    http2_tcp: OnceLock<Http2Pool>,
    #[cfg(unix)]
    http2_unix: OnceLock<Http2Pool>,
    /// The pools of connections with settings, by their ID.
    configured: RwLock<HashMap<u64, Arc<ConfiguredPool>>>,
}

/// The connections with the same settings.
pub(super) struct ConfiguredPool {
    in_use: Weak<InUse>,
    generation: u64,
    connector: Connector,
    http1: Client<TimedConnector<Connector>, RequestBody>,
    http2: Http2Pool,
}

/// The pools of all runtimes. Those of a runtime are removed when it shuts down.
static POOLS: Mutex<Option<HashMap<Id, Arc<Pools>>>> = Mutex::new(None);

/// Calls `f` with the pools of the current tokio runtime.
///
/// Each runtime has its own pools, because a connection is driven by a task of the runtime that
/// opened it and ends with that runtime.
pub(super) fn with_pools<R>(f: impl FnOnce(&Pools) -> R) -> R {
    thread_local! {
        /// The pools last used by this thread, to avoid the lock.
        static LAST: std::cell::RefCell<Option<(Id, Arc<Pools>)>> =
            const { std::cell::RefCell::new(None) };
    }
    let runtime = Handle::current().id();
    LAST.with_borrow_mut(|last| match last {
        Some((known, pools)) if *known == runtime => f(pools),
        _ => f(&last.insert((runtime, pools_of(runtime))).1),
    })
}

/// Returns the pools of the current runtime, whose ID is `runtime`.
fn pools_of(runtime: Id) -> Arc<Pools> {
    let new = {
        let mut all = POOLS.lock_unpoisoned();
        let all = all.get_or_insert_default();
        if let Some(pools) = all.get(&runtime) {
            return Arc::clone(pools);
        }
        Arc::clone(all.entry(runtime).or_default())
    };
    // Not under the lock: a runtime that is shutting down drops the task at once, and the guard
    // takes the lock.
    let guard = PoolsGuard(runtime);
    // Never ends by itself: the runtime drops it when it shuts down.
    tokio::spawn(async move {
        let _guard = guard;
        std::future::pending::<()>().await;
    });
    new
}

/// Removes the pools of a runtime when it is dropped with the tasks of that runtime.
struct PoolsGuard(Id);

impl Drop for PoolsGuard {
    fn drop(&mut self) {
        let removed = {
            let mut all = POOLS.lock_unpoisoned();
            all.as_mut().and_then(|all| all.remove(&self.0))
        };
        // Outside of the lock, because the connections are closed here.
        drop(removed);
    }
}

impl Pools {
    /// Sends a request over HTTP/1.
    pub(super) fn http1(
        &self,
        is_socket: bool,
        request: ::http::Request<RequestBody>,
    ) -> ResponseFuture {
        #[cfg(unix)]
        if is_socket {
            let unix = self
                .unix
                .get_or_init(|| builder().build(TimedConnector::new(UnixConnector)));
            return unix.request(request);
        }
        let tcp = self
            .tcp
            .get_or_init(|| builder().build(TimedConnector::new(tcp_connector())));
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

    /// Returns the pool of connections with these settings: a new one when their files have
    /// changed. Calls on connections of the old one go on.
    pub(super) fn configured(&self, settings: &ConnectSettings) -> Arc<ConfiguredPool> {
        let (id, generation) = (settings.shared().id(), settings.shared().generation());
        let is_current = |pool: &&Arc<ConfiguredPool>| pool.generation >= generation;
        if let Some(pool) = self
            .configured
            .read_unpoisoned()
            .get(&id)
            .filter(is_current)
        {
            return Arc::clone(pool);
        }
        let new = Arc::new(ConfiguredPool::new(settings, generation));
        let mut unused = Vec::new();
        let mut all = self.configured.write_unpoisoned();
        let known = all.get(&id).filter(is_current).map(Arc::clone);
        let pool = known.unwrap_or_else(|| {
            unused.extend(all.insert(id, Arc::clone(&new)));
            unused.extend(
                all.extract_if(|_, pool| !pool.is_in_use())
                    .map(|(_, pool)| pool),
            );
            new
        });
        // Their connections are closed outside of the lock.
        drop(all);
        drop(unused);
        pool
    }
}

impl ConfiguredPool {
    fn new(settings: &ConnectSettings, generation: u64) -> Self {
        let connector = Connector::new(Arc::clone(settings.shared()));
        Self {
            in_use: settings.in_use(),
            generation,
            http1: builder().build(TimedConnector::new(connector.clone())),
            http2: Http2Pool::configured(connector.clone()),
            connector,
        }
    }

    fn is_in_use(&self) -> bool {
        self.in_use.strong_count() > 0
    }

    /// Returns the version of HTTP for the next request over TLS.
    pub(super) fn version(&self, authority: &Authority) -> HttpVersion {
        self.connector.version(authority)
    }

    /// Sends a request over HTTP/1.
    pub(super) fn http1(&self, request: ::http::Request<RequestBody>) -> ResponseFuture {
        self.http1.request(request)
    }

    pub(super) fn http2(&self) -> Http2Pool {
        self.http2.clone()
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::runtime::{self, Runtime};

    use super::*;

    fn has_pools(id: Id) -> bool {
        let all = POOLS.lock_unpoisoned();
        all.as_ref().is_some_and(|all| all.contains_key(&id))
    }

    /// Uses the pools of a runtime, and returns its ID.
    fn use_pools(runtime: &Runtime) -> Id {
        runtime.block_on(async { with_pools(|_| ()) });
        let task = runtime.spawn(async { with_pools(|_| ()) });
        runtime.block_on(task).unwrap();
        let id = runtime.handle().id();
        assert!(has_pools(id));
        id
    }

    fn one_thread() -> Runtime {
        runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    }

    fn several_threads() -> Runtime {
        runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap()
    }

    #[test]
    fn pools_are_removed_with_their_runtime() {
        for runtime in [one_thread(), several_threads()] {
            let id = use_pools(&runtime);
            drop(runtime);
            assert!(!has_pools(id));
        }
        let runtime = several_threads();
        let id = use_pools(&runtime);
        runtime.shutdown_timeout(Duration::from_secs(60));
        assert!(!has_pools(id));
    }

    #[test]
    fn a_runtime_that_shuts_down_keeps_no_new_pools() {
        struct Last;
        impl Drop for Last {
            fn drop(&mut self) {
                with_pools(|_| ());
            }
        }
        let runtime = one_thread();
        let id = runtime.handle().id();
        let last = Last;
        runtime.spawn(async move {
            let _last = last;
            std::future::pending::<()>().await;
        });
        runtime.block_on(tokio::task::yield_now());
        drop(runtime);
        assert!(!has_pools(id));
    }
}

//! A connector that tells when opening a connection has taken time.
//!
//! A request has the time that is left to its caller in a header, and is written before the pool
//! looks for a connection. If a new one takes long, the server would work longer than the caller
//! waits. So the connection is kept aside, and the request is written and sent again.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt;
use std::future::ready;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use ::http::Uri;
use ::http::uri::Authority;
use tokio::time::{Instant, sleep};
use tower_service::Service;

use crate::error::Error;
use crate::sync::MutexExt as _;

/// The time after which the deadline of a request is written again.
const SLOW: Duration = Duration::from_millis(5);

/// Time for which an open connection waits for its request. The pool may have found another one for
/// it.
const UNCLAIMED: Duration = Duration::from_secs(1);

/// The failure of a request that was not sent, because opening its connection took time. The
/// connection is ready for the next request to this server.
#[derive(Debug)]
pub(super) struct SlowConnect;

impl fmt::Display for SlowConnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection took time to open; send the request again")
    }
}

impl StdError for SlowConnect {}

/// Returns whether the reason of a failed call is of this type.
pub(super) fn is_reason<T: StdError + 'static>(error: &Error) -> bool {
    error.source().is_some_and(<dyn StdError>::is::<T>)
}

/// Returns whether a cause of an error is of this type.
pub(super) fn is_cause_of<T: StdError + 'static>(error: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<T>() {
            return true;
        }
        next = error.source();
    }
    false
}

/// The connections that are open and have no request yet.
type Opened<I> = Arc<Mutex<HashMap<Authority, Vec<I>>>>;

/// A connector that fails with [`SlowConnect`] when it has taken time, and returns the connection
/// the next time.
pub(super) struct TimedConnector<C: Service<Uri>> {
    connector: C,
    opened: Opened<C::Response>,
}

impl<C: Service<Uri> + Clone> Clone for TimedConnector<C> {
    fn clone(&self) -> Self {
        Self {
            connector: self.connector.clone(),
            opened: Arc::clone(&self.opened),
        }
    }
}

impl<C: Service<Uri>> TimedConnector<C> {
    pub(super) fn new(connector: C) -> Self {
        Self {
            connector,
            opened: Opened::default(),
        }
    }
}

impl<C> Service<Uri> for TimedConnector<C>
where
    C: Service<Uri>,
    C::Response: Send + 'static,
    C::Error: Into<Box<dyn StdError + Send + Sync>>,
    C::Future: Send + 'static,
{
    type Response = C::Response;
    type Error = Box<dyn StdError + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.connector.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let authority = uri.authority().cloned();
        if let Some(io) = authority.as_ref().and_then(|key| take(&self.opened, key)) {
            return Box::pin(ready(Ok(io)));
        }
        let started = Instant::now();
        let opening = self.connector.call(uri);
        let opened = Arc::clone(&self.opened);
        Box::pin(async move {
            let io = opening.await.map_err(Into::into)?;
            match authority {
                Some(authority) if started.elapsed() >= SLOW => {
                    keep(opened, authority, io);
                    Err(SlowConnect.into())
                }
                _ => Ok(io),
            }
        })
    }
}

fn take<I>(opened: &Opened<I>, authority: &Authority) -> Option<I> {
    let mut opened = opened.lock_unpoisoned();
    let io = opened.get_mut(authority)?.pop();
    if opened.get(authority).is_some_and(Vec::is_empty) {
        opened.remove(authority);
    }
    io
}

/// Keeps a connection for [`UNCLAIMED`].
fn keep<I: Send + 'static>(opened: Opened<I>, authority: Authority, io: I) {
    let mut all = opened.lock_unpoisoned();
    all.entry(authority.clone()).or_default().push(io);
    drop(all);
    tokio::spawn(async move {
        sleep(UNCLAIMED).await;
        drop(take(&opened, &authority));
    });
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Opens numbered connections, each after a time in milliseconds.
    #[derive(Clone, Default)]
    struct Numbered {
        delay: u64,
        opened: Arc<AtomicUsize>,
    }

    impl Service<Uri> for Numbered {
        type Response = usize;
        type Error = std::io::Error;
        type Future = Pin<Box<dyn Future<Output = Result<usize, std::io::Error>> + Send>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), std::io::Error>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Uri) -> Self::Future {
            let (delay, opened) = (self.delay, Arc::clone(&self.opened));
            Box::pin(async move {
                pass(delay).await;
                Ok(opened.fetch_add(1, Ordering::Relaxed))
            })
        }
    }

    /// Waits this long, in milliseconds.
    async fn pass(time: u64) {
        let time = Duration::from_millis(time);
        let _elapsed = tokio::time::timeout(time, std::future::pending::<()>()).await;
    }

    fn connector(delay: u64) -> TimedConnector<Numbered> {
        TimedConnector::new(Numbered {
            delay,
            ..Numbered::default()
        })
    }

    fn uri(host: &str) -> Uri {
        format!("http://{host}/a.B/C").parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_fast_connection_is_used_at_once() {
        let mut connector = connector(1);
        assert_eq!(connector.call(uri("a:1")).await.unwrap(), 0);
        assert_eq!(connector.call(uri("a:1")).await.unwrap(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_connection_is_for_the_next_request() {
        let mut connector = connector(700);
        let both = (connector.call(uri("a:1")), connector.call(uri("a:1")));
        let (one, two) = tokio::join!(both.0, both.1);
        for slow in [one, two] {
            assert!(is_cause_of::<SlowConnect>(&*slow.unwrap_err()));
        }
        // Only to the same server.
        let other = connector.call(uri("b:1")).await.unwrap_err();
        assert!(is_cause_of::<SlowConnect>(&*other));
        let next = [connector.call(uri("a:1")), connector.call(uri("a:1"))];
        for (next, expected) in next.into_iter().zip([1, 0]) {
            assert_eq!(next.await.unwrap(), expected);
        }
        assert!(connector.call(uri("a:1")).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn an_unclaimed_connection_is_closed() {
        let mut connector = connector(700);
        connector.call(uri("a:1")).await.unwrap_err();
        pass(1100).await;
        assert!(connector.opened.lock_unpoisoned().is_empty());
    }
}

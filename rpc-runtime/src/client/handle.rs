//! The handle of a call: cancels it, and tells what is known of it.

use std::sync::Arc;

use tokio::sync::watch;

use crate::error::{Code, Error, Origin};
use crate::middleware::{AttemptLog, BoxFuture, Response};

/// Cancels a [`Call`](crate::Call), and tells what is known of it; see
/// [`Call::with_handle`](crate::Call::with_handle). Clones are handles of the same call.
#[derive(Debug, Clone)]
pub struct CallHandle {
    canceled: watch::Sender<bool>,
    attempts: Arc<AttemptLog>,
}

impl CallHandle {
    pub(super) fn new() -> Self {
        Self {
            canceled: watch::Sender::new(false),
            attempts: Arc::default(),
        }
    }

    /// Cancels the call. It ends with `canceled`, unless it has ended already.
    ///
    /// The error of the call tells whether it is known that nothing was done
    /// ([`is_not_executed`](crate::Remote::is_not_executed)), how many attempts there were, and in
    /// its hops and its [source](std::error::Error::source), how the last one failed. The server
    /// drops the handler, unless the method is `detached`.
    pub fn cancel(&self) {
        self.canceled.send_replace(true);
    }

    /// Returns whether the call was canceled by a handle.
    #[must_use]
    pub fn is_canceled(&self) -> bool {
        *self.canceled.borrow()
    }

    /// Returns the number of attempts that have begun.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts.state().begun
    }

    /// Returns the error of the last attempt that has ended, while the call waits for another one
    /// or after it has ended.
    #[must_use]
    pub fn last_error(&self) -> Option<Error> {
        self.attempts.state().last_error
    }

    pub(super) fn log(&self) -> &Arc<AttemptLog> {
        &self.attempts
    }

    /// Runs a call until it is canceled. Dropping its future cancels the running attempt.
    pub(super) async fn run(self, work: BoxFuture<Response>) -> Response {
        let mut canceled = self.canceled.subscribe();
        if self.is_canceled() {
            return self.canceled_error().into();
        }
        tokio::select! {
            biased;
            response = work => response,
            // This handle is a sender, so the channel stays open.
            _ = canceled.wait_for(|canceled| *canceled) => self.canceled_error().into(),
        }
    }

    /// Waits until the call is canceled, and returns its error.
    pub(super) fn canceled(&self) -> BoxFuture<Error> {
        let (handle, mut canceled) = (self.clone(), self.canceled.subscribe());
        Box::pin(async move {
            // The handle is a sender, so the channel stays open.
            let _ = canceled.wait_for(|canceled| *canceled).await;
            handle.canceled_error()
        })
    }

    /// Returns the error of the canceled call with all that is known.
    fn canceled_error(&self) -> Error {
        let state = self.attempts.state();
        let text = match state.begun {
            0 => "the call was canceled before it was sent".to_owned(),
            1 => "the call was canceled in its first attempt".to_owned(),
            attempts => format!("the call was canceled after {attempts} attempts"),
        };
        let mut error = Error::without_location(Code::Canceled, text).with_origin(Origin::Client);
        if !(state.is_running || state.maybe_executed) {
            error = error.not_executed();
        }
        if let Some(last) = state.last_error {
            error.set_hops(last.hops().to_vec());
            error = error.with_source(last);
        }
        error
    }
}

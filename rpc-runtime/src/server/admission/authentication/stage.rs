//! The stage of a call that authenticates its user.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::time::timeout_at;

use super::Authenticator;
use super::wrong_credentials::{Sender, WrongCredentials};
use crate::context::Context;
use crate::duration::saturating_deadline;
use crate::error::{Code, Error, Result};
use crate::observe::LogThrottle;
use crate::server::Limits;
use crate::server::panic::CatchPanic;
use crate::text::EscapeControl;

/// The maximum time for the authentication of one call.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The share of the running calls that may be authenticated at once. The others are left to callers
/// that are known.
const SHARE: usize = 4;

/// The delay after which a caller may try again that was refused because of the number of
/// authentications.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// The maximum length of a reason in the log, in bytes.
const REASON: usize = 512;

/// The user that a method needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Required {
    /// A user at an edge listener of a server with an authenticator.
    User,
    /// Credentials are checked if the caller sends them.
    Optional,
    /// Of built-in methods, and of plain routes for unsigned callers of an internal listener:
    /// credentials are not read.
    Nothing,
}

/// The reason for which a call was not authenticated.
pub(crate) enum Refused {
    /// Too many calls are authenticated at once.
    Full(Error),
    /// The peer has sent too many wrong credentials.
    Guessing(Error),
    /// The error of its credentials, or of the authenticator.
    Credentials(Error),
}

/// Authenticates the users of a server.
pub(crate) struct Authentication {
    authenticators: Vec<Arc<dyn Authenticator>>,
    /// One permit for each call that is being authenticated.
    running: Semaphore,
    wrong: WrongCredentials,
    forged: LogThrottle,
    failed: LogThrottle,
    guessing: LogThrottle,
}

impl Authentication {
    pub(crate) fn new(authenticators: Vec<Arc<dyn Authenticator>>, limits: &Limits) -> Self {
        let running = (limits.running_calls / SHARE).clamp(1, Semaphore::MAX_PERMITS);
        Self {
            authenticators,
            running: Semaphore::new(running),
            wrong: WrongCredentials::new(limits.wrong_credentials_per_peer),
            forged: LogThrottle::new(),
            failed: LogThrottle::new(),
            guessing: LogThrottle::new(),
        }
    }

    pub(crate) fn has_authenticators(&self) -> bool {
        !self.authenticators.is_empty()
    }

    /// Returns whether the stage has work for a call. It has none if an HTTP layer, or the
    /// application around a mounted router, has authenticated the user.
    pub(crate) fn applies(&self, context: &Context, required: Required) -> bool {
        !self.authenticators.is_empty()
            && required != Required::Nothing
            && context.has_untrusted_caller()
            && context.principal().is_none()
    }

    /// Checks that the peer of a call may try the credentials of the call. Whether they are right
    /// makes no difference: otherwise it would be found out. A call without credentials tries none.
    ///
    /// # Errors
    ///
    /// `resource_exhausted`, with the time after which it may.
    pub(crate) fn check_peer(&self, context: &Context) -> Result<(), Refused> {
        if self.wrong.is_empty() {
            return Ok(());
        }
        let sender = self.wrong.sender(context);
        let Some(wait) = self.wrong.wait(sender, tokio::time::Instant::now()) else {
            return Ok(());
        };
        let mut authenticators = self.authenticators.iter();
        if !authenticators.any(|authenticator| authenticator.has_credentials(context)) {
            return Ok(());
        }
        self.log_guessing(context);
        let text = match sender {
            Sender::Peer(_) => {
                "too many wrong credentials came from this address; the call was not begun, retry later"
            }
            Sender::Claiming(_) => {
                "too many wrong credentials came for this user; the call was not begun, retry later"
            }
        };
        let error = Error::without_location(Code::ResourceExhausted, text);
        // Callers read whole milliseconds; 0 would mean an immediate retry.
        let wait = wait.max(Duration::from_millis(1));
        Err(Refused::Guessing(error.with_retry_after(wait)))
    }

    fn log_guessing(&self, context: &Context) {
        let Some(count) = self.guessing.record() else {
            return;
        };
        let request_id = context.request_id();
        match context.stranger() {
            Some(peer) => tracing::warn!(
                target: "rpc",
                request_id,
                %peer,
                count,
                "peer refused after too many wrong credentials; `count` so far; if it is a proxy, name it as trusted"
            ),
            None => tracing::warn!(
                target: "rpc",
                request_id,
                count,
                "user refused after too many wrong credentials from unknown addresses; `count` so far"
            ),
        }
    }

    /// Authenticates the user of a call, if [`applies`](Self::applies) says so.
    ///
    /// # Errors
    ///
    /// `unauthenticated` without valid credentials, `unavailable` if too many calls are
    /// authenticated at once, `deadline_exceeded` if it takes too long, and the errors of the
    /// authenticators.
    pub(crate) async fn run(&self, context: &Context, required: Required) -> Result<(), Refused> {
        let Ok(_running) = self.running.try_acquire() else {
            let text =
                "too many callers are being authenticated; the call was not begun, retry later";
            let error = Error::without_location(Code::Unavailable, text);
            return Err(Refused::Full(error.with_retry_after(RETRY_AFTER)));
        };
        let own = saturating_deadline(Instant::now(), TIMEOUT);
        let deadline = context.deadline().map_or(own, |deadline| deadline.min(own));
        let before = context.before_handler();
        let work = before
            .clone()
            .scope(CatchPanic::new(self.ask(context, before)));
        let outcome = match timeout_at(deadline.into(), work).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(panic)) => Err(panic),
            Err(_) => Err(Error::without_location(
                Code::DeadlineExceeded,
                "the credentials could not be checked in time; the call was not begun",
            )),
        };
        let error = match outcome {
            Ok(true) => return Ok(()),
            Ok(false) if required == Required::Optional => return Ok(()),
            Ok(false) => {
                let text = "this server serves authenticated users only: send credentials in the Authorization header";
                Error::without_location(Code::Unauthenticated, text)
            }
            Err(error) => {
                self.record_failed(context, &error);
                error
            }
        };
        Err(Refused::Credentials(self.challenged(error)))
    }

    /// Asks the authenticators one after another in the context `before`, until one has found
    /// credentials. Returns whether one did.
    async fn ask(&self, context: &Context, before: Context) -> Result<bool> {
        for authenticator in &self.authenticators {
            if let Some(principal) = authenticator.authenticate(before.clone()).await? {
                context.set_principal(principal)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Adds the challenges of the authenticators to an error that asks for credentials.
    fn challenged(&self, mut error: Error) -> Error {
        if error.code() != Code::Unauthenticated {
            return error;
        }
        for authenticator in &self.authenticators {
            if let Some(challenge) = authenticator.challenge()
                && let Err(invalid) = error.metadata_mut().append("www-authenticate", challenge)
            {
                tracing::error!(target: "rpc", %invalid, "an authenticator has an invalid challenge, which is not sent");
            }
        }
        error
    }

    /// Counts wrong credentials, and logs some of them.
    fn record_failed(&self, context: &Context, error: &Error) {
        if error.code() != Code::Unauthenticated {
            return;
        }
        let sender = self.wrong.sender(context);
        self.wrong.record(sender, tokio::time::Instant::now());
        if let Some(count) = self.failed.record() {
            let source = error.private_source();
            let rule = source.map(|source| format!(": {source}"));
            let reason = format!("{}{}", error.message(), rule.unwrap_or_default());
            tracing::warn!(
                target: "rpc",
                request_id = context.request_id(),
                peer = context.stranger().map(tracing::field::display),
                reason = EscapeControl(&reason).truncated(REASON),
                count,
                "credentials refused; `count` so far"
            );
        }
    }

    /// Counts users that callers without trust have sent, and logs some of them.
    pub(crate) fn record_forged(&self, request_id: &str) {
        if let Some(count) = self.forged.record() {
            tracing::warn!(
                target: "rpc",
                request_id,
                count,
                "ignored the `x-rpc-principal` of a caller without trust; `count` so far"
            );
        }
    }
}

//! Calls that run once, however often they are sent: methods with an idempotency key.
//!
//! An argument with `#[rpc(idempotency_key)]` says which calls are the same one. A client retries such a method as it
//! does an idempotent one, and the server answers what is sent again:
//!
//! | a call whose key … | is answered with |
//! | --- | --- |
//! | is new | what the handler says |
//! | is that of a call that is running | that call's result, when it is there; the caller's own deadline holds |
//! | is that of a call that is done | that call's result, and `idempotent-replayed: true` beside it |
//! | is that of a call with another message | `aborted` |
//! | is empty, longer than 255 bytes, or has control characters | `invalid_argument` |
//!
//! **What a result is.** A value, and every error but `unavailable` and `resource_exhausted`: by these a handler says that
//! it did nothing and may be asked again, so the next call with the key runs. A handler that broke (a panic,
//! `internal`, its deadline) may have done half of its work, so its error is a result as well, and only a new key runs it
//! again. Arguments that cannot be read and refusals by layers come before the key is looked at, and leave nothing.
//!
//! **The work goes on** when its caller goes away or its deadline passes, as that of a `detached` method, up to the
//! method's `timeout` or [`deadline_cap`](crate::Limits::deadline_cap): so there is a result for who asks again.
//!
//! **Whose key it is.** Keys of different callers are different keys. A caller is a server in an environment, as far as
//! it is believed; all unknown ones, such as those at an edge, are one caller. There, let clients make keys that nobody
//! guesses (a UUID), or take the user as an argument: another user's message is then another one.
//!
//! **Where.** A result is known to the servers that share a [`IdempotencyStore`]; each has one of its own unless said. So a client
//! of several addresses that has lost an answer asks again at the address that it sent the call to, and nowhere else. What
//! was not sent, and what a server says it has not begun, goes to another one.
//!
//! **For how long.** As the [`IdempotencyStore`] says: [`MemoryStore`] keeps results for a day and not past the end of the
//! process.

mod fingerprint;
mod in_flight;
mod memory;
mod outcome;
mod store;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::task::TaskTracker;
use tracing::Span;

pub use memory::MemoryStore;
pub use outcome::Outcome;
pub use store::{Claim, Fingerprint, IdempotencyKey, IdempotencyStore, StoreFuture};

use self::in_flight::{CallResult, InFlightCalls, Join, Waiter};
use crate::context::Context;
use crate::descriptor::{Idempotency, MethodDescriptor};
use crate::error::{Code, Error};
use crate::middleware::{BoxFuture, Request, Response};
use crate::observe::Observers;
use crate::server::call::service::{PreparedCall, Route};
use crate::server::call::stack::{answered, guarded, started, within};

/// The longest key, in bytes.
const KEY_LIMIT: usize = 255;
/// Beside an answer that was another call's.
const REPLAYED: &str = "idempotent-replayed";
/// When to ask again for a call that runs in another process.
const RETRY_MS: std::ops::RangeInclusive<u64> = 100..=300;

/// What answers the repeated calls of one server.
pub(crate) struct IdempotencyHandler {
    store: Arc<dyn IdempotencyStore>,
    in_flight: Arc<InFlightCalls>,
    observers: Observers,
    tasks: TaskTracker,
    deadline_cap: Duration,
}

/// Gives the routes whose method has a key what they need. A server without any has nothing of it.
pub(crate) fn apply<'r>(
    store: Option<Arc<dyn IdempotencyStore>>,
    routes: impl Iterator<Item = &'r mut Route>,
    observers: &Observers,
    tasks: &TaskTracker,
    deadline_cap: Duration,
) {
    let mut routes = routes
        .filter(|route| argument_of(route.method()).is_some())
        .peekable();
    if routes.peek().is_none() {
        return;
    }
    let idempotency = Arc::new(IdempotencyHandler {
        store: store.unwrap_or_else(|| Arc::new(MemoryStore::new())),
        in_flight: Arc::default(),
        observers: observers.clone(),
        tasks: tasks.clone(),
        deadline_cap,
    });
    for route in routes {
        route.idempotency = Some(Arc::clone(&idempotency));
    }
}

fn argument_of(method: &MethodDescriptor) -> Option<&'static str> {
    match method.idempotency {
        Idempotency::Keyed { argument } => Some(argument),
        _ => None,
    }
}

impl IdempotencyHandler {
    /// Answers a call, by running it or with the result of the one that it repeats. The developer's layers are around
    /// this, so that a repeat passes them as every call does.
    pub(crate) fn call(
        self: Arc<Self>,
        route: &Route,
        mut request: Request,
    ) -> BoxFuture<Response> {
        let method = route.method();
        let cap = method.timeout.unwrap_or(self.deadline_cap);
        let deadline = Instant::now().checked_add(cap);
        let start = started(&request);
        let caller = caller(request.context());
        if let Some(deadline) = deadline {
            request.set_context(request.context().with_later_deadline(deadline));
        }
        let context = request.context().clone();
        let message = request.body().as_message().cloned();
        let PreparedCall { key, answer } = route.prepare(request);
        let (Some(key), Some(message)) = (key, message) else {
            // The arguments cannot be read: the answer says so, and nothing has begun.
            return answer;
        };
        if let Some(error) = refusal(method, &key) {
            return Box::pin(std::future::ready(error.into()));
        }
        Box::pin(async move {
            let message = Fingerprint::of(&message);
            let key = IdempotencyKey::new(method.path, caller, key);
            let (waiter, is_first) = match self.in_flight.join(&key, message).await {
                Join::KeyReused => return other_message(method).into(),
                Join::Follower(waiter) => {
                    // With the place that it has: who waits for another call does not keep a third one out.
                    drop(answer);
                    (waiter, false)
                }
                Join::Leader(leader, waiter) => {
                    let idempotency = Arc::clone(&self);
                    let span = Span::current();
                    self.tasks.spawn(async move {
                        let mut ran = None;
                        let work = async {
                            let work = guarded(&context, span, answer);
                            let outcome =
                                Outcome::of_response(answered(within(deadline, work).await));
                            ran = Some(outcome.clone());
                            outcome
                        };
                        let is_awaited = leader.run(&*idempotency.store, work).await;
                        if let (false, Some(outcome)) = (is_awaited, ran) {
                            // The caller is gone or was told `deadline_exceeded`: somebody should still know how it
                            // ended.
                            let response = outcome.into_response();
                            idempotency.observers.detached_ended(&start, &response);
                        }
                    });
                    (waiter, true)
                }
            };
            answer_with(waiter, is_first, method).await
        })
    }
}

async fn answer_with(waiter: Waiter, is_first: bool, method: &MethodDescriptor) -> Response {
    let stopped = || {
        let text = "the server stopped before the work was done; the call may have been executed";
        Error::without_location(Code::Unavailable, text)
    };
    let error = match waiter.result().await {
        Some(CallResult::Ran(outcome)) if is_first => return outcome.into_response(),
        Some(CallResult::Ran(outcome) | CallResult::Stored(outcome)) => return replayed(outcome),
        Some(CallResult::KeyReused) => other_message(method),
        Some(CallResult::RunningElsewhere) => Error::without_location(
            Code::Unavailable,
            "another instance runs the call with this idempotency key; its result will be there when it is done",
        )
        .with_retry_after(Duration::from_millis(fastrand::u64(RETRY_MS))),
        Some(CallResult::StoreFull) => Error::without_location(
            Code::ResourceExhausted,
            "as many calls with idempotency keys run as are remembered at one time; the call was not begun",
        ),
        Some(CallResult::StoreTimeout) => Error::without_location(
            Code::Unavailable,
            "the store of idempotency keys does not answer; the call was not begun",
        ),
        Some(CallResult::StoreFailed(error)) => error,
        None => stopped(),
    };
    error.into()
}

fn replayed(outcome: Outcome) -> Response {
    let mut response = outcome.into_response();
    // A name and a value of our own: they can travel.
    let _ = response.headers_mut().append(REPLAYED, "true");
    response
}

fn caller(context: &Context) -> String {
    match context.source_arc() {
        Some(source) => format!("{}@{}", source.server(), source.environment()),
        None => "-".to_owned(),
    }
}

fn other_message(method: &MethodDescriptor) -> Error {
    let argument = argument_of(method).unwrap_or_default();
    let text = format!(
        "`{argument}` was used for a call with other arguments: one key is for one call and its repeats"
    );
    Error::without_location(Code::Aborted, text).with_reason("IDEMPOTENCY_KEY_REUSED")
}

/// What is wrong with a key.
fn refusal(method: &MethodDescriptor, key: &str) -> Option<Error> {
    let problem = if key.is_empty() {
        "is empty; it says which calls are the same one".to_owned()
    } else if key.len() > KEY_LIMIT {
        format!("is {} bytes long; it may have {KEY_LIMIT}", key.len())
    } else if key.chars().any(char::is_control) {
        "has control characters".to_owned()
    } else {
        return None;
    };
    let argument = argument_of(method).unwrap_or_default();
    let error = Error::without_location(Code::InvalidArgument, format!("`{argument}` {problem}"));
    Some(error.with_violation(argument, problem))
}

impl fmt::Debug for IdempotencyHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdempotencyHandler")
    }
}

//! Idempotency keys: a call runs once, however often it is sent.
//!
//! An argument with `#[rpc(idempotency_key)]` identifies the calls that are repeats of each other.
//! A client retries such a method like an idempotent one, and the server returns:
//!
//! | the key of the call | the response |
//! | --- | --- |
//! | is new | the result of the handler |
//! | belongs to a call in flight | the result of that call, when it is ready; the deadline of the repeat applies |
//! | belongs to a completed call | the stored result, with the header `idempotent-replayed: true` |
//! | belongs to a call with a different message | `aborted` |
//! | is empty, longer than 255 bytes, or has control characters | `invalid_argument` |
//!
//! **Results.** A value is a result, and so is every error except one of which it is known that
//! nothing was done: the handler says so by [`Error::not_executed`](crate::Error::not_executed), or
//! it passes on the error of a dependency that was not executed and has made no other call. The
//! next call with the key then runs. After any other error, `unavailable` included, the handler may
//! have done part of its work, so the error is stored as the result, and only a new key runs the
//! work again. Arguments that cannot be decoded and rejections by layers come before the key is
//! checked, and are not stored.
//!
//! **Cancellation.** The work continues when its caller disconnects or its deadline passes, as for
//! a `detached` method, up to the method's `timeout` or
//! [`deadline_cap`](crate::Limits::deadline_cap), so a later repeat finds a result. A call whose
//! callers have all left before the store returned the claim is not begun. Once its callers have
//! all left, a running call no longer counts against
//! [`running_calls`](crate::Limits::running_calls); as many calls again may run in this way.
//!
//! **Scope.** Keys are scoped to the user of the call
//! ([`Context::principal`](crate::Context::principal)), whichever server calls for it: two users
//! never share a result. Without a user they are scoped to the caller, which is a server in an
//! environment. All trusted callers without a name share one scope, and all callers without trust,
//! such as those at an edge, share another one. A server with an edge listener does not start if
//! one of its methods has keys and its callers have no user: authenticate them
//! ([`Server::authenticate`](crate::Server::authenticate)), or state that a key is meant for all
//! callers by `#[rpc(idempotency_key(shared))]`. Such keys must be unguessable, as UUIDs are.
//!
//! **Repeats.** At most 100 repeats wait for one call, and 1,000 in total, of which one caller may
//! have a half. Further ones are rejected with `unavailable` and a retry delay; they do not run.
//!
//! **Replicas.** A result is known to the servers that share an [`IdempotencyStore`]; by default
//! each server has a separate one. So a client with several addresses that lost a response, or got
//! one that is not of the server, retries only at the address to which it sent the call. A call
//! that was not sent, or of which the server states that it was not executed, is retried at another
//! address.
//!
//! **Faults of the store.** A call whose key the store does not claim within 5 s is not run. A
//! claim that arrives later is released. A result that the store does not accept is given to
//! repeats at this server, until the store has it.
//!
//! **Retention.** Defined by the [`IdempotencyStore`]: [`MemoryStore`] keeps results for 24 hours
//! and not past the end of the process.

mod fingerprint;
mod held_claim;
mod in_flight;
mod memory;
mod outcome;
mod store;
mod timing;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::task::TaskTracker;
use tracing::Span;

pub use memory::MemoryStore;
pub use outcome::Outcome;
pub use store::{Claim, ClaimToken, Fingerprint, IdempotencyKey, IdempotencyStore, StoreFuture};

use self::in_flight::{CallResult, InFlightCalls, Join, Leader, Waiter};
use crate::context::Context;
use crate::descriptor::{Idempotency, MethodDescriptor};
use crate::duration::saturating_deadline;
use crate::error::{Code, Error};
use crate::middleware::{BoxFuture, Request, Response};
use crate::observe::{CallStart, Observers};
use crate::server::Limits;
use crate::server::admission::OwnedPermit;
use crate::server::call::guard::{call_start, guarded, or_deadline_exceeded, within};
use crate::server::call::prepared::PreparedCall;

/// The maximum length of a key, in bytes.
const KEY_LIMIT: usize = 255;
/// The scope of callers without trust. Not the name of any server, which has an `@`.
const UNTRUSTED: &str = "edge";
/// The scope of keys that all callers share.
const SHARED: &str = "shared";
/// The response header that marks the stored result of an earlier call.
const REPLAYED: &str = "idempotent-replayed";
/// The delay after which a caller may ask again for the result of a call that runs in another
/// process, in milliseconds. It is longer than that of an overload, because that call must end
/// first.
const RUNNING_ELSEWHERE_RETRY_MS: std::ops::RangeInclusive<u64> = 100..=300;
/// The delay after which a call may be sent again that was not begun, because the store is full or
/// does not respond, in milliseconds.
const STORE_RETRY_MS: std::ops::RangeInclusive<u64> = 50..=150;

/// Runs the calls with idempotency keys of one server.
pub(crate) struct IdempotencyHandler {
    store: Arc<dyn IdempotencyStore>,
    in_flight: Arc<InFlightCalls>,
    observers: Observers,
    tasks: TaskTracker,
    deadline_cap: Duration,
}

/// Returns the argument that is the idempotency key of a method.
pub(crate) fn key_argument(method: &MethodDescriptor) -> Option<&'static str> {
    match method.idempotency {
        Idempotency::Keyed { argument } => Some(argument),
        _ => None,
    }
}

impl IdempotencyHandler {
    /// Creates the handler, with a [`MemoryStore`] by default.
    pub(crate) fn new(
        store: Option<Arc<dyn IdempotencyStore>>,
        observers: Observers,
        tasks: TaskTracker,
        limits: &Limits,
    ) -> Self {
        Self {
            store: store.unwrap_or_else(|| Arc::new(MemoryStore::new())),
            in_flight: Arc::new(InFlightCalls::new(limits.running_calls)),
            observers,
            tasks,
            deadline_cap: limits.deadline_cap,
        }
    }

    /// Runs a call, or returns the result of the call that it repeats. The developer's layers are
    /// outside of this, so a repeat passes them like every call.
    pub(crate) fn call(
        self: Arc<Self>,
        method: &'static MethodDescriptor,
        mut request: Request,
        prepare: impl FnOnce(Request) -> PreparedCall,
    ) -> BoxFuture<Response> {
        let cap = method.timeout.unwrap_or(self.deadline_cap);
        let deadline = saturating_deadline(Instant::now(), cap);
        let start = call_start(&request);
        request.replace_context(request.context().with_later_deadline(deadline));
        let context = request.context().clone();
        let message = request.body().as_message().cloned();
        let place = request
            .body_mut()
            .take_held::<Option<OwnedPermit>>()
            .flatten();
        let PreparedCall { key, response } = prepare(request);
        let (Some(key), Some(message)) = (key, message) else {
            // The arguments cannot be decoded: `response` has the error, and no work has begun.
            return response;
        };
        if let Some(error) = refusal(method, &key) {
            return Box::pin(std::future::ready(error.into()));
        }
        Box::pin(async move {
            let fingerprint = Fingerprint::of(&message);
            // A repeat does not keep it in memory.
            drop(message);
            let context = match for_user_of_layers(context) {
                Ok(context) => context,
                Err(error) => return error.not_executed().into(),
            };
            let caller = if method.key_is_shared {
                SHARED.to_owned()
            } else {
                caller(&context)
            };
            let key =
                IdempotencyKey::new(method.path, caller, key).with_token(ClaimToken::random());
            let (waiter, is_first) = match self.in_flight.join(&key, fingerprint).await {
                Join::KeyReused => return other_message(method).into(),
                Join::Unsettled => return store_timeout().into(),
                Join::TooManyRepeats => return too_many_repeats().into(),
                Join::Follower(waiter) => {
                    // A waiting repeat does not occupy a slot.
                    drop((response, place));
                    (waiter, false)
                }
                Join::Leader(leader, waiter) => {
                    if let Some(place) = place {
                        leader.occupy(Box::new(place));
                    }
                    let work = guarded_work(context, Span::current(), deadline, response);
                    self.spawn_leader(leader, start, work);
                    (waiter, true)
                }
            };
            answer_with(waiter, is_first, method).await
        })
    }

    /// Runs the call in its own task, so that it goes on when its caller disconnects.
    fn spawn_leader(
        &self,
        leader: Leader,
        start: CallStart,
        work: impl Future<Output = Outcome> + Send + 'static,
    ) {
        let (store, observers) = (Arc::clone(&self.store), self.observers.clone());
        self.tasks.spawn(async move {
            let ended = |result: &CallResult, is_awaited| {
                if let (false, CallResult::Ran(outcome)) = (is_awaited, result) {
                    // No caller waits any more, so only the observers can report how the call
                    // ended.
                    observers.detached_ended(&start, &outcome.clone().into_response());
                }
            };
            leader.run(&*store, work, ended).await;
        });
    }
}

async fn guarded_work(
    context: Context,
    span: Span,
    deadline: Instant,
    response: BoxFuture<Response>,
) -> Outcome {
    let work = guarded(&context, span, response);
    Outcome::of_response(or_deadline_exceeded(within(Some(deadline), work).await))
}

async fn answer_with(waiter: Waiter, is_first: bool, method: &MethodDescriptor) -> Response {
    let error = match waiter.result().await {
        Some(CallResult::Ran(outcome)) => return result_response(outcome, !is_first),
        Some(CallResult::Stored(outcome)) => return result_response(outcome, true),
        Some(CallResult::KeyReused) => other_message(method),
        Some(CallResult::RunningElsewhere) => unavailable(
            "another instance is running the call with this idempotency key; retry later for its result",
        )
        .with_retry_after(random_delay(RUNNING_ELSEWHERE_RETRY_MS)),
        Some(CallResult::StoreFull) => Error::without_location(
            Code::ResourceExhausted,
            "too many calls with idempotency keys are in flight; the call was not begun, retry later",
        )
        .with_retry_after(random_delay(STORE_RETRY_MS))
        .not_executed(),
        Some(CallResult::StoreTimeout) => store_timeout(),
        Some(CallResult::StoreFailed(error)) => error.not_executed(),
        Some(CallResult::CallersLeft) => unavailable(
            "all callers of this call left before it was begun; it was not begun, retry it",
        )
        .with_retry_after(random_delay(STORE_RETRY_MS))
        .not_executed(),
        None => unavailable(
            "the server stopped before the work was done; the call may have been executed",
        ),
    };
    error.into()
}

fn too_many_repeats() -> Error {
    unavailable(
        "too many repeats of calls with idempotency keys wait for their results; retry later for the result",
    )
    .with_retry_after(random_delay(RUNNING_ELSEWHERE_RETRY_MS))
}

fn store_timeout() -> Error {
    unavailable("the idempotency store did not respond; the call was not begun, retry later")
        .with_retry_after(random_delay(STORE_RETRY_MS))
        .not_executed()
}

fn unavailable(text: &'static str) -> Error {
    Error::without_location(Code::Unavailable, text)
}

fn random_delay(milliseconds: std::ops::RangeInclusive<u64>) -> Duration {
    Duration::from_millis(fastrand::u64(milliseconds))
}

/// Returns the response of a call that has run.
fn result_response(outcome: Outcome, is_replayed: bool) -> Response {
    let is_final = outcome.is_final();
    let mut response = outcome.into_response();
    if let Some(error) = response.error_mut()
        && is_final
        && matches!(error.code(), Code::Unavailable | Code::ResourceExhausted)
    {
        // Clients retry these codes, and a repeat would get the same error.
        error.set_retries_exhausted(true);
    }
    if is_replayed {
        // A fixed name and value, which are always valid.
        let _ = response.headers_mut().append(REPLAYED, "true");
    }
    response
}

/// Returns the context of the call, for the user of the context that a layer has entered around
/// the rest of the stack. The handler would otherwise run on its own task without that user.
fn for_user_of_layers(context: Context) -> Result<Context, Error> {
    match Context::current().principal() {
        Some(user) if context.principal().as_ref() != Some(&user) => context.with_principal(user),
        _ => Ok(context),
    }
}

/// Returns the scope of the keys of a caller. No name of a server has a colon.
fn caller(context: &Context) -> String {
    if let Some(user) = context.principal() {
        return format!("user:{}", user.subject());
    }
    match context.source_arc() {
        Some(source) => format!("{}@{}", source.server(), source.environment()),
        None if context.has_untrusted_caller() => UNTRUSTED.to_owned(),
        None => "-".to_owned(),
    }
}

fn other_message(method: &MethodDescriptor) -> Error {
    let argument = key_argument(method).unwrap_or_default();
    let text = format!(
        "`{argument}` was used for a call with other arguments; use a new key for each call, and the same key only to repeat it"
    );
    Error::without_location(Code::Aborted, text)
        .with_reason("IDEMPOTENCY_KEY_REUSED")
        .not_executed()
}

/// Returns the error of an invalid key.
fn refusal(method: &MethodDescriptor, key: &str) -> Option<Error> {
    let problem = if key.is_empty() {
        "is empty; pass a key that is unique to the call".to_owned()
    } else if key.len() > KEY_LIMIT {
        format!("is {} bytes long; use at most {KEY_LIMIT}", key.len())
    } else if key.chars().any(char::is_control) {
        "contains control characters; remove them".to_owned()
    } else {
        return None;
    };
    let argument = key_argument(method).unwrap_or_default();
    let error = Error::without_location(Code::InvalidArgument, format!("`{argument}` {problem}"));
    Some(error.with_violation(argument, problem).not_executed())
}

impl fmt::Debug for IdempotencyHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdempotencyHandler")
    }
}

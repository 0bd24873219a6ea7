//! FaultInjection that a caller asks for: what becomes of a call that a plan names.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::service::Route;
use crate::error::{Code, Delivery, Error};
use crate::faults::{Effect, FaultDecision, FaultPlan, Subject};
use crate::middleware::{BoxFuture, InnerService, Request, Response};
use crate::server::inner::ServerInner;

/// What a server does about plans.
#[derive(Debug, Default)]
pub(crate) struct FaultInjection {
    allowed: bool,
    /// Plans that strangers sent.
    stripped: AtomicU64,
}

impl FaultInjection {
    pub(crate) fn new(allowed: bool) -> Self {
        if allowed {
            tracing::warn!(target: "rpc", "this server fails calls on purpose when x-rpc-fault asks for it");
        }
        Self {
            allowed,
            stripped: AtomicU64::new(0),
        }
    }

    /// Counts a plan that nobody looks at, since its sender is not believed. Said at the first, the second, the fourth
    /// and so on: a stranger must not fill the log.
    pub(crate) fn strip(&self) {
        let count = self.stripped.fetch_add(1, Ordering::Relaxed) + 1;
        if count.is_power_of_two() {
            tracing::warn!(
                target: "rpc",
                count,
                "x-rpc-fault came from outside and was left out; `count` so far"
            );
        }
    }
}

/// Runs a call that carries a plan. Its deadline, its span and the panic guard are around it.
pub(crate) async fn run(
    inner: &ServerInner,
    route: &Arc<Route>,
    plan: &FaultPlan,
    request: Request,
) -> Response {
    let decision = match decision(inner, route, plan, &request) {
        Ok(decision) => decision,
        Err(error) => return error.into(),
    };
    if decision == FaultDecision::default() {
        return inner.layers().run(route, request).await;
    }
    let faulty = Arc::new(FaultyHandler {
        route: Arc::clone(route),
        decision,
        lost: AtomicBool::new(false),
    });
    // Inside the developer's layers: they see what they would see if the handler had failed so.
    let mut response = inner.layers().run(&faulty, request).await;
    if faulty.lost.load(Ordering::Relaxed) {
        response.abort();
    }
    response
}

/// What becomes of a call.
///
/// # Errors
///
/// `invalid_argument` for a rule that names a service of this server and no method of it; `failed_precondition` for one that names
/// the very method where faults are not allowed. Silence would make people believe that their fault has no effect.
fn decision(
    inner: &ServerInner,
    route: &Route,
    plan: &FaultPlan,
    request: &Request,
) -> Result<FaultDecision, Error> {
    let method = route.method();
    let Some(service) = inner.service(method.service) else {
        return Ok(FaultDecision::default());
    };
    if let Some(unknown) = plan.unknown_method(&inner.services()) {
        let known = service.methods.iter().map(|method| method.name);
        let known = known.collect::<Vec<_>>().join(", ");
        return Err(Error::without_location(
            Code::InvalidArgument,
            format!(
                "x-rpc-fault: no service of that name has the method `{unknown}` at {}; {} has {known}",
                inner.source().as_str(),
                service.full_name,
            ),
        ));
    }
    let subject = Subject {
        service,
        method,
        builtin: route.is_builtin(),
    };
    if !inner.faults().allowed && plan.names(subject) {
        return Err(Error::without_location(
            Code::FailedPrecondition,
            format!(
                "x-rpc-fault: {} does no faults on purpose; start it with `--allow-faults`, or leave {} out of the plan",
                inner.source().as_str(),
                method.full_name()
            ),
        ));
    }
    let context = request.context();
    Ok(plan.decide(subject, context.request_id(), context.attempt()))
}

/// The handler of a method, with what becomes of it.
struct FaultyHandler {
    route: Arc<Route>,
    decision: FaultDecision,
    /// Whether the answer is not to be sent.
    lost: AtomicBool,
}

impl InnerService for FaultyHandler {
    fn call(self: Arc<Self>, request: Request) -> BoxFuture<Response> {
        Box::pin(async move {
            if let Some(delay) = self.decision.delay {
                log_injected_fault(&Effect::Delay(delay));
                tokio::time::sleep(delay).await;
            }
            let Some(effect) = self.decision.effect else {
                return Arc::clone(&self.route).call(request).await;
            };
            log_injected_fault(&effect);
            match effect {
                Effect::Error(code) => {
                    // Public also where the code's own texts are not: a reader must not look for a cause.
                    let text = format!("fault injected by x-rpc-fault: {code}");
                    return Error::without_location(code, text).public().into();
                }
                Effect::DropResponse => drop(Arc::clone(&self.route).call(request).await),
                // A delay is none of the effects of a decision.
                Effect::Drop | Effect::Delay(_) => {}
            }
            self.lost.store(true, Ordering::Relaxed);
            lost(&effect.to_string()).into()
        })
    }
}

/// In the span of the call, which names its request and method.
fn log_injected_fault(effect: &Effect) {
    tracing::info!(target: "rpc", %effect, "fault injected");
}

/// What a caller sees of an answer that does not come, and the log on this side.
fn lost(effect: &str) -> Error {
    let text = format!(
        "fault injected by x-rpc-fault: {effect}; the connection is closed without an answer, the call may have been executed"
    );
    Error::without_location(Code::Unavailable, text).with_delivery(Delivery::OutcomeUnknown)
}

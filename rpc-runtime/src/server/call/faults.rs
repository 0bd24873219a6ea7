//! Fault injection: applies the plans of callers to the calls of a server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::service::Route;
use crate::context::Source;
use crate::descriptor::ServiceDescriptor;
use crate::error::{Code, Error};
use crate::faults::{Effect, FaultDecision, FaultPlan, Subject};
use crate::middleware::{BoxFuture, InnerService, Request, Response};
use crate::observe::LogThrottle;

/// The fault injection of a server.
#[derive(Debug)]
pub(crate) struct FaultInjection {
    allowed: bool,
    source: Arc<Source>,
    services: Vec<&'static ServiceDescriptor>,
    /// Counts the plans of untrusted callers, which are ignored.
    stripped: LogThrottle,
}

impl FaultInjection {
    pub(crate) fn new(
        allowed: bool,
        source: &Arc<Source>,
        services: &[&'static ServiceDescriptor],
    ) -> Self {
        if allowed {
            tracing::warn!(target: "rpc", "fault injection is enabled: this server injects the faults that x-rpc-fault requests");
        }
        Self {
            allowed,
            source: Arc::clone(source),
            services: services.to_vec(),
            stripped: LogThrottle::default(),
        }
    }

    /// Counts an ignored plan of an untrusted caller, and logs some of them.
    pub(crate) fn strip(&self) {
        if let Some(count) = self.stripped.record() {
            tracing::warn!(
                target: "rpc",
                count,
                "ignored x-rpc-fault of an untrusted caller; `count` so far"
            );
        }
    }

    /// Runs a call that carries a plan, inside its deadline, span and panic guard.
    pub(crate) async fn run(
        &self,
        route: &Arc<Route>,
        plan: &FaultPlan,
        request: Request,
    ) -> Response {
        let decision = match self.decision(route, plan, &request) {
            Ok(decision) => decision,
            Err(error) => return error.not_executed().into(),
        };
        if decision == FaultDecision::default() {
            return route.layers().run(route, request).await;
        }
        let faulty = Arc::new(FaultyHandler {
            route: Arc::clone(route),
            decision,
            aborted: AtomicBool::new(false),
        });
        // Inside the developer's layers, which see the fault as a failure of the handler.
        let mut response = route.layers().run(&faulty, request).await;
        if faulty.aborted.load(Ordering::Relaxed) {
            response.abort();
        }
        response
    }

    /// Returns the faults of a plan that apply to a call.
    ///
    /// # Errors
    ///
    /// `invalid_argument` for a rule with a service of this server and an unknown method;
    /// `failed_precondition` for a rule of this method where fault injection is disabled. An
    /// ignored rule would look like a fault without any effect.
    fn decision(
        &self,
        route: &Route,
        plan: &FaultPlan,
        request: &Request,
    ) -> Result<FaultDecision, Error> {
        let method = route.method();
        let mut services = self.services.iter().copied();
        let Some(service) = services.find(|service| service.full_name == method.service) else {
            return Ok(FaultDecision::default());
        };
        if let Some(unknown) = plan.unknown_method(&self.services.iter().copied()) {
            let known: Vec<_> = service.methods.iter().map(|method| method.name).collect();
            return Err(Error::without_location(
                Code::InvalidArgument,
                format!(
                    "x-rpc-fault: unknown method `{unknown}` on {}; {} has {}",
                    self.source.as_str(),
                    service.full_name,
                    known.join(", ")
                ),
            ));
        }
        let subject = Subject {
            service,
            method,
            builtin: route.is_builtin(),
        };
        if !self.allowed && plan.names(subject) {
            return Err(Error::without_location(
                Code::FailedPrecondition,
                format!(
                    "x-rpc-fault: fault injection is disabled on {}; start it with `--allow-faults`, or remove {} from the plan",
                    self.source.as_str(),
                    method.full_name()
                ),
            ));
        }
        let context = request.context();
        Ok(plan.decide(subject, context.request_id(), context.attempt()))
    }
}

/// A handler with the faults of one call.
struct FaultyHandler {
    route: Arc<Route>,
    decision: FaultDecision,
    /// Whether no response is sent.
    aborted: AtomicBool,
}

impl InnerService for FaultyHandler {
    fn runs_in_context(&self) -> bool {
        true
    }

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
                    // Public for every code, so that readers do not search for another cause.
                    let text = format!("fault injected by x-rpc-fault: {code}");
                    return Error::without_location(code, text).public().into();
                }
                Effect::DropResponse => drop(Arc::clone(&self.route).call(request).await),
                // The effect of a decision is never a delay.
                Effect::Drop | Effect::Delay(_) => {}
            }
            self.aborted.store(true, Ordering::Relaxed);
            lost(&effect.to_string()).into()
        })
    }
}

/// Logs a fault in the span of the call, which has its request ID and method.
fn log_injected_fault(effect: &Effect) {
    tracing::info!(target: "rpc", %effect, "fault injected");
}

/// Returns the error of a call whose response is not sent, for the caller and for the log.
fn lost(effect: &str) -> Error {
    let text = format!(
        "fault injected by x-rpc-fault: {effect}; no response is sent; the call may have been executed"
    );
    Error::without_location(Code::Unavailable, text)
}

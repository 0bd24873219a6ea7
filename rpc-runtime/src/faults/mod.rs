//! Faults on purpose, as they are asked for: which method fails, how, and how often.
//!
//! A [`FaultPlan`] travels with a request through all services; each server looks whether it names the method that it is
//! about to run. See [`Server::allow_faults`](crate::Server::allow_faults) for who obeys it.
//!
//! ```
//! use rpc_runtime::faults::FaultPlan;
//!
//! let plan: FaultPlan = "pricing.pay=unavailable;p=0.5, fibpro.v1.UserStore.*=delay:200ms".parse()?;
//! let wrong = "pricing.pay=unavailabel".parse::<FaultPlan>().unwrap_err();
//! assert!(wrong.message().contains("`unavailabel` is no effect"));
//! # drop(plan);
//! # Ok::<(), rpc_runtime::Error>(())
//! ```

mod parse;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::descriptor::{MethodDescriptor, ServiceDescriptor};
use crate::error::Code;

/// The most bytes that a plan may have, as it travels.
pub const FAULTS_LIMIT: usize = 1024;

/// What becomes of a call on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// It is answered with this code, and its handler does not run.
    Error(Code),
    /// It waits for so long, or until its deadline, and goes on.
    Delay(Duration),
    /// Its connection is closed without an answer, and its handler does not run.
    Drop,
    /// Its handler runs, and then its connection is closed without an answer.
    DropResponse,
}

/// As it is written in a plan.
impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(code) => write!(f, "{code}"),
            Self::Delay(time) => write!(f, "delay:{}ms", time.as_millis()),
            Self::Drop => f.write_str("drop"),
            Self::DropResponse => f.write_str("lose"),
        }
    }
}

/// Which methods fail, how, and how often: what the header `x-rpc-fault` says.
///
/// ```text
/// plan    = rule *("," rule)                    at most 1 KiB
/// rule    = target "=" effect *(";" option)
/// target  = "*" | service "." method | service ".*"
/// service = an endpoint (`pricing`) or a full name (`fibpro.v1.Pricing`)
/// method  = as in Rust or on the wire (`pay`, `Pay`)
/// effect  = a code (`unavailable`) | "delay:" time (`200ms`, `5s`, `1m`) | "drop" | "lose"
/// option  = "p=" probability from 0 to 1 (1 unless said) | "seed=" number
/// ```
///
/// Of several rules that hit one call the first one counts that is no delay; delays come on top. `*` leaves out what
/// every server answers by itself, such as `Ping`, which has to tell the truth unless it is named.
///
/// Without a seed each call is drawn anew. With one, the draw is made from the seed, the request's id, the method and the
/// attempt: the same request meets the same decision in each run and on each replica, and a retry is a draw of its own.
#[derive(Clone, PartialEq)]
pub struct FaultPlan(Arc<Plan>);

#[derive(PartialEq)]
struct Plan {
    /// As it came: it goes on as it is.
    text: Box<str>,
    rules: Box<[Rule]>,
}

#[derive(Debug, PartialEq)]
struct Rule {
    target: Target,
    effect: Effect,
    probability: f64,
    seed: Option<u64>,
}

#[derive(Debug, PartialEq)]
enum Target {
    All,
    /// One method of a service, or all of them.
    Service {
        service: Box<str>,
        method: Option<Box<str>>,
    },
}

/// A method that a call is about to run.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) service: &'a ServiceDescriptor,
    pub(crate) method: &'a MethodDescriptor,
    /// Whether every server answers it by itself.
    pub(crate) builtin: bool,
}

/// What a plan does to one call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FaultDecision {
    pub(crate) delay: Option<Duration>,
    /// Never a delay.
    pub(crate) effect: Option<Effect>,
}

impl FaultPlan {
    /// Whether some rule names the method, whatever is drawn.
    pub(crate) fn names(&self, subject: Subject<'_>) -> bool {
        self.0.rules.iter().any(|rule| rule.target.is(subject))
    }

    /// The method that a rule names and that no service of its name has, among those that one server answers for.
    pub(crate) fn unknown_method<'s>(
        &self,
        services: &(impl Iterator<Item = &'s ServiceDescriptor> + Clone),
    ) -> Option<&str> {
        self.0.rules.iter().find_map(|rule| {
            let Target::Service {
                service,
                method: Some(method),
            } = &rule.target
            else {
                return None;
            };
            // Several services may stand at one endpoint.
            let mut named = services.clone().filter(|known| is_service(known, service));
            let first = named.next()?;
            let mut methods = [first]
                .into_iter()
                .chain(named)
                .flat_map(|known| known.methods);
            let known = methods.any(|known| is_method(known, method));
            (!known).then_some(&**method)
        })
    }

    /// Draws what becomes of a call.
    pub(crate) fn decision(
        &self,
        subject: Subject<'_>,
        request_id: &str,
        attempt: u32,
    ) -> FaultDecision {
        let mut decision = FaultDecision::default();
        for (index, rule) in self.0.rules.iter().enumerate() {
            if !rule.target.is(subject) {
                continue;
            }
            let drawn = match rule.seed {
                Some(seed) => {
                    let of = [
                        &seed.to_le_bytes()[..],
                        request_id.as_bytes(),
                        subject.method.path.as_bytes(),
                        &attempt.to_le_bytes(),
                        &index.to_le_bytes(),
                    ];
                    fastrand::Rng::with_seed(digest(&of)).f64()
                }
                None => fastrand::f64(),
            };
            if drawn >= rule.probability {
                continue;
            }
            match rule.effect {
                Effect::Delay(more) => {
                    let delay = decision.delay.unwrap_or_default();
                    decision.delay = Some(delay.saturating_add(more));
                }
                effect => {
                    decision.effect.get_or_insert(effect);
                }
            }
        }
        decision
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0.text
    }
}

/// As it travels.
impl fmt::Display for FaultPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for FaultPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultPlan({self})")
    }
}

impl Target {
    fn is(&self, subject: Subject<'_>) -> bool {
        match self {
            Self::All => !subject.builtin,
            Self::Service { service, method } => {
                is_service(subject.service, service)
                    && match method {
                        Some(method) => is_method(subject.method, method),
                        None => !subject.builtin,
                    }
            }
        }
    }
}

fn is_service(service: &ServiceDescriptor, name: &str) -> bool {
    name == service.endpoint || name == service.full_name
}

fn is_method(method: &MethodDescriptor, name: &str) -> bool {
    name == method.name || name == method.wire_name
}

/// FNV-1a, with a byte between the parts: spreads, and is the same in each run and on each machine.
fn digest(parts: &[&[u8]]) -> u64 {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let bytes = parts.iter().flat_map(|part| part.iter().chain(&[0xff]));
    bytes.fold(BASIS, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(PRIME)
    })
}

#[cfg(test)]
mod tests;

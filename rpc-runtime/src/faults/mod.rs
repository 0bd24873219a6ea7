//! Fault injection: which method fails, how, and how often.
//!
//! A [`FaultPlan`] travels with a request through all services. Each server applies the rules for
//! the method that it is about to run, if [`Server::allow_faults`](crate::Server::allow_faults)
//! permits it.
//!
//! ```
//! use rpc_runtime::faults::FaultPlan;
//!
//! let plan: FaultPlan = "pricing.pay=unavailable;p=0.5, fibpro.v1.UserStore.*=delay:200ms".parse()?;
//! let wrong = "pricing.pay=unavailabel".parse::<FaultPlan>().unwrap_err();
//! assert!(wrong.message().contains("invalid effect `unavailabel`"));
//! # drop(plan);
//! # Ok::<(), rpc_runtime::Error>(())
//! ```

mod parse;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::descriptor::{MethodDescriptor, ServiceDescriptor};
use crate::error::Code;

/// The maximum size of a plan, in bytes.
pub const FAULTS_LIMIT: usize = 1024;

/// The effect of a fault on a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// The call fails with this code. The handler does not run.
    Error(Code),
    /// The call is delayed by this time, at most until its deadline.
    Delay(Duration),
    /// No response is sent: an HTTP/1 connection is closed, an HTTP/2 stream is reset. The handler
    /// does not run.
    Drop,
    /// The handler runs, but no response is sent, as for [`Drop`](Self::Drop). Written `lose`.
    DropResponse,
}

/// Prints the form in a plan.
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

/// Rules of fault injection: which methods fail, how, and how often. The value of the header
/// `x-rpc-fault`.
///
/// ```text
/// plan    = rule *("," rule)                    at most 1 KiB
/// rule    = target "=" effect *(";" option)
/// target  = "*" | service "." method | service ".*"
/// service = an endpoint (`pricing`) or a full name (`fibpro.v1.Pricing`)
/// method  = as in Rust or on the wire (`pay`, `Pay`)
/// effect  = a code (`unavailable`) | "delay:" time (`200ms`, `5s`, `1m`) | "drop" | "lose"
/// option  = "p=" probability from 0 to 1 (default 1) | "seed=" number
/// ```
///
/// If several rules apply to a call, all delays are added, and the first rule with another effect
/// takes effect. `*` does not match built-in methods such as `Ping`, which must be named.
///
/// Without a seed the outcome of each call is random. With a seed it depends on the seed, the
/// request ID, the method and the attempt: a request has the same outcome in each run and on each
/// replica, and each retry has its own.
#[derive(Clone, PartialEq)]
pub struct FaultPlan(Arc<FaultRules>);

#[derive(PartialEq)]
struct FaultRules {
    /// The received text, which is passed on unchanged.
    text: Box<str>,
    rules: Box<[Rule]>,
}

#[derive(Debug, PartialEq)]
struct Rule {
    target: RuleTarget,
    effect: Effect,
    probability: f64,
    seed: Option<u64>,
}

#[derive(Debug, PartialEq)]
enum RuleTarget {
    All,
    /// One method of a service, or all methods if `None`.
    Service {
        service: Box<str>,
        method: Option<Box<str>>,
    },
}

/// The method of a call to which a plan is applied.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) service: &'a ServiceDescriptor,
    pub(crate) method: &'a MethodDescriptor,
    /// Whether it is a method that every server has.
    pub(crate) builtin: bool,
}

/// The faults of one call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FaultDecision {
    pub(crate) delay: Option<Duration>,
    /// Never `Effect::Delay`.
    pub(crate) effect: Option<Effect>,
}

impl FaultPlan {
    /// Returns whether a rule matches the method, regardless of its probability.
    pub(crate) fn names(&self, subject: Subject<'_>) -> bool {
        self.0.rules.iter().any(|rule| rule.target.is(subject))
    }

    /// Returns a method in a rule that does not exist, although its service is one of `services`.
    pub(crate) fn unknown_method<'s>(
        &self,
        services: &(impl Iterator<Item = &'s ServiceDescriptor> + Clone),
    ) -> Option<&str> {
        self.0.rules.iter().find_map(|rule| {
            let RuleTarget::Service {
                service,
                method: Some(method),
            } = &rule.target
            else {
                return None;
            };
            // Several services may have the same endpoint.
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

    /// Decides which faults a call gets.
    pub(crate) fn decide(
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

/// Prints the text of the plan.
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

impl RuleTarget {
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

/// The FNV-1a hash, with a separator byte between the parts. It is the same in each run and on each
/// machine.
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

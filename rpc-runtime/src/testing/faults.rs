//! Client layer that fails calls at random, but reproducibly.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::error::{Code, Error, Execution};
use crate::faults::Effect;
use crate::middleware::{BoxFuture, Layer, Next, Request, Response};

/// A layer that delays calls, fails them or drops their responses. The affected calls depend only
/// on the seed and the number of the call, so a failing test is reproducible.
///
/// As an [`attempt_layer`](crate::Client::attempt_layer) it acts like the network: failed attempts
/// are retried. As a [`layer`](crate::Client::layer) it is outside of retries: the caller gets each
/// fault.
///
/// ```
/// use std::time::Duration;
/// use rpc_runtime::{Client, Code};
/// use rpc_runtime::testing::Faults;
///
/// let faults = Faults::seeded(7)
///     .delay(0.5, Duration::from_millis(20))
///     .refuse(0.1)
///     .error(0.1, Code::Unavailable)
///     .drop_response(0.1);
/// let client = Client::new("http://127.0.0.1:8080")?.attempt_layer(faults);
/// # drop(client);
/// # Ok::<(), rpc_runtime::Error>(())
/// ```
///
/// Probabilities are from 0 to 1 and independent. If several faults hit one call, a refusal takes
/// precedence, then the fault that was configured first. Delays are always added.
#[derive(Debug)]
pub struct Faults {
    seed: u64,
    calls: AtomicU64,
    delay: (f64, Duration),
    refuse: f64,
    effects: Vec<(f64, Effect)>,
}

impl Faults {
    /// Creates a layer without faults. The same seed affects the same calls, such as the first and
    /// the fourth.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self {
            seed,
            calls: AtomicU64::new(0),
            delay: (0.0, Duration::ZERO),
            refuse: 0.0,
            effects: Vec::new(),
        }
    }

    /// Delays a call by a random time of at most `longest`.
    #[must_use]
    pub fn delay(mut self, probability: f64, longest: Duration) -> Self {
        self.delay = (probability, longest);
        self
    }

    /// Fails a call with `unavailable` before it is sent, like a refused connection. The call was
    /// not executed.
    #[must_use]
    pub fn refuse(mut self, probability: f64) -> Self {
        self.refuse = probability;
        self
    }

    /// Fails a call with `code` before it is sent, like a server that rejects it.
    #[must_use]
    pub fn error(self, probability: f64, code: Code) -> Self {
        self.effect(probability, Effect::Error(code))
    }

    /// Sends a call and drops its response, like a broken connection: `unavailable`. The call may
    /// have been executed.
    #[must_use]
    pub fn drop_response(self, probability: f64) -> Self {
        self.effect(probability, Effect::DropResponse)
    }

    /// Applies an effect of a [`FaultPlan`](crate::faults::FaultPlan).
    #[must_use]
    pub fn effect(mut self, probability: f64, effect: Effect) -> Self {
        self.effects.push((probability, effect));
        self
    }

    fn draw(&self) -> DrawnFault {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        // A generator per call, so that concurrent calls do not change which calls are affected.
        let mut random = fastrand::Rng::with_seed(self.seed ^ call.wrapping_mul(GOLDEN));
        let mut hits = |probability: f64| random.f64() < probability;
        let (delayed, refused) = (hits(self.delay.0), hits(self.refuse));
        let drawn: Vec<_> = self
            .effects
            .iter()
            .filter(|(probability, _)| hits(*probability))
            .map(|(_, effect)| *effect)
            .collect();
        let mut delay = Duration::ZERO;
        if delayed {
            delay += self.delay.1.mul_f64(random.f64());
        }
        let mut effect = None;
        for drawn in drawn {
            match drawn {
                Effect::Delay(more) => delay += more,
                other => {
                    effect.get_or_insert(other);
                }
            }
        }
        DrawnFault {
            delay,
            refused,
            effect,
        }
    }
}

/// 2⁶⁴ divided by the golden ratio: spreads consecutive call numbers over all seeds.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

struct DrawnFault {
    delay: Duration,
    refused: bool,
    /// Any effect except a delay.
    effect: Option<Effect>,
}

impl Layer for Faults {
    fn call(&self, request: Request, next: Next) -> BoxFuture<Response> {
        let fault = self.draw();
        Box::pin(async move {
            if !fault.delay.is_zero() {
                tokio::time::sleep(fault.delay).await;
            }
            if fault.refused {
                let text = "injected fault: connection refused";
                return broken(text, Execution::DependencyNotExecuted);
            }
            match fault.effect {
                None | Some(Effect::Delay(_)) => next.run(request).await,
                Some(Effect::Error(code)) => {
                    Error::without_location(code, "injected fault: call rejected").into()
                }
                Some(Effect::Drop) => broken(BROKEN, Execution::Unknown),
                Some(Effect::DropResponse) => {
                    drop(next.run(request).await);
                    broken(BROKEN, Execution::Unknown)
                }
            }
        })
    }
}

/// Error text of a call without a response.
const BROKEN: &str = "injected fault: connection broken before the response was complete; the call may have been executed";

fn broken(text: &'static str, execution: Execution) -> Response {
    Error::without_location(Code::Unavailable, text)
        .with_execution(execution)
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_determines_the_affected_calls() {
        let faults = |seed| {
            let faults = Faults::seeded(seed).refuse(0.3).drop_response(0.3);
            let fault = |_| {
                let fault = faults.draw();
                (fault.refused, fault.effect.is_some())
            };
            (0..200).map(fault).collect::<Vec<_>>()
        };
        assert_eq!(faults(7), faults(7));
        assert_ne!(faults(7), faults(8));
        let refused = faults(7).iter().filter(|fault| fault.0).count();
        assert!((40..=80).contains(&refused), "{refused} of 200 at 0.3");
    }

    #[test]
    fn a_probability_of_one_affects_every_call() {
        let faults = Faults::seeded(1).error(1.0, Code::Aborted);
        for _ in 0..100 {
            let fault = faults.draw();
            assert_eq!(fault.effect, Some(Effect::Error(Code::Aborted)));
            assert!(!fault.refused && fault.delay.is_zero());
        }
    }
}

//! A client layer that fails calls by chance, the same ones in each run.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::error::{Code, Delivery, Error};
use crate::faults::Effect;
use crate::middleware::{BoxFuture, Layer, Next, Request, Response};

/// A layer that delays calls, fails them, or loses their answers. Which ones is drawn from a seed and the number of the
/// call, so a test that fails does so again.
///
/// As an [`attempt_layer`](crate::Client::attempt_layer) it stands where the network is, and retries go on behind it; as
/// a [`layer`](crate::Client::layer) it is around them, and the caller meets each fault.
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
/// Probabilities are from 0 to 1, each drawn on its own. Of several faults that hit one call a refusal counts, then the
/// one that was said first, while delays come on top.
#[derive(Debug)]
pub struct Faults {
    seed: u64,
    calls: AtomicU64,
    delay: (f64, Duration),
    refuse: f64,
    effects: Vec<(f64, Effect)>,
}

impl Faults {
    /// A layer that does nothing yet. The same seed fails the same calls: the first, the fourth, and so on.
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

    /// Waits before a call goes on, up to `longest`.
    #[must_use]
    pub fn delay(mut self, probability: f64, longest: Duration) -> Self {
        self.delay = (probability, longest);
        self
    }

    /// Fails a call before it is sent, as a connection does that is refused: `unavailable`, and surely not done.
    #[must_use]
    pub fn refuse(mut self, probability: f64) -> Self {
        self.refuse = probability;
        self
    }

    /// Answers a call with an error instead of sending it, as a server does that refuses it.
    #[must_use]
    pub fn error(self, probability: f64, code: Code) -> Self {
        self.effect(probability, Effect::Error(code))
    }

    /// Sends a call and throws its answer away, as a connection does that breaks: `unavailable`, and perhaps done.
    #[must_use]
    pub fn drop_response(self, probability: f64) -> Self {
        self.effect(probability, Effect::DropResponse)
    }

    /// Does to a call what a [`FaultPlan`](crate::faults::FaultPlan) makes a server do to it.
    #[must_use]
    pub fn effect(mut self, probability: f64, effect: Effect) -> Self {
        self.effects.push((probability, effect));
        self
    }

    fn draw(&self) -> DrawnFault {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        // A generator a call: which call is hit does not hang on what runs beside it.
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

/// 2⁶⁴ divided by the golden ratio: spreads the numbers of calls over the seeds.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

struct DrawnFault {
    delay: Duration,
    refused: bool,
    /// Never a delay.
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
                let text = "injected: the connection was refused";
                return broken(text, Delivery::Unsent);
            }
            match fault.effect {
                None | Some(Effect::Delay(_)) => next.run(request).await,
                Some(Effect::Error(code)) => {
                    Error::without_location(code, "injected: the call was refused").into()
                }
                Some(Effect::Drop) => broken(BROKEN, Delivery::OutcomeUnknown),
                Some(Effect::DropResponse) => {
                    drop(next.run(request).await);
                    broken(BROKEN, Delivery::OutcomeUnknown)
                }
            }
        })
    }
}

/// What a caller knows of a call whose answer does not come.
const BROKEN: &str =
    "injected: the connection broke before the answer was complete; the call may have been done";

fn broken(text: &'static str, delivery: Delivery) -> Response {
    Error::without_location(Code::Unavailable, text)
        .with_delivery(delivery)
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_hits_the_same_calls_in_each_run_and_another_one_others() {
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
    fn never_and_always() {
        let faults = Faults::seeded(1).error(1.0, Code::Aborted);
        for _ in 0..100 {
            let fault = faults.draw();
            assert_eq!(fault.effect, Some(Effect::Error(Code::Aborted)));
            assert!(!fault.refused && fault.delay.is_zero());
        }
    }
}

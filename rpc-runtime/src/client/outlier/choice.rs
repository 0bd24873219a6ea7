//! Chooses the address of an attempt.

use std::time::Duration;

use super::health::{Health, SUSPECT};

/// The difference between the share of failures of an outlier and that of the other addresses. If
/// all fail alike, none is an outlier.
const OUTLIER_MARGIN: f32 = 0.3;

/// The number of pairs that are drawn before the addresses are searched.
const DRAWS: usize = 3;

/// The number of draws of a suspect address, on average, that one of its probes takes. So most of
/// the calls of a client with few calls and many suspect addresses are no probes.
const PROBE_DRAWS: u8 = 3;

/// The maximum penalties of an address that is not ejected, as binary logarithms: slow ones keep a
/// quarter of their turns, failing ones a sixteenth. Those whose handlers fail keep 40 %, because
/// the errors may be those of a dependency.
const MAX_SLOWNESS_PENALTY: f32 = 2.0;
const MAX_FAILURE_PENALTY: f32 = 4.0;
const MAX_ERROR_PENALTY: f32 = 1.32;

/// The factor by which an address may be slower than another without a penalty, as binary
/// logarithm: 2. Calls differ as well.
const TOLERATED_SLOWNESS: f32 = 1.0;

/// An address that can be chosen.
pub(crate) trait Node {
    fn health(&self) -> &Health;

    /// Called when the address is ejected.
    fn ejected(&self);
}

/// The attempts that an address may get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Its share of the attempts.
    Usable,
    /// This attempt, as a probe.
    Probe,
    /// This attempt only if no other address can have it.
    Unusable,
}

/// Chooses the address of an attempt. `avoided` tells the addresses that get it only if no other
/// one is usable. `None` if there are no addresses.
///
/// Power of two choices: draws two addresses at random and takes the one with fewer attempts in
/// flight. Drawing keeps many clients from choosing the same idle server at once; comparing avoids
/// slow servers. Of two addresses, the one that fails more or is slower is left out of some of the
/// comparisons, whatever is in flight. An ejected address gets a probe once in a while. Busy
/// addresses are usable if too many are: then the one that rejects more is left out of some.
///
/// While no address has failed, this reads a few atomics.
pub(crate) fn choose<N: Node>(
    nodes: &[N],
    avoided: impl Fn(&N) -> bool,
    now: impl Fn() -> Duration,
) -> Option<&N> {
    if nodes.len() < 2 {
        return nodes.first();
    }
    let standing = |node: &N| standing(nodes, node, &avoided, &now);
    for _ in 0..DRAWS {
        let (one, two) = draw(nodes);
        match standing(one) {
            Standing::Probe => return Some(one),
            first => match (first, standing(two)) {
                (_, Standing::Probe) | (Standing::Unusable, Standing::Usable) => return Some(two),
                (_, Standing::Usable) => return Some(better(one, two)),
                (Standing::Usable, _) => return Some(one),
                _ => {}
            },
        }
    }
    // Seldom: the usable addresses are few. First one of them, then a busy one, `avoided` last.
    let start = fastrand::usize(..nodes.len());
    let around = || nodes[start..].iter().chain(&nodes[..start]);
    around()
        .find(|node| standing(node) != Standing::Unusable)
        .or_else(|| {
            let rest = around().filter(|node| !node.health().is_ejected());
            rest.min_by_key(|node| (avoided(node), node.health().in_flight()))
        })
        .or_else(|| nodes.get(start))
}

/// Returns whether an attempt that does not go to `avoided` has a usable address.
pub(crate) fn has_other<N: Node>(nodes: &[N], avoided: impl Fn(&N) -> bool, now: Duration) -> bool {
    nodes.iter().any(|node| {
        let health = node.health();
        !avoided(node) && !health.is_busy(now) && !health.is_ejected()
    })
}

/// Draws two different addresses of at least two.
fn draw<N>(nodes: &[N]) -> (&N, &N) {
    let first = fastrand::usize(..nodes.len());
    let step = fastrand::usize(1..nodes.len());
    (&nodes[first], &nodes[(first + step) % nodes.len()])
}

fn standing<N: Node>(
    nodes: &[N],
    node: &N,
    avoided: &impl Fn(&N) -> bool,
    now: &impl Fn() -> Duration,
) -> Standing {
    let health = node.health();
    if avoided(node) {
        Standing::Unusable
    } else if health.is_clean() {
        Standing::Usable
    } else if health.is_busy(now())
        && (health.errors() >= SUSPECT || !is_crowded(nodes, avoided, now()))
    {
        Standing::Unusable
    } else if health.failures() < SUSPECT {
        Standing::Usable
    } else if fastrand::u8(..PROBE_DRAWS) == 0 && health.take_probe(now()) {
        Standing::Probe
    } else if is_ejected(nodes, node) {
        Standing::Unusable
    } else {
        Standing::Usable
    }
}

/// Returns whether more than half of the addresses are busy or ejected: the others may not have the
/// capacity for the calls of all. They get the retries, which are few.
fn is_crowded<N: Node>(nodes: &[N], avoided: &impl Fn(&N) -> bool, now: Duration) -> bool {
    let is_left_out = |node: &&N| node.health().is_busy(now) || node.health().is_ejected();
    let left_out = nodes.iter().filter(is_left_out).count();
    left_out * 2 > nodes.len() && !nodes.iter().any(avoided)
}

/// Returns whether a suspect address is ejected, or becomes ejected now: it fails more than the
/// others, and at most half of all are ejected.
fn is_ejected<N: Node>(nodes: &[N], node: &N) -> bool {
    let health = node.health();
    let (mut ejected, mut failures) = (0, 0.0);
    for other in nodes {
        ejected += usize::from(other.health().is_ejected());
        failures += other.health().failures();
    }
    if health.is_ejected() {
        // There are more after the list has shrunk, or if two were ejected at the same moment.
        let too_many = ejected * 2 > nodes.len();
        if too_many {
            health.set_ejected(false);
        }
        return !too_many;
    }
    let own = health.failures();
    #[allow(clippy::cast_precision_loss, reason = "an average")]
    let others = (failures - own) / (nodes.len() - 1) as f32;
    if own < others + OUTLIER_MARGIN || (ejected + 1) * 2 > nodes.len() {
        return false;
    }
    if health.set_ejected(true) {
        node.ejected();
    }
    true
}

/// Returns the better of two usable addresses.
fn better<'n, N: Node>(one: &'n N, two: &'n N) -> &'n N {
    let advantage = advantage(one.health(), two.health());
    // The share of its turns that the worse one keeps.
    if advantage != 0.0 && fastrand::f32() >= (-advantage.abs()).exp2() {
        return if advantage > 0.0 { one } else { two };
    }
    if two.health().in_flight() < one.health().in_flight() {
        two
    } else {
        one
    }
}

/// The advantage of the first of two addresses by failures, errors and time; negative if it is the
/// worse one. A difference of 1 halves the turns of the worse one.
fn advantage(one: &Health, two: &Health) -> f32 {
    let by_time = match (one.usual_time(), two.usual_time()) {
        (Some(one_time), Some(two_time)) => {
            let difference = two_time - one_time;
            let beyond = (difference.abs() - TOLERATED_SLOWNESS).clamp(0.0, MAX_SLOWNESS_PENALTY);
            // The first calls to an address may be long ones.
            let certainty = one.time_certainty().min(two.time_certainty());
            beyond.copysign(difference) * certainty
        }
        _ => 0.0,
    };
    by_time + penalty(two) - penalty(one)
}

/// The penalty for failures and errors.
fn penalty(health: &Health) -> f32 {
    let (failures, errors) = (health.failures(), health.errors());
    if failures == 0.0 && errors == 0.0 {
        return 0.0;
    }
    let by_failures = -kept(failures).log2();
    let by_errors = -kept(errors).log2();
    by_failures.min(MAX_FAILURE_PENALTY) + by_errors.min(MAX_ERROR_PENALTY)
}

/// The share of its turns that an address keeps with this share of failures or errors.
///
/// The fewest attempts are in flight to a server that fails quickly, which alone would give it up
/// to twice its share. The square keeps it below its share at any rate of failures.
fn kept(share: f32) -> f32 {
    (1.0 - share).powi(2)
}

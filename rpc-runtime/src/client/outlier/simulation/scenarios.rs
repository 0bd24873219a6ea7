//! The scenarios.

use std::time::Duration;

use super::super::Outcome;
use super::{MS, Scenario, State};

/// A scenario with some replicas that are sick from the second unit of time to the sixth.
pub(crate) fn sick(unit: Duration, replicas: usize, sick: usize, state: State) -> Scenario {
    let replica = |replica| {
        if replica < sick {
            vec![(2 * unit, state), (6 * unit, State::Healthy)]
        } else {
            Vec::new()
        }
    };
    Scenario {
        replicas: (0..replicas).map(replica).collect(),
        clients: 4,
        // Of a capacity of 200 calls a second for each replica.
        rate: 80.0 * replicas as f64,
        long: 0.0,
        length: 9 * unit,
    }
}

/// The scenarios, by name.
pub(crate) fn scenarios(unit: Duration) -> Vec<(&'static str, Scenario)> {
    use Outcome::{Busy, Error, Failure};
    let sick = |replicas, number, state| sick(unit, replicas, number, state);
    let dead = State::Failing(1.0, Failure);
    let failing = State::Failing(0.6, Failure);
    let mut flapping = sick(10, 0, dead);
    flapping.replicas[0] = (1..5)
        .map(|n| {
            let state = if n % 2 == 0 { State::Healthy } else { dead };
            (Duration::from_secs(2) * n, state)
        })
        .collect();
    let mut broken = sick(3, 1, State::Failing(1.0, Error));
    broken.replicas[0][0].0 = Duration::ZERO;
    let long = |scenario| Scenario {
        long: 0.1,
        // An average call takes 48 ms.
        rate: 350.0,
        ..scenario
    };
    let near_capacity = |scenario: Scenario| Scenario {
        rate: scenario.rate * 2.2,
        ..scenario
    };
    let many_clients = |scenario| Scenario {
        clients: 100,
        ..scenario
    };
    let one_client = |scenario| Scenario {
        clients: 1,
        ..scenario
    };
    vec![
        ("1 of 10 dead", sick(10, 1, dead)),
        ("1 of 10 fails 60 %", sick(10, 1, failing)),
        (
            "1 of 3 fails 65 %, one client",
            one_client(sick(3, 1, State::Failing(0.65, Failure))),
        ),
        ("1 of 2 dead", sick(2, 1, dead)),
        (
            "1 of 10 has errors",
            sick(10, 1, State::Failing(1.0, Error)),
        ),
        (
            "1 of 3 has errors, one client",
            one_client(sick(3, 1, State::Failing(1.0, Error))),
        ),
        ("1 of 3 has errors from the start", broken),
        (
            "1 of 10 busy",
            sick(10, 1, State::Failing(1.0, Busy(100 * MS))),
        ),
        ("1 of 10 slow", sick(10, 1, State::Slow(10))),
        ("1 of 10 silent", sick(10, 1, State::Silent)),
        ("1 of 10 flaps", flapping),
        ("5 of 10 dead", sick(10, 5, dead)),
        ("5 of 10 silent", sick(10, 5, State::Silent)),
        ("5 of 10 fail 60 %", sick(10, 5, failing)),
        ("8 of 10 dead", sick(10, 8, dead)),
        (
            "8 of 10 reject 30 %, for a second",
            sick(10, 8, State::Failing(0.3, Busy(1000 * MS))),
        ),
        ("all of 10 fail 60 %", sick(10, 10, failing)),
        ("all of 3 fail 60 %", sick(3, 3, failing)),
        (
            "all of 10 fail 60 %, near capacity",
            near_capacity(sick(10, 10, failing)),
        ),
        (
            "30 replicas, 3 dead, 100 clients",
            many_clients(sick(30, 3, dead)),
        ),
        (
            "30 replicas, 3 silent, 100 clients",
            many_clients(sick(30, 3, State::Silent)),
        ),
        (
            "30 replicas, half dead, 100 clients",
            many_clients(sick(30, 15, dead)),
        ),
        (
            "30 replicas, half silent, 100 clients",
            many_clients(sick(30, 15, State::Silent)),
        ),
        ("long calls, healthy", long(sick(10, 0, dead))),
        (
            "long calls, near capacity",
            near_capacity(long(sick(10, 0, dead))),
        ),
        ("long calls, 1 of 10 dead", long(sick(10, 1, dead))),
        (
            "long calls, 1 of 10 slow",
            long(sick(10, 1, State::Slow(10))),
        ),
        (
            "long calls, 1 of 10 silent",
            long(sick(10, 1, State::Silent)),
        ),
    ]
}

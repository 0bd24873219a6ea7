//! The compared policies.

use std::time::Duration;

use super::super::{Health, Node, Outcome, choose};
use super::{Call, Policy, Scenario};

/// The policy of the runtime. Each client has its own records.
pub(crate) struct Outliers(Vec<Vec<SimulatedNode>>);

#[derive(Default)]
pub(crate) struct SimulatedNode(usize, Health);

impl Node for SimulatedNode {
    fn health(&self) -> &Health {
        &self.1
    }

    fn ejected(&self) {}
}

impl Outliers {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let client = || {
            let replicas = 0..scenario.replicas.len();
            replicas
                .map(|replica| SimulatedNode(replica, Health::default()))
                .collect()
        };
        Self((0..scenario.clients).map(|_| client()).collect())
    }

    pub(crate) fn record(
        &self,
        client: usize,
        replica: usize,
        outcome: Outcome,
        elapsed: Duration,
        now: Duration,
    ) {
        let health = &self.0[client][replica].1;
        health.attempt_ended();
        health.record(outcome, elapsed, now);
    }
}

impl Policy for Outliers {
    fn choose(&mut self, client: usize, now: Duration) -> Option<usize> {
        let node = choose(&self.0[client], |_| false, || now)?;
        node.1.attempt_started();
        Some(node.0)
    }

    fn ended(&mut self, call: &Call, outcome: Outcome, now: Duration) {
        self.record(call.client, call.replica, outcome, now - call.started, now);
    }
}

/// Power of two choices by calls in flight alone, for comparison.
pub(crate) struct LeastInFlight(Vec<Vec<usize>>);

impl LeastInFlight {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        Self(vec![vec![0; scenario.replicas.len()]; scenario.clients])
    }
}

impl Policy for LeastInFlight {
    fn choose(&mut self, client: usize, _: Duration) -> Option<usize> {
        let calls = &mut self.0[client];
        let first = fastrand::usize(..calls.len());
        let step = fastrand::usize(1..calls.len().max(2));
        let second = (first + step) % calls.len();
        let replica = if calls[second] < calls[first] {
            second
        } else {
            first
        };
        calls[replica] += 1;
        Some(replica)
    }

    fn ended(&mut self, call: &Call, _: Outcome, _: Duration) {
        self.0[call.client][call.replica] -= 1;
    }
}

//! Replicas, their callers and time, simulated: no sockets, no clock, the same result for the same
//! seed. `benches/outliers` compiles these files as well.

mod policies;
mod scenarios;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use super::Outcome;

pub(crate) use policies::{LeastInFlight, Outliers};
pub(crate) use scenarios::{scenarios, sick};

const MS: Duration = Duration::from_millis(1);

/// The time after which a caller gives up.
const DEADLINE: Duration = Duration::from_secs(1);

/// The time of a call that fails without work.
const FAST: Duration = MS;

/// The average times of the two kinds of calls.
const SHORT: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_millis(300);

/// The number of calls that a replica runs at once. Others wait.
const SLOTS: usize = 4;

/// The interval over which a share is measured.
const INTERVAL: Duration = Duration::from_millis(250);

/// The state of a replica.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum State {
    Healthy,
    /// A share of the calls ends at once with this outcome.
    Failing(f32, Outcome),
    /// All calls take this many times as long.
    Slow(u32),
    /// No call gets a response.
    Silent,
}

/// A replica: its states, each with the time at which it begins.
pub(crate) type Replica = Vec<(Duration, State)>;

/// A service and its load.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    pub(crate) replicas: Vec<Replica>,
    pub(crate) clients: usize,
    /// The calls of all clients together, in a second.
    pub(crate) rate: f64,
    /// The share of long calls.
    pub(crate) long: f32,
    pub(crate) length: Duration,
}

/// The result of a simulation.
#[derive(Debug, Default, Clone)]
pub(crate) struct Report {
    pub(crate) calls: u32,
    pub(crate) succeeded: u32,
    /// The calls that went to replicas which were not healthy at that time, and the number that
    /// would be if each replica got the same share.
    pub(crate) to_sick: u32,
    pub(crate) fair: f64,
    /// The longest time for which a client sent nothing to a replica that was healthy.
    pub(crate) longest_wait: Duration,
    /// The longest time from the moment at which a replica became healthy until it had half of its
    /// share.
    pub(crate) recovery: Duration,
}

impl Report {
    /// The share of calls that succeeded, in percent.
    pub(crate) fn goodput(&self) -> f64 {
        100.0 * f64::from(self.succeeded) / f64::from(self.calls.max(1))
    }

    /// The calls to sick replicas as a multiple of their fair share.
    pub(crate) fn sick_share(&self) -> f64 {
        f64::from(self.to_sick) / self.fair.max(1.0)
    }
}

/// Decides which replica gets a call of a client.
pub(crate) trait Policy {
    /// `None` refuses the call.
    fn choose(&mut self, client: usize, now: Duration) -> Option<usize>;
    fn ended(&mut self, call: &Call, outcome: Outcome, now: Duration);
}

/// A call that is waiting or running.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    pub(crate) client: usize,
    pub(crate) replica: usize,
    pub(crate) started: Duration,
    work: Duration,
    outcome: Outcome,
    uses_slot: bool,
    is_running: bool,
    has_ended: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrival,
    Response(usize),
    Deadline(usize),
}

/// Runs a scenario under a policy.
pub(crate) fn run(scenario: &Scenario, policy: &mut dyn Policy, seed: u64) -> Report {
    // The policy draws from the generator of the thread; arrivals are the same for all policies.
    fastrand::seed(seed);
    Simulation::new(scenario, policy, seed).run()
}

struct Simulation<'a> {
    scenario: &'a Scenario,
    policy: &'a mut dyn Policy,
    random: fastrand::Rng,
    events: BinaryHeap<Reverse<(Duration, u64, Event)>>,
    scheduled: u64,
    calls: Vec<Call>,
    /// For each replica the calls that wait and the number of those that run.
    queues: Vec<(VecDeque<usize>, usize)>,
    /// For each client and replica the time of the last call.
    last: Vec<Vec<Duration>>,
    intervals: Vec<Vec<u32>>,
    report: Report,
}

impl<'a> Simulation<'a> {
    fn new(scenario: &'a Scenario, policy: &'a mut dyn Policy, seed: u64) -> Self {
        let replicas = scenario.replicas.len();
        Self {
            scenario,
            policy,
            random: fastrand::Rng::with_seed(!seed),
            events: BinaryHeap::new(),
            scheduled: 0,
            calls: Vec::new(),
            queues: vec![Default::default(); replicas],
            last: vec![vec![Duration::ZERO; replicas]; scenario.clients],
            intervals: Vec::new(),
            report: Report::default(),
        }
    }

    fn run(mut self) -> Report {
        self.at(Duration::ZERO, Event::Arrival);
        while let Some(Reverse((now, _, event))) = self.events.pop() {
            match event {
                Event::Arrival if now < self.scenario.length => self.arrival(now),
                Event::Arrival => {}
                Event::Response(call) => self.end(call, self.calls[call].outcome, now),
                Event::Deadline(call) => self.end(call, Outcome::Deadline, now),
            }
        }
        self.report.recovery = self.recovery();
        self.report
    }

    fn at(&mut self, time: Duration, event: Event) {
        self.scheduled += 1;
        self.events.push(Reverse((time, self.scheduled, event)));
    }

    fn state(&self, replica: usize, now: Duration) -> State {
        let states = self.scenario.replicas[replica].iter();
        let begun = states.take_while(|state| state.0 <= now);
        begun.last().map_or(State::Healthy, |state| state.1)
    }

    fn arrival(&mut self, now: Duration) {
        let pause = -(1.0 - self.random.f64()).ln() / self.scenario.rate;
        self.at(now + Duration::from_secs_f64(pause), Event::Arrival);
        let client = self.random.usize(..self.scenario.clients);
        let average = if self.random.f32() < self.scenario.long {
            LONG
        } else {
            SHORT
        };
        let mut work = average.mul_f32(0.5 + self.random.f32());
        let drawn = self.random.f32();
        self.report.calls += 1;
        self.count_sick(now);
        let Some(replica) = self.policy.choose(client, now) else {
            return;
        };
        let (mut outcome, mut uses_slot) = (Outcome::Success, true);
        match self.state(replica, now) {
            State::Healthy => self.count_healthy(client, replica, now),
            state => {
                self.report.to_sick += 1;
                match state {
                    State::Failing(share, failure) if drawn < share => {
                        (outcome, work, uses_slot) = (failure, FAST, false);
                    }
                    State::Slow(times) => work *= times,
                    State::Silent => work = Duration::MAX,
                    State::Healthy | State::Failing(..) => {}
                }
            }
        }
        self.last[client][replica] = now;
        let call = self.calls.len();
        self.calls.push(Call {
            client,
            replica,
            started: now,
            work,
            outcome,
            uses_slot,
            is_running: false,
            has_ended: false,
        });
        self.at(now + DEADLINE, Event::Deadline(call));
        if uses_slot {
            self.queues[replica].0.push_back(call);
            self.start_waiting(replica, now);
        } else {
            self.at(now + work, Event::Response(call));
        }
    }

    /// Counts what would be a fair share of the sick replicas.
    fn count_sick(&mut self, now: Duration) {
        let replicas = self.scenario.replicas.len();
        let sick = (0..replicas)
            .filter(|replica| self.state(*replica, now) != State::Healthy)
            .count();
        self.report.fair += sick as f64 / replicas as f64;
    }

    fn count_healthy(&mut self, client: usize, replica: usize, now: Duration) {
        let states = self.scenario.replicas[replica].iter();
        let since = states.map(|state| state.0).rfind(|since| *since <= now);
        let last = self.last[client][replica].max(since.unwrap_or_default());
        self.report.longest_wait = self.report.longest_wait.max(now - last);
        let interval = (now.as_micros() / INTERVAL.as_micros()) as usize;
        let replicas = self.scenario.replicas.len();
        if self.intervals.len() <= interval {
            self.intervals
                .resize_with(interval + 1, || vec![0; replicas]);
        }
        self.intervals[interval][replica] += 1;
    }

    fn start_waiting(&mut self, replica: usize, now: Duration) {
        while self.queues[replica].1 < SLOTS
            && let Some(call) = self.queues[replica].0.pop_front()
        {
            // Its caller may have left.
            if !self.calls[call].has_ended {
                self.queues[replica].1 += 1;
                self.calls[call].is_running = true;
                let end = now.saturating_add(self.calls[call].work);
                self.at(end, Event::Response(call));
            }
        }
    }

    fn end(&mut self, index: usize, outcome: Outcome, now: Duration) {
        let call = &mut self.calls[index];
        if std::mem::replace(&mut call.has_ended, true) {
            return;
        }
        let call = *call;
        self.report.succeeded += u32::from(outcome == Outcome::Success);
        self.policy.ended(&call, outcome, now);
        if call.is_running {
            self.queues[call.replica].1 -= 1;
        }
        if call.uses_slot {
            self.start_waiting(call.replica, now);
        }
    }

    /// The longest time until a replica that became healthy had half of its share.
    fn recovery(&self) -> Duration {
        let replicas = self.scenario.replicas.len();
        let fair = self.scenario.rate * INTERVAL.as_secs_f64() / replicas as f64;
        let took = (0..replicas).flat_map(|replica| {
            let states = self.scenario.replicas[replica].iter();
            let healed = states.filter(|state| !state.0.is_zero() && state.1 == State::Healthy);
            healed.map(move |(healed, _)| {
                let first = (healed.as_micros() / INTERVAL.as_micros()) as usize;
                let full = self.intervals[first..]
                    .iter()
                    .position(|calls| f64::from(calls[replica]) >= fair / 2.0);
                full.map_or(Duration::MAX, |intervals| {
                    INTERVAL.mul_f64(intervals as f64)
                })
            })
        });
        took.max().unwrap_or_default()
    }
}

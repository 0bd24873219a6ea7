//! The acceptance of the policy: simulations with fixed seeds.

use std::time::Duration;

use super::Outcome;
use super::simulation::{LeastInFlight, Outliers, Report, Scenario, State, run, scenarios, sick};

const SEED: u64 = 1;
const UNIT: Duration = Duration::from_secs(1);

/// The results of the policy, and without one.
fn compare(scenario: &Scenario) -> (Report, Report) {
    let with = run(scenario, &mut Outliers::new(scenario), SEED);
    (with, run(scenario, &mut LeastInFlight::new(scenario), SEED))
}

#[test]
fn no_sick_replica_gets_more_than_its_share() {
    let busy = Outcome::Busy(Duration::from_millis(10));
    for outcome in [Outcome::Failure, Outcome::Error, busy] {
        for (replicas, clients) in [(2, 1), (3, 1), (3, 8), (10, 1)] {
            for share in [0.2, 0.5, 0.65, 1.0] {
                let mut scenario = sick(UNIT, replicas, 1, State::Failing(share, outcome));
                // Under load the other replicas are busy, which makes a failing one attractive.
                scenario.rate *= 2.0;
                scenario.clients = clients;
                let (with, without) = compare(&scenario);
                let (with, without) = (with.sick_share(), without.sick_share());
                assert!(
                    with <= 1.0 && with < without,
                    "1 of {replicas}, {clients} clients, {share} {outcome:?}: {with}, without {without}"
                );
            }
        }
    }
}

#[test]
fn sick_replicas_lose_calls_and_callers_gain() {
    for (name, scenario) in scenarios(UNIT) {
        let (with, without) = compare(&scenario);
        let limit = match name {
            // An error of a handler may be that of a dependency.
            "1 of 10 has errors"
            | "1 of 3 has errors, one client"
            | "1 of 3 has errors from the start" => 0.9,
            "5 of 10 fail 60 %" => 0.7,
            _ if ["1 of", "5 of", "long"]
                .iter()
                .any(|kind| name.starts_with(kind)) =>
            {
                0.5
            }
            // If all are sick, each gets its share.
            _ => 1.0_f64.next_up(),
        };
        let share = with.sick_share();
        assert!(share < limit, "{name}: {share}");
        let (with, without) = (with.goodput(), without.goodput());
        // A client with a call in a second for each address cannot leave one alone for a second.
        let slack = if scenario.clients == 100 { 0.2 } else { 0.0 };
        assert!(
            with >= without - slack,
            "{name}: {with} %, without the policy {without} %"
        );
    }
}

#[test]
fn a_healthy_replica_never_waits_for_a_second() {
    for (name, mut scenario) in scenarios(UNIT) {
        // So that a draw takes no time.
        scenario.clients = 1;
        let report = run(&scenario, &mut Outliers::new(&scenario), SEED);
        let (wait, recovery) = (report.longest_wait, report.recovery);
        assert!(wait < Duration::from_secs(1), "{name}: {wait:?}");
        assert!(recovery <= Duration::from_secs(1), "{name}: {recovery:?}");
    }
}

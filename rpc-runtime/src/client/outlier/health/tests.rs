use super::*;

const MS: Duration = Duration::from_millis(1);

/// Records outcomes of one address, each after the same time.
struct Recorded {
    health: Health,
    now: Duration,
}

fn new() -> Recorded {
    Recorded {
        health: Health::default(),
        now: Duration::ZERO,
    }
}

impl Recorded {
    fn after(&mut self, outcome: Outcome, elapsed: Duration, times: u32) -> bool {
        (0..times).any(|_| self.health.record(outcome, elapsed, self.now))
    }

    fn is_suspect(&self) -> bool {
        self.health.failures() >= SUSPECT
    }
}

#[test]
fn five_failures_in_a_row_are_suspect() {
    let mut server = new();
    server.after(Outcome::Success, MS, 100);
    server.after(Outcome::Failure, MS, 4);
    assert!(!server.is_suspect());
    server.after(Outcome::Failure, MS, 1);
    assert!(server.is_suspect());
    // A success ends it, and three failures bring it back.
    server.health.set_ejected(true);
    assert!(server.after(Outcome::Success, MS, 1));
    assert!(!server.is_suspect() && !server.health.is_ejected());
    server.after(Outcome::Failure, MS, 3);
    assert!(server.is_suspect());
    server.after(Outcome::Success, MS, 50);
    assert!(server.health.is_clean());
}

#[test]
fn failures_now_and_then_are_not_suspect() {
    let mut server = new();
    for _ in 0..50 {
        server.after(Outcome::Failure, MS, 1);
        server.after(Outcome::Success, MS, 2);
        assert!(!server.is_suspect());
    }
}

#[test]
fn errors_and_callers_that_leave_are_no_failures() {
    for outcome in [Outcome::Error, Outcome::Busy(MS), Outcome::Canceled] {
        let mut server = new();
        server.after(outcome, MS, 1000);
        assert_eq!(server.health.failures(), 0.0, "{outcome:?}");
    }
}

#[test]
fn three_deadlines_in_a_row_are_suspect() {
    let mut server = new();
    server.after(Outcome::Success, MS, 10);
    for response in [Outcome::Success, Outcome::Error, Outcome::Busy(MS)] {
        server.after(Outcome::Deadline, 50 * MS, 2);
        server.after(response, MS, 1);
        assert!(!server.is_suspect(), "{response:?} is a response");
    }
    server.after(Outcome::Deadline, 50 * MS, 3);
    assert!(server.is_suspect());
    // An address that has never responded.
    let mut silent = new();
    silent.after(Outcome::Deadline, 50 * MS, 3);
    assert!(silent.is_suspect());
}

#[test]
fn deadlines_below_the_usual_time_are_of_the_caller() {
    let mut server = new();
    server.after(Outcome::Success, 100 * MS, 10);
    server.after(Outcome::Deadline, 20 * MS, 100);
    assert_eq!(server.health.failures(), 0.0);
    assert_eq!(server.health.deadlines.load(Relaxed), 0);
}

#[test]
fn the_usual_time_is_that_of_results() {
    let mut server = new();
    server.after(Outcome::Success, 64 * MS, 1);
    let usual = |server: &Recorded| server.health.usual_time().unwrap();
    let first = usual(&server);
    // Quick errors do not make a server fast.
    server.after(Outcome::Error, MS, 100);
    assert_eq!(usual(&server), first);
    // One long call among many short ones changes little, and slowness much.
    server.after(Outcome::Success, 64 * MS, 20);
    server.after(Outcome::Success, 6400 * MS, 1);
    assert!(usual(&server) < first + 1.0);
    server.after(Outcome::Success, 640 * MS, 10);
    assert!(usual(&server) > first + 1.0);
    // A caller that left knows that it took longer.
    server.after(Outcome::Success, MS, 100);
    let before = usual(&server);
    server.after(Outcome::Canceled, 64 * MS, 1);
    assert!(usual(&server) > before);
}

#[test]
fn a_server_without_results_has_no_usual_time() {
    for outcome in [Outcome::Error, Outcome::Busy(MS), Outcome::Canceled] {
        let mut server = new();
        server.after(outcome, MS, 100);
        assert_eq!(server.health.usual_time(), None, "{outcome:?}");
        server.after(Outcome::Success, MS, 1);
        // Another process may be at the address after an ejection.
        server.after(Outcome::Failure, MS, 5);
        server.after(Outcome::Error, MS, 100);
        assert_eq!(server.health.usual_time(), None, "{outcome:?}");
    }
}

#[test]
fn probes_follow_each_other_within_a_second() {
    for seed in 0..20 {
        fastrand::seed(seed);
        let mut server = new();
        server.after(Outcome::Failure, MS, 5);
        let mut last = server.now;
        for probe in 0..10 {
            while !server.health.take_probe(server.now) {
                server.now += MS;
            }
            let wait = server.now - last;
            assert!(wait <= MAX_WAIT && wait >= MIN_WAIT / 2, "{wait:?}");
            assert!(probe < 2 || wait >= MAX_WAIT / 2, "{wait:?}");
            assert!(!server.health.take_probe(server.now), "one at a time");
            // Its outcome, and those of attempts from before, postpone nothing.
            last = server.now;
            server.after(Outcome::Failure, MS, 10);
        }
    }
}

#[test]
fn a_busy_server_is_left_alone_for_a_second_at_most() {
    let mut server = new();
    assert!(server.health.is_clean());
    server.after(Outcome::Busy(100 * MS), MS, 1);
    server.after(Outcome::Busy(10 * MS), MS, 1);
    assert!(server.health.is_busy(99 * MS) && !server.health.is_busy(100 * MS));
    server.after(Outcome::Busy(Duration::MAX), MS, 1);
    assert!(server.health.is_busy(MAX_WAIT - MS) && !server.health.is_busy(MAX_WAIT));
    server.after(Outcome::Busy(Duration::ZERO), MS, 1);
}

//! No test fails because the machine is slow: what must succeed has a second at least.

use std::collections::{BTreeMap, BTreeSet};

use super::{code, test_files};

const EXPIRES: &str = "it is to expire";
const GROWS: &str = "it grows until the handler has started";
const REPEATED: &str = "the call is repeated until the handler has started";
const STOPPED: &str = "the clock is stopped until it is to expire";
const ANY: &str = "the clock is paused, or both outcomes are right";
const UNCALLED: &str = "the method is never called";

/// Tests with a timeout below a second, and the reason why their outcome does not depend on speed.
const ALLOWED: [(&str, &str, &str); 34] = [
    (
        "fibpro/tests/it/services.rs",
        "a_busy_worker_still_reports_its_health",
        EXPIRES,
    ),
    (
        "fibpro/tests/it/services.rs",
        "f10_a_number_stops_at_its_deadline",
        EXPIRES,
    ),
    (
        "fibpro/tests/it/sink.rs",
        "shutdown_ends_at_its_timeout",
        EXPIRES,
    ),
    (
        "rpc-runtime/src/server/admission/gate/tests.rs",
        "gate",
        ANY,
    ),
    (
        "tests/it/admission.rs",
        "ping_and_deadlines_work_with_all_threads_blocked",
        EXPIRES,
    ),
    (
        "tests/it/calls/deadlines.rs",
        "a_server_that_cannot_drain_stops_all_the_same",
        EXPIRES,
    ),
    ("tests/it/calls/deadlines.rs", "expires", GROWS),
    ("tests/it/calls/mod.rs", "capped", REPEATED),
    (
        "tests/it/chain/network.rs",
        "a_black_hole_ends_at_the_deadline",
        EXPIRES,
    ),
    (
        "tests/it/chain/network.rs",
        "a_slow_network_only_costs_time",
        EXPIRES,
    ),
    (
        "tests/it/chain/network.rs",
        "deadline_source_and_hops_reach_the_last_service",
        GROWS,
    ),
    (
        "tests/it/chain/processes.rs",
        "a_stopped_process_fails_calls_at_the_deadline",
        EXPIRES,
    ),
    (
        "tests/it/chain/requested_faults.rs",
        "a_call_with_a_lost_response_ran_once",
        EXPIRES,
    ),
    (
        "tests/it/faults.rs",
        "a_delay_waits_and_ends_at_the_deadline",
        EXPIRES,
    ),
    (
        "tests/it/flags/log_rpc.rs",
        "a_cancelled_call_writes_its_line_too",
        GROWS,
    ),
    (
        "tests/it/hostile_server.rs",
        "a_dripping_response_ends_at_the_deadline",
        EXPIRES,
    ),
    (
        "tests/it/hostile_server/connections.rs",
        "a_silent_server_costs_the_deadline",
        EXPIRES,
    ),
    (
        "tests/it/idempotency.rs",
        "concurrent_repeats_wait_for_the_first",
        EXPIRES,
    ),
    (
        "tests/it/idempotency/repeats.rs",
        "work_continues_after_a_disconnect_for_the_repeat",
        GROWS,
    ),
    (
        "tests/it/logs/unavailable.rs",
        "a_silent_sink_delays_no_call_and_no_shutdown",
        EXPIRES,
    ),
    (
        "tests/it/logs/unavailable.rs",
        "without_a_spool_shutdown_counts_unsent_records",
        EXPIRES,
    ),
    (
        "tests/it/plain_stages.rs",
        "an_expired_deadline_runs_no_plain_handler",
        EXPIRES,
    ),
    (
        "tests/it/retries.rs",
        "a_black_hole_ends_at_the_deadline_without_retry",
        EXPIRES,
    ),
    (
        "tests/it/wire/http2.rs",
        "an_idle_connection_is_closed",
        STOPPED,
    ),
    (
        "tests/it/wire/shutdown.rs",
        "a_stopping_server_waits_for_the_drain_timeout",
        EXPIRES,
    ),
    (
        "tests/it/wire/timing.rs",
        "a_client_that_does_not_read_is_disconnected",
        EXPIRES,
    ),
    (
        "tests/it/wire/timing.rs",
        "a_connection_with_only_a_preface_is_closed",
        EXPIRES,
    ),
    (
        "tests/it/wire/timing.rs",
        "a_connection_without_a_first_byte_is_closed",
        EXPIRES,
    ),
    (
        "tests/it/wire/timing.rs",
        "a_dripping_body_times_out",
        EXPIRES,
    ),
    (
        "tests/it/wire/timing.rs",
        "a_dripping_head_times_out",
        EXPIRES,
    ),
    (
        "tests/it/wire/timing.rs",
        "a_response_may_take_longer_than_the_idle_timeout",
        STOPPED,
    ),
    (
        "tests/it/wire/timing.rs",
        "an_idle_connection_is_closed",
        STOPPED,
    ),
    (
        "tests/it/wire/timing.rs",
        "an_unfinished_head_times_out",
        EXPIRES,
    ),
    ("tests/ui/options/fail/invalid_timeout.rs", "buy", UNCALLED),
];

/// Text before a timeout.
const MARKS: [&str; 7] = [
    "timeout(",
    "timeout = ",
    "timeout: ",
    "deadline = ",
    "lame_duck = ",
    ".shutdown(",
    ".finish(",
];

#[test]
fn short_timeouts_have_a_reason() {
    let mut found = BTreeSet::new();
    let files = test_files();
    let all: BTreeMap<_, _> = files
        .iter()
        .map(|file| (file.name.as_str(), &file.whole[file.tests..]))
        .collect();
    let constants: BTreeMap<_, _> = all
        .iter()
        .map(|(name, code)| (*name, short_names(code)))
        .collect();
    for (name, code) in &all {
        let mut names = constants[name].clone();
        // The constants of a folder.
        if let Some((folder, _)) = name.rsplit_once('/') {
            let of_folder = constants.get(format!("{folder}/mod.rs").as_str());
            names.extend(of_folder.into_iter().flatten());
        }
        let tests = short_timeouts(code, &names).into_iter();
        found.extend(tests.map(|test| ((*name).to_owned(), test.to_owned())));
    }
    assert!(found.len() > 10, "{found:?}");
    let allowed: BTreeSet<_> = ALLOWED
        .iter()
        .map(|(file, test, _)| ((*file).to_owned(), (*test).to_owned()))
        .collect();
    let new: Vec<_> = found.difference(&allowed).collect();
    assert!(
        new.is_empty(),
        "timeouts below a second: lengthen them, or add the reason to ALLOWED: {new:#?}"
    );
    let gone: Vec<_> = allowed.difference(&found).collect();
    assert!(gone.is_empty(), "not there any more: {gone:#?}");
}

#[test]
fn short_timeouts_are_recognized() {
    for (expected, text) in [
        (
            1,
            "fn a() { call.timeout(Duration::from_millis(999)).await; }",
        ),
        (
            1,
            "fn a() { call\n    .timeout(Duration::from_micros(5))\n    .await; }",
        ),
        (
            1,
            "const SHORT: Duration = Duration::from_millis(9); fn a() { call.timeout(SHORT) }",
        ),
        (
            1,
            "fn a() { let mut time = Duration::from_millis(9); x.timeout(time) }",
        ),
        (
            1,
            "fn a() { for time in [4, 40].map(Duration::from_millis) { x.timeout(time) } }",
        ),
        (
            1,
            "fn a() { limits.drain_timeout = Duration::from_millis(9); }",
        ),
        (1, "#[rpc(timeout = \"30ms\")] async fn a(&self);"),
        (
            2,
            "fn a() { x.timeout(SHORT) } const SHORT: Duration = Duration::from_millis(9); \
             fn b() { x.timeout(SHORT / 2) }",
        ),
        (
            0,
            "fn a() { call.timeout(Duration::from_millis(1000)).await; }",
        ),
        (0, "fn a() { call.timeout(Duration::from_secs(1)).await; }"),
        (
            0,
            "fn a() { call.timeout(LONG).await; sleep(Duration::from_millis(1)) }",
        ),
        (0, "// call.timeout(Duration::from_millis(1))"),
        (0, "#[rpc(timeout = \"30s\")] async fn a(&self);"),
    ] {
        let code = code(text);
        let tests = short_timeouts(&code, &short_names(&code));
        assert_eq!(tests.len(), expected, "{text}: {tests:?}");
    }
}

/// Returns whether a text begins with a duration below a second.
fn is_short(text: &str) -> bool {
    let text = text.trim_start_matches("std::time::");
    let text = text.trim_start_matches("Duration::from_");
    text.starts_with("micros(")
        || text.starts_with("nanos(")
        || text.strip_prefix("millis(").is_some_and(|digits| {
            let digits = digits.split(')').next().unwrap_or_default();
            digits
                .replace('_', "")
                .parse::<u32>()
                .is_ok_and(|ms| ms < 1000)
        })
        || text.strip_prefix('"').is_some_and(|text| {
            let text = text.split('"').next().unwrap_or_default();
            text.strip_suffix("ms")
                .is_some_and(|ms| ms.parse::<u32>().is_ok_and(|ms| ms < 1000))
        })
}

/// Returns the constants and variables with a duration below a second.
fn short_names(code: &str) -> BTreeSet<&str> {
    let last = |text: &'_ str| -> Option<usize> { text.trim_end().rfind(' ') };
    let bound = code
        .match_indices(" = ")
        .filter(|(at, _)| is_short(&code[at + 3..]));
    let bound = bound.filter_map(|(at, _)| {
        let name = code[..at].trim_end_matches(": Duration");
        last(name).map(|start| name[start + 1..].trim_end())
    });
    let looped = code
        .match_indices("].map(Duration::from_millis) {")
        .filter_map(|(at, _)| {
            let start = code[..at].rfind("for ")?;
            code[start + 4..at].split(" in ").next()
        });
    bound.chain(looped).collect()
}

/// Returns the functions with a timeout below a second.
fn short_timeouts<'c>(code: &'c str, names: &BTreeSet<&str>) -> BTreeSet<&'c str> {
    let marks = MARKS.iter().flat_map(|mark| code.match_indices(mark));
    let short = marks.filter(|(at, mark)| {
        let argument = &code[at + mark.len()..];
        let word = argument
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .next();
        is_short(argument) || word.is_some_and(|word| names.contains(word))
    });
    short
        .filter_map(|(at, _)| {
            // An attribute belongs to the function that follows.
            let is_attribute = code[..at].ends_with("rpc(") || code[..at].ends_with(", ");
            let function = match code[..at].rfind("fn ") {
                Some(function) if !is_attribute => function,
                _ => at + code[at..].find("fn ")?,
            };
            let name = &code[function + 3..];
            name.split(['(', '<']).next()
        })
        .collect()
}

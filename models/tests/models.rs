//! Runs each model under both schedulers. The models are described in `src/`.

use rpc_models::{admission, check, idempotency, logs};

#[test]
fn every_call_is_admitted() {
    check(admission::every_call_is_admitted);
}

#[test]
fn a_dropped_waiter_keeps_no_slot() {
    check(admission::a_dropped_waiter_keeps_no_slot);
}

#[test]
fn rate_limits_are_bounded_and_exact() {
    check(admission::rate_limits_are_bounded_and_exact);
}

#[test]
fn one_call_runs_and_all_get_its_result() {
    check(idempotency::one_call_runs_and_all_get_its_result);
}

#[test]
fn another_message_never_runs() {
    check(idempotency::another_message_never_runs);
}

#[test]
fn an_unexecuted_call_runs_again() {
    check(idempotency::an_unexecuted_call_runs_again);
}

#[test]
fn the_key_of_a_running_call_is_never_evicted() {
    check(idempotency::the_key_of_a_running_call_is_never_evicted);
}

#[test]
fn two_replicas_run_a_call_once_and_lose_no_key() {
    check(idempotency::two_replicas_run_a_call_once_and_lose_no_key);
}

#[test]
fn every_event_is_exported_once_and_in_order() {
    check(logs::every_event_is_exported_once_and_in_order);
}

#[test]
fn a_dropped_event_is_counted_and_leaves_a_gap() {
    check(logs::a_dropped_event_is_counted_and_leaves_a_gap);
}

#[test]
fn early_events_get_the_source_of_the_process() {
    check(logs::early_events_get_the_source_of_the_process);
}

#[test]
fn an_event_at_the_end_is_exported_or_counted() {
    check(logs::an_event_at_the_end_is_exported_or_counted);
}

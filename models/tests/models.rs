//! Each model under both schedulers. They are told in `src/`.

use rpc_models::{admission, check, idempotency, logs};

#[test]
fn everybody_gets_in_and_never_more_than_there_are_places() {
    check(admission::everybody_gets_in);
}

#[test]
fn who_gives_up_waiting_leaves_nothing() {
    check(admission::who_gives_up_leaves_nothing);
}

#[test]
fn allowances_are_bounded_and_given_once() {
    check(admission::allowances_are_bounded_and_given_once);
}

#[test]
fn one_call_of_a_key_runs_and_all_get_its_result() {
    check(idempotency::one_runs_and_all_get_its_result);
}

#[test]
fn another_message_under_a_key_never_runs() {
    check(idempotency::another_message_never_runs);
}

#[test]
fn what_was_not_done_runs_again() {
    check(idempotency::what_was_not_done_runs_again);
}

#[test]
fn what_runs_is_never_forgotten() {
    check(idempotency::what_runs_is_never_forgotten);
}

#[test]
fn everything_that_is_written_is_shipped_once_and_in_order() {
    check(logs::everything_is_shipped_once_and_in_order);
}

#[test]
fn what_has_no_room_in_the_log_queue_is_counted_and_leaves_a_gap() {
    check(logs::what_has_no_room_is_counted_and_leaves_a_gap);
}

#[test]
fn what_is_written_before_the_process_has_a_name_is_shipped_under_it() {
    check(logs::what_is_early_is_shipped_under_the_name_that_comes);
}

#[test]
fn what_is_written_at_the_end_of_shipping_is_shipped_or_counted() {
    check(logs::what_comes_at_the_end_is_shipped_or_counted);
}

//! Each model under both schedulers. They are told in `src/`.

use rpc_models::{admission, check, dedupe};

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
    check(dedupe::one_runs_and_all_get_its_result);
}

#[test]
fn another_message_under_a_key_never_runs() {
    check(dedupe::another_message_never_runs);
}

#[test]
fn what_was_not_done_runs_again() {
    check(dedupe::what_was_not_done_runs_again);
}

#[test]
fn what_runs_is_never_forgotten() {
    check(dedupe::what_runs_is_never_forgotten);
}

//! Checks which programs the macros accept, and the compiler messages for those that they reject.
//!
//! `ui/<topic>/fail/<mistake>.rs` must not compile, with the messages of the `.stderr` file of the
//! same name. `ui/<topic>/pass/*.rs` must compile and run.
//! `TRYBUILD=overwrite cargo test -p rpc-tests --test ui` accepts the new messages.

/// Runs all cases in one test, since trybuild builds the dependencies once for each test.
#[test]
fn ui() {
    let cases = trybuild::TestCases::new();
    cases.pass("ui/*/pass/*.rs");
    cases.compile_fail("ui/*/fail/*.rs");
}

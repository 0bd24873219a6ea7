//! What the macros refuse, in which words, and what they have to accept.
//!
//! `ui/<topic>/fail/<mistake>.rs` must not compile, with the messages of the `.stderr` beside it;
//! `ui/<topic>/pass/*.rs` must compile and run. `TRYBUILD=overwrite cargo test -p rpc-tests --test ui` accepts the
//! messages that come out.

/// All cases in one test: trybuild builds the dependencies once for each.
#[test]
fn ui() {
    let cases = trybuild::TestCases::new();
    cases.pass("ui/*/pass/*.rs");
    cases.compile_fail("ui/*/fail/*.rs");
}

//! Nothing: `tests/json.rs` has the tests.

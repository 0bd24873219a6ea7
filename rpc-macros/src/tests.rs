//! Tests of whole expansions. Unit tests are next to the functions that they test.

/// Compares expansions with golden files, feature by feature.
mod golden;

/// Limits the size of the expansions.
mod budget;

/// Checks error messages and their order.
mod errors;

//! Compile tests.

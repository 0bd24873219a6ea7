//! Shared by the programs under test of the official Connect conformance suite: the messages of
//! `connectrpc.conformance.v1`, and the pipe to the runner.
//!
//! The messages derive `prost::Message` for the runner and for `google.protobuf.Any`, and serde's
//! traits for the calls under test. There is no `.proto` file and no generated code. The programs
//! use only the public API of the framework and have no code for single test cases.

pub mod any;
pub mod json;
pub mod messages;
pub mod stdio;

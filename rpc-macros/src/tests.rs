//! Tests of whole expansions. Those of a single function stand beside it.

/// What the macros emit, feature by feature, against accepted files.
mod golden;

/// How much they emit.
mod budget;

/// What they refuse, and in which order.
mod mistakes;

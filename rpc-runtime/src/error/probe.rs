//! What the derive finds out about a type without a bound on it.

//! Criterion benchmarks of the steps of a call, see `benches/`.

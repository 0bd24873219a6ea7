//! Criterion benchmarks of the parts of a call, see `benches/`.

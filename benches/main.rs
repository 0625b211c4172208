//! Benchmarks: one row per operation.
fn main() {}

//! Benchmarks: one row per operation, and the whole network. `cargo bench -- NAME` runs the rows with NAME.
mod harness;
mod roof;
mod training;

fn main() {
    let mut harness = harness::Harness::new();
    training::rows(&mut harness);
    harness.finish();
}

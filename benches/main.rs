//! Benchmarks: one row per operation, and the whole network. `cargo bench -- NAME` runs the rows with NAME.
mod harness;
mod peer;
mod roof;
mod training;

fn main() {
    if peer::serve() {
        return;
    }
    let mut harness = harness::Harness::new();
    training::rows(&mut harness);
    harness.finish();
}

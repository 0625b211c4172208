//! Benchmarks: one row per operation, and the whole network. `cargo bench -- NAME` runs the rows with NAME.
mod clustering;
mod convolutions;
mod harness;
mod peer;
mod voxelwise;
mod whole;

fn main() {
    if peer::serve() {
        return;
    }
    let mut harness = harness::Harness::new();
    convolutions::rows(&mut harness);
    voxelwise::rows(&mut harness);
    clustering::rows(&mut harness);
    whole::rows(&mut harness);
    harness.finish();
}

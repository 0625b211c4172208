//! No operation without its test and its row among the benchmarks.
use std::fs;
use std::path::Path;

/// Files of `src/ops` that are no operations themselves: what several operations are made of, and the same operations on a
/// GPU, of which `tests/cuda/selftest.rs` demands that all are tested.
const SHARED: [&str; 10] = [
    "activations",
    "blocks",
    "correlation",
    "cuda",
    "disjoint_sets",
    "envelope",
    "faces",
    "mod",
    "tables",
    "winograd",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The names of the Rust files and folders in a folder.
fn stems(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(root().join(folder)).unwrap();
    entries.map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

fn operations() -> Vec<String> {
    stems("src/ops").into_iter().filter(|stem| !SHARED.contains(&stem.as_str())).collect()
}

#[test]
fn every_operation_has_a_test() {
    let tests = stems("tests/ops");
    let run = fs::read_to_string(root().join("tests/ops/mod.rs")).unwrap();
    for operation in operations() {
        assert!(tests.contains(&operation), "no tests/ops/{operation}.rs");
        assert!(run.contains(&format!("mod {operation};")), "tests/ops/{operation}.rs is not run");
    }
}

#[test]
fn every_operation_has_a_benchmark_row() {
    let sources = stems("benches").into_iter().map(|stem| root().join("benches").join(stem + ".rs"));
    let rows: String = sources.map(|path| fs::read_to_string(path).unwrap()).collect();
    for operation in operations() {
        // A row is called by its operation, alone or followed by the part that it measures.
        let named = [format!("\"{operation}\""), format!("\"{operation} ")];
        assert!(named.iter().any(|name| rows.contains(name)), "no row {operation:?} in benches");
    }
}

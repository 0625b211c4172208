//! `tascan selftest` and `tascan bench` on the emulated GPU: every kernel that there is, against the CPU.
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Output;

use super::driver::{CAPABILITIES, are_kernels_built, with_emulator};
use crate::cli::sandbox::Sandbox;

fn run(sandbox: &Sandbox, capability: &str, report: &str, line: &str) -> Output {
    let mut command = with_emulator(sandbox.command(), capability);
    command.args(line.split_whitespace()).env("CUDA_EMULATOR_REPORT", sandbox.path(report)).output().unwrap()
}

/// The names of all kernels in `kernels/*.cu` that there are for a capability.
fn kernels(capability: &str) -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let sources = files.filter(|path| path.extension().is_some_and(|ending| ending == "cu"));
    let all = sources.flat_map(|path| names(&fs::read_to_string(path).unwrap()));
    all.filter(|name| capability != "7.5" || !name.ends_with("_bf16")).collect()
}

/// A kernel's name stands behind its launch bounds.
fn names(source: &str) -> Vec<String> {
    let entries = source.split("__global__ void __launch_bounds__(").skip(1);
    let name = |entry: &str| entry.split(") ").nth(1)?.split('(').next().map(str::to_owned);
    entries.map(|entry| name(entry).expect("a kernel has launch bounds and a name")).collect()
}

/// The kernels that a profile tells of.
fn launched(sandbox: &Sandbox, report: &str) -> BTreeSet<String> {
    let profile: serde_json::Value =
        serde_json::from_slice(&fs::read(sandbox.path(report)).unwrap()).unwrap();
    profile.as_object().unwrap().keys().cloned().collect()
}

#[test]
fn every_kernel_agrees_with_the_cpu() {
    if !are_kernels_built() {
        return;
    }
    let sandbox = Sandbox::new();
    for capability in CAPABILITIES {
        let output = run(&sandbox, capability, "selftest.json", "selftest --device cuda --edge 15");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        assert!(said.contains("| ok") && !said.contains("WRONG"), "{said}");
        let output = run(&sandbox, capability, "bench.json", "bench erosion --device cuda --edge 15");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("tensor cores"), "{said}");
        let mut found = launched(&sandbox, "selftest.json");
        found.extend(launched(&sandbox, "bench.json"));
        assert_eq!(
            kernels(capability).difference(&found).collect::<Vec<_>>(),
            Vec::<&String>::new(),
            "never launched"
        );
    }
}

#[test]
fn there_is_nothing_to_test_without_a_gpu() {
    let sandbox = Sandbox::new();
    sandbox.fails("selftest --device cpu", &["no GPU to test"]);
    sandbox.fails("bench nothing --device cpu --edge 8", &["nothing"]);
}

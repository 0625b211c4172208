//! The program itself, unmodified, with the emulated driver on its library path.
use std::process::{Command, Output};

use super::driver::{CAPABILITIES, are_kernels_built, with_emulator};
use crate::cli::sandbox::Sandbox;

fn run(sandbox: &Sandbox, capability: &str, line: &str) -> Output {
    let mut command: Command = with_emulator(sandbox.command(), capability);
    command.args(line.split_whitespace()).output().unwrap()
}

#[test]
fn labels_equal_those_of_the_cpu() {
    if !are_kernels_built() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.tissue("raw.tif");
    sandbox.succeeds("segment raw.tif -o cpu.tif --device cpu --save-classes");
    for capability in CAPABILITIES {
        let output = run(&sandbox, capability, "segment raw.tif -o cuda.tif --device cuda --precision f32");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "capability {capability}: {} {said}", output.status);
        assert_eq!(sandbox.labels("cuda.tif"), sandbox.labels("cpu.tif"));
        let output = run(&sandbox, capability, "cluster cpu_classes.tif -o clustered.tif --device cuda");
        assert!(output.status.success(), "capability {capability}: {}", output.status);
        assert_eq!(sandbox.labels("clustered.tif"), sandbox.labels("cpu.tif"));
    }
}

#[test]
fn a_gpu_that_cannot_be_used_is_told() {
    if !are_kernels_built() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.tissue("raw.tif");
    for (capability, options, words) in [
        (
            "7.0",
            "--device cuda",
            ["cuda:0 is not available", "(PTX on the CPU)) has compute capability 7.0", "--device cpu"],
        ),
        ("8.0", "--device cuda:1", ["cuda:1 is not available", "the only GPU is cuda:0", "--device cpu"]),
        (
            "7.5",
            "--device cuda --precision bf16",
            ["compute capability 7.5", "bf16 needs 8.0 (RTX 30 series)", "another --precision"],
        ),
    ] {
        let output = run(&sandbox, capability, &format!("segment raw.tif -o labels.tif {options}"));
        sandbox.has_failed(&output, &words);
    }
    // What only pretends to be a GPU is used on request alone.
    let output = run(&sandbox, "8.0", "segment raw.tif -o labels.tif -v");
    assert!(String::from_utf8_lossy(&output.stderr).contains("the network runs on cpu"));
}

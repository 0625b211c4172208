//! `--device cuda:all` on two emulated GPUs.
use std::process::Output;

use tascan::synth::{self, Parameters};

use super::driver::{are_kernels_built, with_emulator};
use crate::cli::sandbox::Sandbox;

/// A tissue of four blocks.
fn tissue() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("raw.tif", synth::sample_with(Parameters::default(), [12, 16, 128], 5).raw.view());
    sandbox
}

/// With two GPUs and variables of the emulator's README.
fn segment(sandbox: &Sandbox, options: &str, variables: &[(&str, &str)]) -> Output {
    let mut command = with_emulator(sandbox.command(), "8.0");
    command.args(["segment", "raw.tif", "-o", "labels.tif", "--scale", "1", "--block", "32"]);
    command.args(options.split_whitespace()).env("CUDA_EMULATOR_DEVICES", "2");
    command.envs(variables.iter().copied()).output().unwrap()
}

#[test]
fn a_gpu_that_cannot_be_used_is_left_out() {
    if !are_kernels_built() {
        return;
    }
    let sandbox = tissue();
    let output = segment(&sandbox, "--device cuda:all -v", &[("CUDA_EMULATOR_CC", "8.0,7.0")]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("a GPU is left out: cuda:1 (CUDA emulator") && said.contains("7.0"), "{said}");
    assert!(said.contains("the network runs on cuda:0 (CUDA emulator (PTX on the CPU)) in f16"), "{said}");
    let output = segment(&sandbox, "--device cuda:all", &[("CUDA_EMULATOR_CC", "7.0")]);
    sandbox.has_failed(&output, &["cuda:all is not available: cuda:0 (", "; cuda:1 (", "--device cpu"]);
}

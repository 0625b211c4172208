//! The program on GPUs that cannot be used, or fail on the way: a message, exit status 1, and no file left.
use std::path::Path;
use std::process::Output;

use ndarray::Array3;
use tascan::device::cuda::kernels;
use tascan::synth::{self, Parameters};

use super::driver::{are_kernels_built, with_emulator};
use crate::cli::sandbox::Sandbox;
use crate::ops::grids;

/// A long volume, of which blocks need not read everything.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    let voxels = Array3::from_shape_vec([3, 5, 160], grids::noise(3 * 5 * 160, 1)).unwrap();
    sandbox.write("raw.tif", voxels.view());
    sandbox
}

/// With the emulated driver and variables of its README, on the volume above; at scale 1 unless `options` say otherwise.
fn segment(sandbox: &Sandbox, options: &str, variables: &[(&str, &str)]) -> Output {
    let mut command = with_emulator(sandbox.command(), "8.0");
    command.args(["segment", "raw.tif", "-o", "labels.tif"]);
    if !options.contains("--scale") {
        command.args(["--scale", "1"]);
    }
    command.args(options.split_whitespace()).envs(variables.iter().copied()).output().unwrap()
}

#[track_caller]
fn fails(options: &str, variables: &[(&str, &str)], words: &[&str]) {
    let sandbox = sandbox();
    let before = sandbox.files();
    let output = segment(&sandbox, options, variables);
    sandbox.has_failed(&output, words);
    assert_eq!(before, sandbox.files(), "{options} with {variables:?} left something behind");
}

#[test]
fn a_kernel_that_fails_on_the_way_is_named() {
    if !are_kernels_built() {
        return;
    }
    // A block has 13 launches.
    let kernels = [("1", "kernel contrast_sums", "256"), ("18", "kernel conv3d_residual_f16", "128")];
    for (launch, kernel, threads) in kernels {
        let shape = format!(" blocks of {threads} threads on cuda:0");
        let words = [kernel, &shape, "CUDA_ERROR_LAUNCH_FAILED", "--device cpu"];
        fails("--device cuda --block 80", &[("CUDA_EMULATOR_FAIL_LAUNCH", launch)], &words);
    }
    // The one behind the single block of the reduced volume.
    let words = [
        "kernel enlargement in",
        " blocks of 256 threads on cuda:0",
        "CUDA_ERROR_LAUNCH_FAILED",
        "--device cpu",
    ];
    fails("--device cuda --scale 2", &[("CUDA_EMULATOR_FAIL_LAUNCH", "14")], &words);
}

#[test]
fn a_device_that_disappears_is_told() {
    if !are_kernels_built() {
        return;
    }
    for call in ["1", "2", "9", "30", "45", "60", "61", "62", "63", "64"] {
        let words = ["cuda:0 (CUDA emulator", "CUDA_ERROR_UNKNOWN", "--device cpu"];
        fails("--device cuda --block 80", &[("CUDA_EMULATOR_FAIL_CALL", call)], &words);
    }
}

#[test]
fn a_device_without_memory_for_the_weights_is_told() {
    if !are_kernels_built() {
        return;
    }
    let words = ["MB of memory on cuda:0", "out of memory", "--device cpu"];
    fails("--device cuda", &[("CUDA_EMULATOR_MEMORY", "1000000")], &words);
}

#[test]
fn a_volume_that_exceeds_the_memory_has_the_same_labels() {
    if !are_kernels_built() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.write("raw.tif", synth::sample_with(Parameters::default(), [12, 16, 128], 5).raw.view());
    let labels = |options: &str, memory: &str, words: &str| {
        let output = segment(&sandbox, options, &[("CUDA_EMULATOR_MEMORY", memory)]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains(words), "{options}, {memory} bytes: {said}");
        sandbox.labels("labels.tif")
    };
    let expected = labels("--device cuda -v", "1000000000", "in blocks of [16, 16, 128]");
    // Weights take 2.8 MB, the whole volume 3 MB more.
    assert_eq!(
        labels("--device cuda -v --block 1000", "5000000", " voxels in place of [12, 16, 128]"),
        expected
    );
    assert_eq!(labels("--device cuda -v", "5000000", "in blocks of ["), expected);
}

#[test]
fn a_driver_that_is_too_old_is_told() {
    if !are_kernels_built() {
        return;
    }
    let words = ["cuda:0 is not available", "for CUDA 11.3", "for 11.4 or later", "update the driver"];
    fails("--device cuda", &[("CUDA_EMULATOR_DRIVER_VERSION", "11030")], &words);
}

/// Runs the program where the loader finds no driver; the reason why the GPU is not used has to hold `word`.
fn without_driver(word: &str) {
    let sandbox = Sandbox::new();
    sandbox.tissue("raw.tif");
    let run = |options: &str| {
        let line = format!("segment raw.tif -o labels.tif {options}");
        let mut command = sandbox.command();
        command.env_remove("LD_LIBRARY_PATH").args(line.split_whitespace()).output().unwrap()
    };
    sandbox.has_failed(&run("--device cuda"), &["cuda:0 is not available", word, "--device cpu"]);
    let output = run("-v");
    let said = String::from_utf8_lossy(&output.stderr);
    let sentence = format!("the network runs on the CPU, for there is no GPU to use: {word}");
    assert!(output.status.success() && said.contains(&sentence), "{said}");
}

#[test]
fn a_machine_without_a_driver_uses_the_cpu() {
    match Path::new("/proc/driver/nvidia/version").exists() {
        true => println!("skipped: this machine has a driver"),
        false if kernels::are_built() => without_driver("there is no NVIDIA driver"),
        false => without_driver("this build has no CUDA kernels"),
    }
}

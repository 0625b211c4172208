//! `--device cuda:all` on two emulated GPUs.
use std::fs;
use std::process::Output;

use tascan::device::cuda::Gpu;
use tascan::device::{Device, Precision};
use tascan::network::prediction::{Prediction, Predictor};
use tascan::synth::{self, Parameters};

use super::driver::{are_kernels_built, emulated_with, with_emulator};
use super::network::{noise, predict};
use crate::cli::sandbox::Sandbox;
use crate::recipe;

/// A tissue of this many columns, of which a block need not read everything.
fn tissue(columns: usize) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("raw.tif", synth::sample_with(Parameters::default(), [12, 16, columns], 5).raw.view());
    sandbox
}

/// With two GPUs and variables of the emulator's README.
fn segment(sandbox: &Sandbox, options: &str, variables: &[(&str, &str)]) -> Output {
    let mut command = with_emulator(sandbox.command(), "8.0");
    command.args(["segment", "raw.tif", "-o", "labels.tif", "--scale", "1"]);
    command.args(options.split_whitespace()).env("CUDA_EMULATOR_DEVICES", "2");
    command.envs(variables.iter().copied()).output().unwrap()
}

#[test]
fn labels_equal_those_of_the_cpu() {
    if !are_kernels_built() {
        return;
    }
    let sandbox = tissue(128);
    sandbox.succeeds("segment raw.tif -o cpu.tif --scale 1 --device cpu");
    let report = sandbox.path("report.json");
    let variables = [("CUDA_EMULATOR_REPORT", report.to_str().unwrap())];
    let output = segment(&sandbox, "--device cuda:all --precision f32 --block 32", &variables);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(sandbox.labels("labels.tif"), sandbox.labels("cpu.tif"));
    let report: serde_json::Value = serde_json::from_slice(&fs::read(report).unwrap()).unwrap();
    let launches = report["first_conv_f32"]["launches_by_device"].as_array().unwrap();
    let launches: Vec<_> = launches.iter().map(|launches| launches.as_u64().unwrap()).collect();
    assert!(
        launches.iter().sum::<u64>() == 4 && launches.iter().all(|launches| *launches > 0),
        "{launches:?}"
    );
}

#[test]
fn all_axis_orders_come_in_their_order() {
    let test = "cuda::several::all_axis_orders_come_in_their_order";
    emulated_with(test, &[("CUDA_EMULATOR_DEVICES", "2")], |gpu| {
        let precision = Precision::F16;
        let two = Device::Cuda { gpu: gpu.clone(), others: vec![Gpu::open(1).unwrap()], precision };
        let volume = noise([3, 5, 99]);
        let predictions = [Device::cuda(gpu.clone(), precision), two].map(|device| {
            let mut predictor = Predictor::on(&device, &recipe::cellsegnet_weights(3), true).unwrap();
            predictor.keep_probabilities = true;
            predict(&predictor, &volume, [8, 8, 24])
        });
        let [Prediction { classes, probabilities, .. }, found] = predictions;
        assert!(found.classes == classes && found.probabilities == probabilities);
    });
}

#[test]
fn a_gpu_that_fails_stops_the_others() {
    if !are_kernels_built() {
        return;
    }
    let sandbox = tissue(128);
    let before = sandbox.files();
    // In the first block that the GPU gets.
    for (launch, gpu) in [("0:6", "on cuda:0 (CUDA emulator"), ("1:6", "on cuda:1 (CUDA emulator")] {
        let output =
            segment(&sandbox, "--device cuda:all --block 32", &[("CUDA_EMULATOR_FAIL_LAUNCH", launch)]);
        sandbox.has_failed(&output, &["kernel conv3d", gpu, "CUDA_ERROR_LAUNCH_FAILED", "--device cpu"]);
        assert_eq!(before, sandbox.files());
    }
}

#[test]
fn a_gpu_with_less_memory_halves_its_own_blocks() {
    if !are_kernels_built() {
        return;
    }
    let sandbox = tissue(256);
    let labels = |options: &str, memory: &str, words: &str| {
        let output = segment(&sandbox, options, &[("CUDA_EMULATOR_MEMORY", memory)]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains(words), "{options}, {memory} bytes: {said}");
        sandbox.labels("labels.tif")
    };
    let expected = labels("--device cuda --block 1000", "1000000000", "");
    // Weights take 2.8 MB, what half of the volume reads some 2.7 MB more, and a quarter 2.2 MB.
    let words = "blocks of [12, 16, 64] voxels in place of [12, 16, 128]";
    assert_eq!(labels("--device cuda:all -v --block 128", "1000000000,5200000", words), expected);
}

#[test]
fn a_gpu_that_cannot_be_used_is_left_out() {
    if !are_kernels_built() {
        return;
    }
    let sandbox = tissue(128);
    let output = segment(&sandbox, "--device cuda:all -v", &[("CUDA_EMULATOR_CC", "8.0,7.0")]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("a GPU is left out: cuda:1 (CUDA emulator") && said.contains("7.0"), "{said}");
    assert!(said.contains("the network runs on cuda:0 (CUDA emulator (PTX on the CPU)) in f16"), "{said}");
    let output = segment(&sandbox, "--device cuda:all", &[("CUDA_EMULATOR_CC", "7.0")]);
    sandbox.has_failed(&output, &["cuda:all is not available: cuda:0 (", "; cuda:1 (", "--device cpu"]);
}

//! Processes that find the emulated driver (`tests/cuda-emulator`): the library path must be set before a process starts,
//! so a test starts itself again with it. A machine's real driver is never used.
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use tascan::device::cuda::{Gpu, kernels};

/// Says so in the process that has the emulated driver.
const INSIDE: &str = "TASCAN_TEST_INSIDE";
/// The exit code of a process in which the emulated driver found a fault.
const FAULT: i32 = 86;

/// Compute capabilities that the kernels are compiled for.
pub const CAPABILITIES: [&str; 2] = ["7.5", "8.0"];

/// Where cargo puts the emulated driver, beside the tests.
fn libraries() -> PathBuf {
    let here = std::env::current_exe().unwrap();
    let folder = here.parent().unwrap().to_owned();
    assert!(folder.join("libcuda.so").exists(), "no libcuda.so in {}", folder.display());
    folder
}

/// The command, about to run with the emulated driver as a GPU of this capability.
pub fn with_emulator(mut command: Command, capability: &str) -> Command {
    command.env("LD_LIBRARY_PATH", libraries());
    command.env("CUDA_EMULATOR_CC", capability);
    command.env("CUDA_EMULATOR_EXIT_CODE", FAULT.to_string());
    command
}

/// Whether there is something to test; says so where there is not.
pub fn are_kernels_built() -> bool {
    if !kernels::are_built() {
        println!("skipped: the build has no CUDA kernels; scripts/get-nvcc gets their compiler");
    }
    kernels::are_built()
}

/// Runs `work` on the emulated GPU, for each capability in a process of its own; no check of the emulator may object.
/// `test` is the path of the calling test.
#[track_caller]
pub fn emulated(test: &str, work: impl FnOnce(&Arc<Gpu>)) {
    emulated_with(test, &[], work);
}

/// As [`emulated`], the driver having these variables of its README too.
#[track_caller]
pub fn emulated_with(test: &str, variables: &[(&str, &str)], work: impl FnOnce(&Arc<Gpu>)) {
    if std::env::var_os(INSIDE).is_some() {
        inside(work);
    } else if are_kernels_built() {
        CAPABILITIES.iter().for_each(|capability| again(test, capability, variables));
    }
}

/// As [`emulated`], on one GPU whose streams go ahead by chance, with as many seeds.
#[track_caller]
pub fn emulated_in_orders(test: &str, seeds: u64, work: impl FnOnce(&Arc<Gpu>)) {
    if std::env::var_os(INSIDE).is_some() {
        inside(work);
    } else if are_kernels_built() {
        (0..seeds).for_each(|seed| again(test, "8.0", &[("CUDA_EMULATOR_ORDER", &seed.to_string())]));
    }
}

fn inside(work: impl FnOnce(&Arc<Gpu>)) {
    let gpu = Gpu::open(0).unwrap();
    assert!(gpu.is_emulated());
    work(&gpu);
}

/// Starts the test again, in a process that has the emulated driver.
#[track_caller]
fn again(test: &str, capability: &str, variables: &[(&str, &str)]) {
    let mut command = with_emulator(Command::new(std::env::current_exe().unwrap()), capability);
    let output = command
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let said =
        [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    let with = format!("capability {capability} {variables:?}");
    assert!(output.status.success(), "{with}: {}\n{said}", output.status);
    assert!(said.contains("1 passed"), "{test} is no test:\n{said}");
    println!("{said}");
}

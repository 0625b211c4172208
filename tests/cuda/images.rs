//! What the build has made of the kernels: registers alone, on every architecture, and what a driver takes of it.
use tascan::device::cuda::kernels::Form;

use super::driver::{are_kernels_built, emulated};

/// What ptxas said of each kernel of each architecture.
const REPORT: &str = include_str!(concat!(env!("OUT_DIR"), "/ptxas.txt"));

#[test]
fn no_kernel_uses_local_memory() {
    if !are_kernels_built() {
        return;
    }
    let mut kernels = 0;
    for kernel in REPORT.split("Compiling entry function ").skip(1) {
        let name = kernel.lines().next().unwrap();
        let frame = "0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads";
        assert!(
            kernel.lines().any(|line| line.trim() == frame),
            "{name} has spills or arrays in local memory; unroll less, or ask for fewer blocks in __launch_bounds__:\n{kernel}"
        );
        kernels += 1;
    }
    println!("{kernels} kernels");
    assert!(kernels > 0 || REPORT.is_empty());
}

#[test]
fn a_gpu_is_served_by_its_own_machine_code_or_by_older_ptx() {
    for (form, image, gpu, serves) in [
        (Form::MachineCode, 80, 80, true),
        (Form::MachineCode, 80, 87, true),
        (Form::MachineCode, 86, 80, false),
        (Form::MachineCode, 80, 90, false),
        (Form::MachineCode, 100, 103, true),
        (Form::MachineCode, 100, 110, false),
        (Form::Ptx, 75, 75, true),
        (Form::Ptx, 80, 121, true),
        (Form::Ptx, 80, 75, false),
    ] {
        assert_eq!(form.serves(image, gpu), serves, "{form:?} for {image} on {gpu}");
    }
}

#[test]
fn a_corrupt_image_is_told() {
    emulated("cuda::images::a_corrupt_image_is_told", |gpu| {
        let machine_code: &[u8] = b"\x7fELF\x02\x01\x01 and no kernel";
        let cut: &[u8] = b".version 6.5\n.target sm_75\n.address_size 64\n.visible .entry broken(";
        for (image, error) in [
            (machine_code, "CUDA_ERROR_NO_BINARY_FOR_GPU"),
            (cut, "CUDA_ERROR_INVALID_PTX"),
            (b"\xff\xfe", "CUDA_ERROR_INVALID_PTX"),
            (b".version 99.0\n.target sm_75\n", "CUDA_ERROR_UNSUPPORTED_PTX_VERSION"),
        ] {
            let message = gpu.load("broken", image).unwrap_err().to_string();
            for words in ["loading the kernels broken.cu", error, "the driver does not take the kernels"] {
                assert!(message.contains(words), "{words:?} is not in {message}");
            }
        }
    });
}

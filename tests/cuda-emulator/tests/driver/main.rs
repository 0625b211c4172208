//! A program that knows nothing of the emulator: cudarc loads `libcuda.so` by name and runs a kernel.
//!
//! The library path must be set before a process starts, so the test starts itself again with it.

mod streams;

use cudarc::driver::{CudaContext, DriverError, LaunchConfig, PushKernelArg};
use cudarc::nvrtc::Ptx;
use std::process::Command;

const SAXPY: &str = "
.version 8.0
.target sm_80
.address_size 64
.visible .entry saxpy(.param .u64 x, .param .u64 y, .param .f32 a, .param .u32 n)
{
    .reg .pred %p<2>; .reg .f32 %f<4>; .reg .b32 %r<6>; .reg .b64 %rd<6>;
    ld.param.u64 %rd1, [x]; ld.param.u64 %rd2, [y]; ld.param.f32 %f1, [a]; ld.param.u32 %r1, [n];
    mov.u32 %r2, %ctaid.x; mov.u32 %r3, %ntid.x; mov.u32 %r4, %tid.x;
    mad.lo.s32 %r5, %r2, %r3, %r4;
    setp.ge.u32 %p1, %r5, %r1;
    @%p1 bra $end;
    mul.wide.u32 %rd3, %r5, 4;
    add.s64 %rd4, %rd1, %rd3; add.s64 %rd5, %rd2, %rd3;
    ld.global.f32 %f2, [%rd4]; ld.global.f32 %f3, [%rd5];
    fma.rn.f32 %f3, %f1, %f2, %f3;
    st.global.f32 [%rd5], %f3;
$end:
    ret;
}
";

/// Runs the named test again in a process that finds the emulator, with further variables.
fn again(test: &str, variables: &[(&str, &str)]) -> std::process::Output {
    let here = std::env::current_exe().expect("a path");
    let libraries = here.parent().expect("a folder");
    assert!(libraries.join("libcuda.so").exists(), "no libcuda.so in {}", libraries.display());
    Command::new(&here)
        .args(["--exact", test, "--nocapture"])
        .env("LD_LIBRARY_PATH", libraries)
        .env("INSIDE", "1")
        .env("CUDA_EMULATOR_EXIT_CODE", "86")
        .env("CUDA_EMULATOR_DEVICES", "2")
        .env("CUDA_EMULATOR_CC", "8.0,9.0")
        .env("CUDA_EMULATOR_MEMORY", "1000000,10000")
        .env("CUDA_EMULATOR_FAIL_LAUNCH", "1:2")
        .env("CUDA_EMULATOR_REPORT", libraries.join(format!("{test}.json")))
        .envs(variables.iter().copied())
        .output()
        .expect("starts")
}

/// The profile that the named test left.
fn report(test: &str) -> serde_json::Value {
    let path = std::env::current_exe().expect("a path").with_file_name(format!("{test}.json"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// y = a x + y on `n` numbers, of which the buffers hold 1000.
fn saxpy(device: usize, n: u32) -> Result<Vec<f32>, DriverError> {
    let context = CudaContext::new(device)?;
    let stream = context.new_stream()?;
    let function = context.load_module(Ptx::from_src(SAXPY))?.load_function("saxpy")?;
    let x = stream.clone_htod(&(0..1000).map(|i| i as f32).collect::<Vec<_>>())?;
    let mut y = stream.clone_htod(&vec![1f32; 1000])?;
    let mut call = stream.launch_builder(&function);
    call.arg(&x).arg(&mut y).arg(&2f32).arg(&n);
    unsafe { call.launch(LaunchConfig::for_num_elems(n)) }?;
    stream.clone_dtoh(&y)
}

#[test]
fn cudarc_runs_a_kernel() {
    if std::env::var_os("INSIDE").is_some() {
        let y = saxpy(0, 1000).unwrap();
        assert!(y.iter().enumerate().all(|(i, y)| *y == 2.0 * i as f32 + 1.0));
        return;
    }
    let output = again("cudarc_runs_a_kernel", &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report = report("cudarc_runs_a_kernel");
    assert_eq!(report["saxpy"]["multiply_adds"]["f32"], 1000);
    assert_eq!(report["saxpy"]["global_sectors"], 375);
}

#[test]
fn devices_are_told_apart() {
    if std::env::var_os("INSIDE").is_some() {
        let contexts = [0, 1].map(|device| CudaContext::new(device).unwrap());
        assert_eq!(contexts[0].compute_capability().unwrap(), (8, 0));
        assert_eq!(contexts[1].compute_capability().unwrap(), (9, 0));
        assert!(CudaContext::new(2).is_err());
        let streams = [0, 1].map(|device: usize| contexts[device].new_stream().unwrap());
        assert!(streams[0].alloc_zeros::<u8>(20_000).is_ok());
        assert!(
            streams[1].alloc_zeros::<u8>(20_000).expect_err("too much").to_string().contains("OUT_OF_MEMORY")
        );
        let function = contexts[0].load_module(Ptx::from_src(SAXPY)).unwrap().load_function("saxpy").unwrap();
        let mut call = streams[1].launch_builder(&function);
        call.arg(&0u64).arg(&0u64).arg(&2f32).arg(&0u32);
        let error = unsafe { call.launch(LaunchConfig::for_num_elems(1)) }.expect_err("a stream elsewhere");
        assert!(error.to_string().contains("INVALID_HANDLE"), "{error}");
        saxpy(1, 1000).unwrap();
        assert!(saxpy(1, 1000).expect_err("the second launch").to_string().contains("LAUNCH_FAILED"));
        saxpy(0, 1000).unwrap();
        saxpy(0, 1000).unwrap();
        return;
    }
    let output = again("devices_are_told_apart", &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(report("devices_are_told_apart")["saxpy"]["launches_by_device"], serde_json::json!([2, 1]));
}

#[test]
fn a_fault_is_told_and_returned() {
    if std::env::var_os("INSIDE").is_some() {
        let error = saxpy(0, 1001).expect_err("one beyond the end");
        assert!(error.to_string().contains("ILLEGAL_ADDRESS"), "{error}");
        return;
    }
    let output = again("a_fault_is_told_and_returned", &[]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(86), "{text}");
    assert!(text.contains("out-of-bounds access") && text.contains("thread (1000,0,0)"), "{text}");
}

#[test]
fn an_output_that_no_kernel_wrote_is_told() {
    if std::env::var_os("INSIDE").is_some() {
        let stream = CudaContext::new(0).unwrap().new_stream().unwrap();
        let zeros = stream.alloc_zeros::<f32>(64).unwrap();
        assert_eq!(stream.clone_dtoh(&zeros).unwrap(), [0.0; 64]);
        let unwritten = unsafe { stream.alloc::<f32>(64) }.unwrap();
        assert!(stream.clone_dtoh(&unwritten).is_err());
        return;
    }
    let output = again("an_output_that_no_kernel_wrote_is_told", &[]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(86), "{text}");
    assert!(text.contains("256 bytes") && text.contains("byte 0 was never written"), "{text}");
}

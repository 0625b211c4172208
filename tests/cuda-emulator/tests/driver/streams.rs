//! Streams do nothing before something waits for them, or go ahead by chance: a wait that a program forgets shows.

use std::sync::Arc;

use cudarc::driver::{
    CudaContext, CudaFunction, CudaSlice, CudaStream, DriverError, LaunchConfig, PushKernelArg, sys,
};
use cudarc::nvrtc::Ptx;

use super::{SAXPY, again};

const COUNT: usize = 1000;
const ALL: u32 = COUNT as u32;

/// One stream that copies to the device and one that computes, between which cudarc orders nothing.
struct Device {
    up: Arc<CudaStream>,
    compute: Arc<CudaStream>,
    saxpy: CudaFunction,
}

impl Device {
    fn open() -> Self {
        let context = CudaContext::new(0).unwrap();
        // SAFETY: the tests order their streams, or want to see what comes of it where they do not.
        unsafe { context.disable_event_tracking() };
        let [up, compute] = [(); 2].map(|()| context.new_stream().unwrap());
        let saxpy = context.load_module(Ptx::from_src(SAXPY)).unwrap().load_function("saxpy").unwrap();
        Device { up, compute, saxpy }
    }

    /// y = 2 x + y for `n` numbers.
    fn launch(&self, x: &CudaSlice<f32>, y: &mut CudaSlice<f32>, n: u32) -> Result<(), DriverError> {
        let mut call = self.compute.launch_builder(&self.saxpy);
        call.arg(x).arg(y).arg(&2f32).arg(&n);
        // SAFETY: the kernel checks `n`, and where that is too large the emulator tells.
        unsafe { call.launch(LaunchConfig::for_num_elems(n)) }.map(drop)
    }

    /// Makes one stream wait for the other, where that is wanted.
    fn order(first: &Arc<CudaStream>, second: &Arc<CudaStream>, is_wanted: bool) {
        if is_wanted {
            second.wait(&first.record_event(None).unwrap()).unwrap();
        }
    }

    /// 2 * 1 + 1 for each number, if the kernel waits for its input.
    fn after_the_copy(&self, waits: bool) -> Result<Vec<f32>, DriverError> {
        let mut y = self.compute.clone_htod(&[1f32; COUNT])?;
        let x = self.up.clone_htod(&[1f32; COUNT])?;
        Self::order(&self.up, &self.compute, waits);
        self.launch(&x, &mut y, ALL)?;
        self.compute.clone_dtoh(&y)
    }

    /// 2 * 1 + 1 for each number, if the copy that replaces the input waits for the kernel.
    fn before_the_copy(&self, waits: bool) -> Result<Vec<f32>, DriverError> {
        let mut y = self.compute.clone_htod(&[1f32; COUNT])?;
        let mut x = self.up.clone_htod(&[1f32; COUNT])?;
        Self::order(&self.up, &self.compute, true);
        self.launch(&x, &mut y, ALL)?;
        Self::order(&self.compute, &self.up, waits);
        self.up.memcpy_htod(&[5f32; COUNT], &mut x)?;
        self.compute.clone_dtoh(&y)
    }
}

#[test]
fn a_kernel_that_does_not_wait_for_its_input_is_early() {
    if std::env::var_os("INSIDE").is_some() {
        let device = Device::open();
        assert_eq!(device.after_the_copy(true).unwrap(), [3.0; COUNT]);
        assert!(device.after_the_copy(false).is_err());
        return;
    }
    let output = again("streams::a_kernel_that_does_not_wait_for_its_input_is_early", &[]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(86), "{text}");
    assert!(text.contains("read of memory that nothing wrote") && text.contains("kernel saxpy"), "{text}");
}

#[test]
fn a_copy_that_does_not_wait_for_a_kernel_overtakes_it_in_some_order() {
    const TEST: &str = "streams::a_copy_that_does_not_wait_for_a_kernel_overtakes_it_in_some_order";
    if std::env::var_os("INSIDE").is_some() {
        let device = Device::open();
        assert_eq!(device.before_the_copy(true).unwrap(), [3.0; COUNT]);
        println!("overtaken: {}", device.before_the_copy(false).unwrap() == [11.0; COUNT]);
        return;
    }
    let overtaken = |seed: u64| {
        let output = again(TEST, &[("CUDA_EMULATOR_ORDER", &seed.to_string())]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).contains("overtaken: true")
    };
    let times = (0..16).filter(|seed| overtaken(*seed)).count();
    assert!((1..16).contains(&times), "{times} of 16 orders");
}

#[test]
fn page_locked_memory_is_written_when_its_turn_comes() {
    if std::env::var_os("INSIDE").is_some() {
        let device = Device::open();
        let context = device.compute.context();
        let x = device.compute.clone_htod(&[1f32; COUNT]).unwrap();
        // SAFETY: any bytes are a number.
        let mut host = unsafe { context.alloc_pinned::<f32>(COUNT) }.unwrap();
        host.as_mut_slice().unwrap().fill(7.0);
        device.compute.memcpy_dtoh(&x, host.as_mut_slice().unwrap()).unwrap();
        let event = device.compute.record_event(None).unwrap();
        assert_eq!(host.as_slice().unwrap(), [7.0; COUNT]);
        // SAFETY: the event is there.
        let query = || unsafe { sys::cuEventQuery(event.cu_event()) };
        assert_eq!(query(), sys::CUresult::CUDA_ERROR_NOT_READY);
        let steps = (0..100).position(|_| query() == sys::CUresult::CUDA_SUCCESS);
        assert!(steps.is_some_and(|steps| steps < 10), "{steps:?}");
        assert_eq!(host.as_slice().unwrap(), [1.0; COUNT]);
        return;
    }
    let output = again("streams::page_locked_memory_is_written_when_its_turn_comes", &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn what_waits_tells_a_fault_and_what_is_behind_it_is_left_out() {
    const TEST: &str = "streams::what_waits_tells_a_fault_and_what_is_behind_it_is_left_out";
    if std::env::var_os("INSIDE").is_some() {
        let device = Device::open();
        let x = device.compute.clone_htod(&[1f32; COUNT]).unwrap();
        let mut y = device.compute.clone_htod(&[1f32; COUNT]).unwrap();
        let launched = device.launch(&x, &mut y, ALL + 1);
        let is_blocking = std::env::var_os("CUDA_LAUNCH_BLOCKING").is_some();
        assert_eq!(launched.is_err(), is_blocking);
        if !is_blocking {
            device.launch(&x, &mut y, ALL).unwrap();
            let error = device.compute.synchronize().unwrap_err();
            assert!(error.to_string().contains("ILLEGAL_ADDRESS"), "{error}");
        }
        // Threads of the first launch may have come to an end before the fault: only the second one would have made 5.
        let y = device.compute.clone_dtoh(&y).unwrap();
        assert!(y.iter().all(|y| [1.0, 3.0].contains(y)));
        return;
    }
    for variables in [&[][..], &[("CUDA_LAUNCH_BLOCKING", "1")]] {
        let output = again(TEST, variables);
        assert_eq!(output.status.code(), Some(86), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

//! Launches (CUDA Driver API, "Execution Control").

use super::queue::Item;
use super::{
    CUresult, Handle, ILLEGAL_ADDRESS, INVALID_HANDLE, INVALID_VALUE, LAUNCH_FAILED, LAUNCH_OUT_OF_RESOURCES,
    MISALIGNED_ADDRESS, NOT_SUPPORTED, SUCCESS, device, report, stream, trouble,
};
use crate::check::{self, Kind};
use crate::exec::launch::{Launch, next_serial};
use crate::memory::device::Device;
use crate::module::Function;
use std::ffi::{c_uint, c_void};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// `CUlaunchConfig`.
#[repr(C)]
pub struct Config {
    grid: [c_uint; 3],
    block: [c_uint; 3],
    shared_bytes: c_uint,
    stream: Handle,
    attributes: *mut c_void,
    attribute_count: c_uint,
}

/// A launch that was found valid, until its turn comes.
struct Waiting {
    function: Arc<Function>,
    grid: [u32; 3],
    block: [u32; 3],
    dynamic_shared: usize,
    params: Vec<u8>,
}

impl Waiting {
    fn run(self) -> CUresult {
        let Waiting { function, grid, block, dynamic_shared, params } = self;
        let program = &function.program;
        let memory = Device::lock().snapshot(function.device);
        let (serial, multiprocessors) = (next_serial(), device::MULTIPROCESSORS);
        let launch = Launch { program, grid, block, params, dynamic_shared, memory, serial, multiprocessors };
        let outcome = launch.run();
        report::add(&program.name, function.device, &outcome.counts);
        let Some(fault) = outcome.fault else { return SUCCESS };
        check::tell(&fault);
        match fault.kind {
            Kind::OutOfBounds | Kind::UseAfterFree => ILLEGAL_ADDRESS,
            Kind::Misaligned => MISALIGNED_ADDRESS,
            _ => LAUNCH_FAILED,
        }
    }
}

/// With `CUDA_LAUNCH_BLOCKING` every launch is waited for.
fn is_blocking() -> bool {
    std::env::var_os("CUDA_LAUNCH_BLOCKING").is_some_and(|value| value == "1")
}

/// # Safety
/// `function` belongs to a loaded module, `params` points to one pointer to each of its parameters, and `stream` is as
/// `stream::find` has it.
unsafe fn launch(
    function: Handle,
    grid: [u32; 3],
    block: [u32; 3],
    dynamic_shared: usize,
    stream: Handle,
    params: *mut *mut c_void,
) -> CUresult {
    let function = function.cast::<Function>().cast_const();
    if function.is_null() {
        return INVALID_HANDLE;
    }
    // SAFETY: the caller's promise; the module has its own.
    let function = unsafe {
        Arc::increment_strong_count(function);
        Arc::from_raw(function)
    };
    // SAFETY: the caller's promise.
    let stream = match unsafe { stream::find(stream) } {
        Ok(stream) if stream.device == function.device => stream,
        _ => return INVALID_HANDLE,
    };
    let program = &function.program;
    let threads = block.iter().map(|n| u64::from(*n)).product::<u64>();
    let most = [(0x7fff_ffff, 1024), (65535, 1024), (65535, 64)];
    let sized = (0..3).all(|i| (1..=most[i].0).contains(&grid[i]) && (1..=most[i].1).contains(&block[i]));
    if !sized || (params.is_null() && !program.params.is_empty()) {
        return INVALID_VALUE;
    }
    if threads > u64::from(program.max_threads) || dynamic_shared > function.max_dynamic_shared.load(Relaxed)
    {
        return LAUNCH_OUT_OF_RESOURCES;
    }
    if let Err(failed) = trouble::launch() {
        return failed;
    }
    let mut bytes = vec![0; program.param_bytes];
    for (number, (offset, size)) in program.params.iter().enumerate() {
        // SAFETY: the caller promises a pointer to as many bytes as the parameter has.
        let from = unsafe { std::slice::from_raw_parts((*params.add(number)).cast::<u8>(), *size) };
        bytes[*offset..offset + size].copy_from_slice(from);
    }
    let waiting = Waiting { function, grid, block, dynamic_shared, params: bytes };
    stream.put(Item::Work(Box::new(|| waiting.run())));
    if is_blocking() { stream.finish() } else { SUCCESS }
}

/// # Safety
/// As `launch`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuLaunchKernel(
    function: Handle,
    grid_x: c_uint,
    grid_y: c_uint,
    grid_z: c_uint,
    block_x: c_uint,
    block_y: c_uint,
    block_z: c_uint,
    shared_bytes: c_uint,
    stream: Handle,
    params: *mut *mut c_void,
    extra: *mut *mut c_void,
) -> CUresult {
    if !extra.is_null() {
        return NOT_SUPPORTED;
    }
    let (grid, block) = ([grid_x, grid_y, grid_z], [block_x, block_y, block_z]);
    // SAFETY: the caller's promise.
    unsafe { launch(function, grid, block, shared_bytes as usize, stream, params) }
}

/// # Safety
/// As `launch`, and `config` points to a configuration.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuLaunchKernelEx(
    config: *const Config,
    function: Handle,
    params: *mut *mut c_void,
    extra: *mut *mut c_void,
) -> CUresult {
    // SAFETY: the caller's promise.
    let Some(config) = (unsafe { config.as_ref() }) else { return INVALID_VALUE };
    if !extra.is_null() || config.attribute_count != 0 {
        return NOT_SUPPORTED;
    }
    // SAFETY: the caller's promise.
    unsafe {
        launch(function, config.grid, config.block, config.shared_bytes as usize, config.stream, params)
    }
}

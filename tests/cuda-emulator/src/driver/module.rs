//! Modules and functions (CUDA Driver API, "Module Management" and "Execution Control").

use super::{
    CUresult, FILE_NOT_FOUND, Handle, INVALID_HANDLE, INVALID_PTX, INVALID_VALUE, NO_BINARY_FOR_GPU,
    NOT_FOUND, SUCCESS, UNSUPPORTED_PTX_VERSION, context, device, put, queue, trouble,
};
use crate::error::LoadError;
use crate::module::{Function, Module};
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// How a cubin, an ELF file, begins: instructions of a GPU, which this driver does not execute.
const MACHINE_CODE: &[u8] = b"\x7fELF";

fn load_text(out: *mut Handle, source: &str) -> CUresult {
    if let Err(failed) = trouble::call() {
        return failed;
    }
    let device = match context::current() {
        Ok(device) => device,
        Err(failed) => return failed,
    };
    let (major, minor) = device::capability(device);
    match Module::load(source, device, major * 10 + minor) {
        Ok(module) if module.version > device::ptx_version() => UNSUPPORTED_PTX_VERSION,
        // SAFETY: the callers' promise.
        Ok(module) => unsafe { put(out, Box::into_raw(Box::new(module)).cast()) },
        Err(error) => {
            eprintln!("cuda-emulator: {error}");
            INVALID_PTX
        }
    }
}

/// # Safety
/// `out` is null or valid for a write, `image` is a string that ends in 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuModuleLoadData(out: *mut Handle, image: *const c_void) -> CUresult {
    if image.is_null() {
        return INVALID_VALUE;
    }
    // SAFETY: the caller's promise.
    let text = unsafe { CStr::from_ptr(image.cast()) };
    if text.to_bytes().starts_with(MACHINE_CODE) {
        return NO_BINARY_FOR_GPU;
    }
    match text.to_str() {
        Ok(source) => load_text(out, source),
        Err(error) => {
            eprintln!("cuda-emulator: {}", LoadError::Image(error.to_string()));
            INVALID_PTX
        }
    }
}

/// # Safety
/// As `cuModuleLoadData`; the options are not looked at.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuModuleLoadDataEx(
    out: *mut Handle,
    image: *const c_void,
    _count: c_uint,
    _options: *mut c_int,
    _values: *mut *mut c_void,
) -> CUresult {
    // SAFETY: the caller's promise.
    unsafe { cuModuleLoadData(out, image) }
}

/// # Safety
/// `out` is null or valid for a write, `path` is a string that ends in 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuModuleLoad(out: *mut Handle, path: *const c_char) -> CUresult {
    // SAFETY: the caller's promise.
    let path = unsafe { CStr::from_ptr(path) }.to_string_lossy();
    std::fs::read_to_string(&*path).map_or(FILE_NOT_FOUND, |source| load_text(out, &source))
}

/// # Safety
/// `module` came from a load and is not used again, nor are its functions.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuModuleUnload(module: Handle) -> CUresult {
    if module.is_null() {
        return INVALID_HANDLE;
    }
    // SAFETY: the caller's promise.
    let module = unsafe { Box::from_raw(module.cast::<Module>()) };
    // Launches that wait still use its variables.
    queue::of(module.device).finish_all();
    drop(module);
    SUCCESS
}

/// # Safety
/// `module` is loaded, `out` null or valid for a write, `name` a string that ends in 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuModuleGetFunction(
    out: *mut Handle,
    module: Handle,
    name: *const c_char,
) -> CUresult {
    // SAFETY: the caller's promise.
    let (module, name) = unsafe { (&*module.cast::<Module>(), CStr::from_ptr(name).to_string_lossy()) };
    let found = module.function(&name);
    // SAFETY: the caller's promise.
    found.map_or(NOT_FOUND, |function| unsafe { put(out, Arc::as_ptr(function).cast_mut().cast()) })
}

/// # Safety
/// As `cuModuleGetFunction`, for two outputs of which either may be null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuModuleGetGlobal_v2(
    out: *mut u64,
    bytes: *mut usize,
    module: Handle,
    name: *const c_char,
) -> CUresult {
    // SAFETY: the caller's promise.
    let (module, name) = unsafe { (&*module.cast::<Module>(), CStr::from_ptr(name).to_string_lossy()) };
    let Some((_, address, size)) = module.globals.iter().find(|(known, ..)| *known == name) else {
        return NOT_FOUND;
    };
    // SAFETY: the caller's promise.
    unsafe {
        put(out, *address);
        put(bytes, *size);
    }
    SUCCESS
}

/// # Safety
/// `function` belongs to a loaded module, `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuFuncGetAttribute(out: *mut c_int, attribute: c_int, function: Handle) -> CUresult {
    // SAFETY: the caller's promise.
    let function = unsafe { &*function.cast::<Function>() };
    let program = &function.program;
    let (major, minor) = device::capability(function.device);
    let value = match attribute {
        0 => program.max_threads as usize,
        1 => program.shared_bytes,
        2 => 0,
        3 => program.local_bytes,
        4 => program.registers as usize,
        5 | 6 => (major * 10 + minor) as usize,
        7 => 0,
        8 => function.max_dynamic_shared.load(Relaxed),
        9 => usize::MAX,
        _ => return INVALID_VALUE,
    };
    // SAFETY: the caller's promise.
    unsafe { put(out, value as c_int) }
}

/// # Safety
/// `function` belongs to a loaded module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuFuncSetAttribute(function: Handle, attribute: c_int, value: c_int) -> CUresult {
    // SAFETY: the caller's promise.
    let function = unsafe { &*function.cast::<Function>() };
    match attribute {
        8 if value as usize + function.program.shared_bytes <= device::shared_optin(function.device) => {
            function.max_dynamic_shared.store(value as usize, Relaxed);
            SUCCESS
        }
        9 => SUCCESS,
        _ => INVALID_VALUE,
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuFuncSetCacheConfig(_function: Handle, _config: c_uint) -> CUresult {
    SUCCESS
}

/// # Safety
/// `function` belongs to a loaded module, `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuOccupancyMaxActiveBlocksPerMultiprocessor(
    out: *mut c_int,
    function: Handle,
    block: c_int,
    dynamic_shared: usize,
) -> CUresult {
    // SAFETY: the caller's promise.
    let function = unsafe { &*function.cast::<Function>() };
    let program = &function.program;
    let threads = (block.max(1) as u32).next_multiple_of(32);
    let shared = (program.shared_bytes + dynamic_shared + 1024).next_multiple_of(128);
    let by_shared = (device::shared_optin(function.device) + 1024) / shared;
    let by_registers = device::REGISTERS / (program.registers.next_multiple_of(8) * threads);
    let by_threads = device::THREADS_PER_MULTIPROCESSOR / threads;
    // SAFETY: the caller's promise.
    unsafe { put(out, by_threads.min(by_registers).min(by_shared as u32).min(32) as c_int) }
}

/// # Safety
/// As `cuOccupancyMaxActiveBlocksPerMultiprocessor`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
    out: *mut c_int,
    function: Handle,
    block: c_int,
    dynamic_shared: usize,
    _flags: c_uint,
) -> CUresult {
    // SAFETY: the caller's promise.
    unsafe { cuOccupancyMaxActiveBlocksPerMultiprocessor(out, function, block, dynamic_shared) }
}

//! Streams (CUDA Driver API, "Stream Management"): all work is done when it is enqueued.

use super::{CUresult, Handle, INVALID_HANDLE, SUCCESS, put, trouble};
use std::ffi::{c_int, c_uint, c_void};

/// # Safety
/// `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamCreate(out: *mut Handle, _flags: c_uint) -> CUresult {
    // SAFETY: the caller's promise.
    unsafe { put(out, Box::into_raw(Box::new(0u8)).cast()) }
}

/// # Safety
/// `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamCreateWithPriority(
    out: *mut Handle,
    flags: c_uint,
    _priority: c_int,
) -> CUresult {
    // SAFETY: the caller's promise.
    unsafe { cuStreamCreate(out, flags) }
}

/// # Safety
/// `stream` came from `cuStreamCreate` and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamDestroy_v2(stream: Handle) -> CUresult {
    if stream.is_null() {
        return INVALID_HANDLE;
    }
    // SAFETY: the caller's promise.
    drop(unsafe { Box::from_raw(stream.cast::<u8>()) });
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamSynchronize(_stream: Handle) -> CUresult {
    trouble::call().err().unwrap_or(SUCCESS)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamQuery(_stream: Handle) -> CUresult {
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamWaitEvent(_stream: Handle, _event: Handle, _flags: c_uint) -> CUresult {
    SUCCESS
}

/// # Safety
/// `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamIsCapturing(_stream: Handle, out: *mut c_int) -> CUresult {
    // SAFETY: the caller's promise.
    unsafe { put(out, 0) }
}

/// # Safety
/// `function` may be called with `data`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuLaunchHostFunc(
    _stream: Handle,
    function: Option<unsafe extern "C" fn(*mut c_void)>,
    data: *mut c_void,
) -> CUresult {
    if let Some(function) = function {
        // SAFETY: the caller's promise.
        unsafe { function(data) };
    }
    SUCCESS
}

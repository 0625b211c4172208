//! Streams (CUDA Driver API, "Stream Management"): all work is done when it is enqueued.

use super::{CUresult, Handle, INVALID_HANDLE, SUCCESS, context, put, trouble};
use std::ffi::{c_int, c_uint, c_void};

/// What stands for the default streams of the current context: null, `CU_STREAM_LEGACY` and `CU_STREAM_PER_THREAD`.
const DEFAULTS: std::ops::RangeInclusive<usize> = 0..=2;

/// The device of a stream.
///
/// # Safety
/// `stream` is a default stream, or came from `cuStreamCreate` and was not destroyed.
pub unsafe fn device(stream: Handle) -> Result<usize, CUresult> {
    if DEFAULTS.contains(&stream.addr()) {
        return context::current();
    }
    // SAFETY: the caller's promise.
    Ok(unsafe { *stream.cast::<usize>() })
}

/// # Safety
/// `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamCreate(out: *mut Handle, _flags: c_uint) -> CUresult {
    let stream = context::current().map(|device| Box::into_raw(Box::new(device)).cast());
    // SAFETY: the caller's promise.
    stream.map_or_else(|failed| failed, |stream| unsafe { put(out, stream) })
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
    drop(unsafe { Box::from_raw(stream.cast::<usize>()) });
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

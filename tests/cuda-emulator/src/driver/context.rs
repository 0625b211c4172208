//! Contexts (CUDA Driver API, "Primary Context Management" and "Context Management"): one, which every thread may
//! make current.

use super::{CUresult, Handle, INVALID_CONTEXT, SUCCESS, put, trouble};
use std::cell::RefCell;
use std::ffi::{c_int, c_uint};
use std::ptr::null_mut;

/// Any address that is not null.
static CONTEXT: u8 = 0;

thread_local! {
    static CURRENT: RefCell<Vec<Handle>> = const { RefCell::new(Vec::new()) };
}

fn context() -> Handle {
    (&raw const CONTEXT).cast_mut().cast()
}

/// # Safety
/// `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDevicePrimaryCtxRetain(out: *mut Handle, _device: c_int) -> CUresult {
    // SAFETY: the caller's promise.
    unsafe { put(out, context()) }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDevicePrimaryCtxRelease_v2(_device: c_int) -> CUresult {
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxSetCurrent(context: Handle) -> CUresult {
    CURRENT.with_borrow_mut(|stack| {
        stack.pop();
        if !context.is_null() {
            stack.push(context);
        }
    });
    SUCCESS
}

/// # Safety
/// `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxGetCurrent(out: *mut Handle) -> CUresult {
    let current = CURRENT.with_borrow(|stack| stack.last().copied().unwrap_or(null_mut()));
    // SAFETY: the caller's promise.
    unsafe { put(out, current) }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxPushCurrent_v2(context: Handle) -> CUresult {
    CURRENT.with_borrow_mut(|stack| stack.push(context));
    SUCCESS
}

/// # Safety
/// `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxPopCurrent_v2(out: *mut Handle) -> CUresult {
    let Some(popped) = CURRENT.with_borrow_mut(Vec::pop) else { return INVALID_CONTEXT };
    // SAFETY: the caller's promise; null is allowed here.
    unsafe { put(out, popped) };
    SUCCESS
}

/// # Safety
/// `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxGetDevice(out: *mut c_int) -> CUresult {
    // SAFETY: the caller's promise.
    unsafe { put(out, 0) }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxSynchronize() -> CUresult {
    trouble::call().err().unwrap_or(SUCCESS)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxSetFlags(_flags: c_uint) -> CUresult {
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxSetLimit(_limit: c_uint, _value: usize) -> CUresult {
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxSetCacheConfig(_config: c_uint) -> CUresult {
    SUCCESS
}

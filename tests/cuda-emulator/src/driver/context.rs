//! Contexts (CUDA Driver API, "Primary Context Management" and "Context Management"): one for each device, which every
//! thread may make current.

use super::{CUresult, Handle, INVALID_CONTEXT, SUCCESS, device, put, queue, trouble};
use crate::memory::device::MOST_DEVICES;
use std::cell::RefCell;
use std::ffi::{c_int, c_uint};
use std::ptr::null_mut;

/// The address of an element is the handle of that device's context.
static CONTEXTS: [u8; MOST_DEVICES] = [0; MOST_DEVICES];

thread_local! {
    static CURRENT: RefCell<Vec<Handle>> = const { RefCell::new(Vec::new()) };
}

/// The device of a context.
fn device_of(context: Handle) -> Option<usize> {
    CONTEXTS.iter().position(|element| std::ptr::eq(element, context.cast()))
}

/// The device whose context is current in this thread.
pub fn current() -> Result<usize, CUresult> {
    CURRENT.with_borrow(|stack| stack.last().and_then(|&context| device_of(context))).ok_or(INVALID_CONTEXT)
}

/// # Safety
/// `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDevicePrimaryCtxRetain(out: *mut Handle, device: c_int) -> CUresult {
    let number = match device::number(device) {
        Ok(number) => number,
        Err(failed) => return failed,
    };
    // SAFETY: the caller's promise.
    unsafe { put(out, (&raw const CONTEXTS[number]).cast_mut().cast()) }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDevicePrimaryCtxRelease_v2(_device: c_int) -> CUresult {
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxSetCurrent(context: Handle) -> CUresult {
    if !context.is_null() && device_of(context).is_none() {
        return INVALID_CONTEXT;
    }
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
    if device_of(context).is_none() {
        return INVALID_CONTEXT;
    }
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
    current().map_or_else(|failed| failed, |device| unsafe { put(out, device as c_int) })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxSynchronize() -> CUresult {
    let device = match trouble::call().and_then(|()| current()) {
        Ok(device) => device,
        Err(failed) => return failed,
    };
    let mut queues = queue::of(device);
    queues.finish_all();
    queues.outcome()
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

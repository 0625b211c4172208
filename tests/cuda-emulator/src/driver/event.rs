//! Events (CUDA Driver API, "Event Management"): the instant at which they were recorded.

use super::{CUresult, Handle, INVALID_HANDLE, SUCCESS, put};
use std::ffi::c_uint;
use std::sync::Mutex;
use std::time::Instant;

type Event = Mutex<Option<Instant>>;

/// # Safety
/// The handle is null or came from `cuEventCreate` and was not destroyed.
unsafe fn event<'a>(handle: Handle) -> Option<&'a Event> {
    // SAFETY: the caller's promise.
    unsafe { handle.cast::<Event>().as_ref() }
}

/// # Safety
/// `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuEventCreate(out: *mut Handle, _flags: c_uint) -> CUresult {
    // SAFETY: the caller's promise.
    unsafe { put(out, Box::into_raw(Box::new(Event::default())).cast()) }
}

/// # Safety
/// `handle` came from `cuEventCreate` and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuEventDestroy_v2(handle: Handle) -> CUresult {
    if handle.is_null() {
        return INVALID_HANDLE;
    }
    // SAFETY: the caller's promise.
    drop(unsafe { Box::from_raw(handle.cast::<Event>()) });
    SUCCESS
}

/// # Safety
/// As for `event`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuEventRecord(handle: Handle, _stream: Handle) -> CUresult {
    // SAFETY: the caller's promise.
    let Some(event) = (unsafe { event(handle) }) else { return INVALID_HANDLE };
    *event.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(Instant::now());
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cuEventSynchronize(_event: Handle) -> CUresult {
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cuEventQuery(_event: Handle) -> CUresult {
    SUCCESS
}

/// # Safety
/// As for `event`, and `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuEventElapsedTime(out: *mut f32, from: Handle, to: Handle) -> CUresult {
    // SAFETY: the caller's promise.
    let (Some(from), Some(to)) = (unsafe { (event(from), event(to)) }) else { return INVALID_HANDLE };
    let at = |event: &Event| *event.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let (Some(from), Some(to)) = (at(from), at(to)) else { return INVALID_HANDLE };
    let milliseconds = to.saturating_duration_since(from).as_secs_f32() * 1e3;
    // SAFETY: the caller's promise.
    unsafe { put(out, milliseconds) }
}

/// # Safety
/// As `cuEventElapsedTime`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuEventElapsedTime_v2(out: *mut f32, from: Handle, to: Handle) -> CUresult {
    // SAFETY: the caller's promise.
    unsafe { cuEventElapsedTime(out, from, to) }
}

//! Events (CUDA Driver API, "Event Management"): the instant at which they were recorded, on a stream of their device.

use super::{CUresult, Handle, INVALID_HANDLE, SUCCESS, context, put, stream};
use std::ffi::c_uint;
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

struct Event {
    device: usize,
    at: Mutex<Option<Instant>>,
}

impl Event {
    fn at(&self) -> MutexGuard<'_, Option<Instant>> {
        self.at.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

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
    let device = match context::current() {
        Ok(device) => device,
        Err(failed) => return failed,
    };
    let event = Event { device, at: Mutex::default() };
    // SAFETY: the caller's promise.
    unsafe { put(out, Box::into_raw(Box::new(event)).cast()) }
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
/// As for `event` and `stream::device`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuEventRecord(handle: Handle, stream: Handle) -> CUresult {
    // SAFETY: the caller's promise.
    let (event, device) = unsafe { (event(handle), stream::device(stream)) };
    let Some(event) = event.filter(|event| device == Ok(event.device)) else { return INVALID_HANDLE };
    *event.at() = Some(Instant::now());
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
    let (Some(from), Some(to)) = (*from.at(), *to.at()) else { return INVALID_HANDLE };
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

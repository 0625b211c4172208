//! Events (CUDA Driver API, "Event Management"): a point of a stream of their device, and the time at which it was reached.

use super::queue::{self, Item, Point};
use super::stream::{self, Stream};
use super::{CUresult, Handle, INVALID_HANDLE, NOT_READY, SUCCESS, context, put};
use std::ffi::c_uint;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

struct Event {
    device: usize,
    recorded: Mutex<Option<Recorded>>,
}

/// What the last record left.
#[derive(Clone)]
struct Recorded {
    point: Point,
    at: Arc<Mutex<Option<Instant>>>,
}

impl Event {
    fn recorded(&self) -> MutexGuard<'_, Option<Recorded>> {
        self.recorded.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The point, where there is one that the device has not reached.
    fn ahead(&self) -> Option<Point> {
        let recorded = self.recorded().clone()?;
        (!queue::of(self.device).is_reached(recorded.point)).then_some(recorded.point)
    }

    /// When the point was reached.
    fn at(&self) -> Result<Instant, CUresult> {
        let recorded = self.recorded().clone().ok_or(INVALID_HANDLE)?;
        let at = recorded.at.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        at.ok_or(NOT_READY)
    }
}

/// # Safety
/// The handle is null or came from `cuEventCreate` and was not destroyed.
unsafe fn event<'a>(handle: Handle) -> Option<&'a Event> {
    // SAFETY: the caller's promise.
    unsafe { handle.cast::<Event>().as_ref() }
}

/// An event and a stream of its device.
///
/// # Safety
/// As for `event` and `stream::find`.
unsafe fn pair<'a>(handle: Handle, stream: Handle) -> Option<(&'a Event, Stream)> {
    // SAFETY: the caller's promise.
    let (event, stream) = unsafe { (event(handle)?, stream::find(stream).ok()?) };
    (event.device == stream.device).then_some((event, stream))
}

/// # Safety
/// `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuEventCreate(out: *mut Handle, _flags: c_uint) -> CUresult {
    let device = match context::current() {
        Ok(device) => device,
        Err(failed) => return failed,
    };
    let event = Event { device, recorded: Mutex::default() };
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
/// As for `event` and `stream::find`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuEventRecord(handle: Handle, stream: Handle) -> CUresult {
    // SAFETY: the caller's promise.
    let Some((event, stream)) = (unsafe { pair(handle, stream) }) else { return INVALID_HANDLE };
    let at = Arc::default();
    let point = stream.put(Item::Record(Arc::clone(&at)));
    *event.recorded() = Some(Recorded { point, at });
    SUCCESS
}

/// An event that was never recorded is waited for by nobody.
///
/// # Safety
/// As for `event` and `stream::find`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamWaitEvent(stream: Handle, handle: Handle, _flags: c_uint) -> CUresult {
    // SAFETY: the caller's promise.
    let Some((event, stream)) = (unsafe { pair(handle, stream) }) else { return INVALID_HANDLE };
    if let Some(point) = event.ahead() {
        stream.put(Item::Wait(point));
    }
    SUCCESS
}

/// # Safety
/// As for `event`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuEventSynchronize(handle: Handle) -> CUresult {
    // SAFETY: the caller's promise.
    let Some(event) = (unsafe { event(handle) }) else { return INVALID_HANDLE };
    let Some(point) = event.ahead() else { return SUCCESS };
    let mut queues = queue::of(event.device);
    queues.reach(point);
    queues.outcome()
}

/// Each call brings the stream a step closer.
///
/// # Safety
/// As for `event`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuEventQuery(handle: Handle) -> CUresult {
    // SAFETY: the caller's promise.
    let Some(event) = (unsafe { event(handle) }) else { return INVALID_HANDLE };
    let Some(point) = event.ahead() else { return SUCCESS };
    queue::of(event.device).step_towards(point)
}

/// # Safety
/// As for `event`, and `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuEventElapsedTime(out: *mut f32, from: Handle, to: Handle) -> CUresult {
    // SAFETY: the caller's promise.
    let (Some(from), Some(to)) = (unsafe { (event(from), event(to)) }) else { return INVALID_HANDLE };
    let milliseconds =
        from.at().and_then(|from| to.at().map(|to| to.saturating_duration_since(from).as_secs_f32() * 1e3));
    // SAFETY: the caller's promise.
    milliseconds.map_or_else(|failed| failed, |milliseconds| unsafe { put(out, milliseconds) })
}

/// # Safety
/// As `cuEventElapsedTime`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuEventElapsedTime_v2(out: *mut f32, from: Handle, to: Handle) -> CUresult {
    // SAFETY: the caller's promise.
    unsafe { cuEventElapsedTime(out, from, to) }
}

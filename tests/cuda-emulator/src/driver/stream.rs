//! Streams (CUDA Driver API, "Stream Management"). What they are given waits in `queue`.

use super::queue::{self, DEFAULT, Item, Point};
use super::{CUresult, Handle, INVALID_HANDLE, SUCCESS, context, put, trouble};
use std::ffi::{c_int, c_uint, c_void};

/// What stands for the default streams of the current context: null, `CU_STREAM_LEGACY` and `CU_STREAM_PER_THREAD`.
const DEFAULTS: std::ops::RangeInclusive<usize> = 0..=2;
/// `CU_STREAM_NON_BLOCKING`: the default stream does not wait for it.
const NON_BLOCKING: c_uint = 1;

/// Where a stream is: what a handle points to.
#[derive(Clone, Copy)]
pub struct Stream {
    pub device: usize,
    number: u64,
}

impl Stream {
    pub fn put(self, item: Item) -> Point {
        queue::of(self.device).put(self.number, item)
    }

    /// Waits for all that the stream has; the result is what it has come to.
    pub fn finish(self) -> CUresult {
        let mut queues = queue::of(self.device);
        queues.finish(self.number);
        queues.outcome()
    }
}

/// # Safety
/// `stream` is a default stream, or came from `cuStreamCreate` and was not destroyed.
pub unsafe fn find(stream: Handle) -> Result<Stream, CUresult> {
    if DEFAULTS.contains(&stream.addr()) {
        return Ok(Stream { device: context::current()?, number: DEFAULT });
    }
    // SAFETY: the caller's promise.
    Ok(unsafe { *stream.cast::<Stream>() })
}

/// # Safety
/// `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamCreate(out: *mut Handle, flags: c_uint) -> CUresult {
    let device = match context::current() {
        Ok(device) => device,
        Err(failed) => return failed,
    };
    let number = queue::of(device).open(flags & NON_BLOCKING == 0);
    // SAFETY: the caller's promise.
    unsafe { put(out, Box::into_raw(Box::new(Stream { device, number })).cast()) }
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
    let Stream { device, number } = *unsafe { Box::from_raw(stream.cast::<Stream>()) };
    queue::of(device).close(number);
    SUCCESS
}

/// # Safety
/// As for `find`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamSynchronize(stream: Handle) -> CUresult {
    if let Err(failed) = trouble::call() {
        return failed;
    }
    // SAFETY: the caller's promise.
    unsafe { find(stream) }.map_or_else(|failed| failed, Stream::finish)
}

/// Each call brings the stream a step closer to its end.
///
/// # Safety
/// As for `find`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamQuery(stream: Handle) -> CUresult {
    // SAFETY: the caller's promise.
    let Stream { device, number } = match unsafe { find(stream) } {
        Ok(stream) => stream,
        Err(failed) => return failed,
    };
    let mut queues = queue::of(device);
    let end = queues.end(number);
    queues.step_towards(end)
}

/// # Safety
/// `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamIsCapturing(_stream: Handle, out: *mut c_int) -> CUresult {
    // SAFETY: the caller's promise.
    unsafe { put(out, 0) }
}

/// # Safety
/// `function` may be called with `data` by any thread, and makes no call of the driver; `stream` is as for `find`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuLaunchHostFunc(
    stream: Handle,
    function: Option<unsafe extern "C" fn(*mut c_void)>,
    data: *mut c_void,
) -> CUresult {
    // SAFETY: the caller's promise.
    let (stream, function) = match (unsafe { find(stream) }, function) {
        (Ok(stream), Some(function)) => (stream, function),
        (Err(failed), _) => return failed,
        (_, None) => return INVALID_HANDLE,
    };
    let data = data as usize;
    stream.put(Item::Work(Box::new(move || {
        // SAFETY: the caller's promise.
        unsafe { function(data as *mut c_void) };
        SUCCESS
    })));
    SUCCESS
}

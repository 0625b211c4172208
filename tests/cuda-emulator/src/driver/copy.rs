//! Copies and fills (CUDA Driver API, "Memory Management"), in their stream's turn. Page-locked memory of the host is read and
//! written then; other memory is read at once, and written before the call returns, as by the driver's staging buffers. A copy to
//! the host of bytes that nothing wrote is told, and fails after the copy.

use super::queue::Item;
use super::stream::{self, Stream};
use super::{CUresult, Handle, ILLEGAL_ADDRESS, INVALID_VALUE, LAUNCH_FAILED, SUCCESS, memory, trouble};
use crate::check;
use crate::memory::device::{Allocation, Device};
use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::Arc;

/// Of device memory.
pub type Address = u64;

/// A range of device memory, where all of it is there.
fn find(at: Address, bytes: usize) -> Result<(Arc<Allocation>, usize), CUresult> {
    Device::lock().find(at, bytes).ok_or(INVALID_VALUE)
}

/// The same when the turn has come.
fn still_there(at: Address, bytes: usize) -> Result<(Arc<Allocation>, usize), CUresult> {
    find(at, bytes).map_err(|_| {
        check::tell_misuse(&format!("use after free: a copy or fill of {bytes} bytes at {at:#x}"));
        ILLEGAL_ADDRESS
    })
}

/// Bytes of the host that stay where they are until the copy is done.
struct Host(*mut u8);

// SAFETY: whoever makes one promises that nobody else touches the bytes.
unsafe impl Send for Host {}

impl Host {
    fn start(self) -> *mut u8 {
        self.0
    }
}

/// Puts a copy into a stream where it is one of something, and the ranges of device memory that it names are there.
fn put(
    stream: Result<Stream, CUresult>,
    ranges: &[Address],
    bytes: usize,
    copy: impl FnOnce() -> Result<(), CUresult> + Send + 'static,
) -> Result<Option<Stream>, CUresult> {
    trouble::call()?;
    let stream = stream?;
    if bytes == 0 {
        return Ok(None);
    }
    ranges.iter().try_for_each(|at| find(*at, bytes).map(drop))?;
    stream.put(Item::Work(Box::new(|| copy().err().unwrap_or(SUCCESS))));
    Ok(Some(stream))
}

/// What a call returns that does not wait.
fn enqueued(result: Result<Option<Stream>, CUresult>) -> CUresult {
    result.map_or_else(|failed| failed, |_| SUCCESS)
}

/// What a call returns that waits.
fn finished(result: Result<Option<Stream>, CUresult>) -> CUresult {
    result.map_or_else(|failed| failed, |stream| stream.map_or(SUCCESS, Stream::finish))
}

/// # Safety
/// `from` is valid for `bytes` bytes, until the copy is done where they are page-locked; `stream` is as for `stream::find`.
unsafe fn to_device(
    to: Address,
    from: *const c_void,
    bytes: usize,
    stream: Handle,
) -> Result<Option<Stream>, CUresult> {
    // SAFETY: the caller's promise.
    let stream = unsafe { stream::find(stream) };
    let write = move |from: *const u8| {
        let (target, offset) = still_there(to, bytes)?;
        // SAFETY: the target was found, the caller promises the source.
        unsafe { std::ptr::copy_nonoverlapping(from, target.data().add(offset), bytes) };
        target.mark_written(offset, bytes);
        Ok(())
    };
    if memory::is_page_locked(from, bytes) {
        let from = Host(from.cast_mut().cast());
        return put(stream, &[to], bytes, move || write(from.start()));
    }
    // SAFETY: the caller's promise; there may be no bytes at all.
    let staged = if bytes == 0 {
        Vec::new()
    } else {
        unsafe { std::slice::from_raw_parts(from.cast(), bytes) }.to_vec()
    };
    put(stream, &[to], bytes, move || write(staged.as_ptr()))
}

/// # Safety
/// `to` is valid for `bytes` bytes, until the copy is done where they are page-locked; `stream` is as for `stream::find`.
unsafe fn to_host(
    to: *mut c_void,
    from: Address,
    bytes: usize,
    stream: Handle,
) -> Result<Option<Stream>, CUresult> {
    // SAFETY: the caller's promise.
    let stream = unsafe { stream::find(stream) };
    let to = Host(to.cast());
    put(stream, &[from], bytes, move || {
        let (source, offset) = still_there(from, bytes)?;
        // SAFETY: the source was found, the caller promises the target.
        unsafe { std::ptr::copy_nonoverlapping(source.data().add(offset), to.start(), bytes) };
        let Some(at) = source.first_unwritten(offset, bytes) else { return Ok(()) };
        check::tell_misuse(&format!(
            "read of memory that nothing wrote: the host copies {bytes} bytes from {from:#x}, of which byte {} was never written",
            at - offset
        ));
        Err(LAUNCH_FAILED)
    })
}

/// What was not written stays unwritten in the copy.
///
/// # Safety
/// As for `stream::find`.
unsafe fn on_device(
    to: Address,
    from: Address,
    bytes: usize,
    stream: Handle,
) -> Result<Option<Stream>, CUresult> {
    // SAFETY: the caller's promise.
    let stream = unsafe { stream::find(stream) };
    put(stream, &[to, from], bytes, move || {
        let ((target, to), (source, from)) = (still_there(to, bytes)?, still_there(from, bytes)?);
        // SAFETY: both ranges were found; they may overlap.
        unsafe {
            std::ptr::copy(source.data().add(from), target.data().add(to), bytes);
            std::ptr::copy(source.written().add(from), target.written().add(to), bytes);
        }
        Ok(())
    })
}

/// # Safety
/// As for `stream::find`.
unsafe fn fill<const N: usize>(
    at: Address,
    value: [u8; N],
    count: usize,
    stream: Handle,
) -> Result<Option<Stream>, CUresult> {
    // SAFETY: the caller's promise.
    let stream = unsafe { stream::find(stream) };
    let bytes = N * count;
    put(stream, &[at], bytes, move || {
        let (target, offset) = still_there(at, bytes)?;
        for number in 0..count {
            // SAFETY: the range was found.
            unsafe { target.data().add(offset + number * N).cast::<[u8; N]>().write_unaligned(value) };
        }
        target.mark_written(offset, bytes);
        Ok(())
    })
}

/// # Safety
/// `from` is valid for `bytes` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemcpyHtoD_v2(to: Address, from: *const c_void, bytes: usize) -> CUresult {
    // SAFETY: the caller's promise, and null is the default stream.
    finished(unsafe { to_device(to, from, bytes, null_mut()) })
}

/// # Safety
/// As for `to_device`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemcpyHtoDAsync_v2(
    to: Address,
    from: *const c_void,
    bytes: usize,
    stream: Handle,
) -> CUresult {
    // SAFETY: the caller's promise.
    enqueued(unsafe { to_device(to, from, bytes, stream) })
}

/// # Safety
/// `to` is valid for `bytes` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemcpyDtoH_v2(to: *mut c_void, from: Address, bytes: usize) -> CUresult {
    // SAFETY: the caller's promise, and null is the default stream.
    finished(unsafe { to_host(to, from, bytes, null_mut()) })
}

/// # Safety
/// As for `to_host`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemcpyDtoHAsync_v2(
    to: *mut c_void,
    from: Address,
    bytes: usize,
    stream: Handle,
) -> CUresult {
    // SAFETY: the caller's promise.
    let result = unsafe { to_host(to, from, bytes, stream) };
    if memory::is_page_locked(to, bytes) { enqueued(result) } else { finished(result) }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemcpyDtoD_v2(to: Address, from: Address, bytes: usize) -> CUresult {
    // SAFETY: null is the default stream.
    finished(unsafe { on_device(to, from, bytes, null_mut()) })
}

/// # Safety
/// As for `stream::find`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemcpyDtoDAsync_v2(
    to: Address,
    from: Address,
    bytes: usize,
    stream: Handle,
) -> CUresult {
    // SAFETY: the caller's promise.
    enqueued(unsafe { on_device(to, from, bytes, stream) })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemsetD8_v2(at: Address, value: u8, count: usize) -> CUresult {
    // SAFETY: null is the default stream.
    finished(unsafe { fill(at, [value], count, null_mut()) })
}

/// # Safety
/// As for `stream::find`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemsetD8Async(at: Address, value: u8, count: usize, stream: Handle) -> CUresult {
    // SAFETY: the caller's promise.
    enqueued(unsafe { fill(at, [value], count, stream) })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemsetD32_v2(at: Address, value: u32, count: usize) -> CUresult {
    // SAFETY: null is the default stream.
    finished(unsafe { fill(at, value.to_le_bytes(), count, null_mut()) })
}

/// # Safety
/// As for `stream::find`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemsetD32Async(at: Address, value: u32, count: usize, stream: Handle) -> CUresult {
    // SAFETY: the caller's promise.
    enqueued(unsafe { fill(at, value.to_le_bytes(), count, stream) })
}

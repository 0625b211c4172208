//! Memory (CUDA Driver API, "Memory Management" and "Stream Ordered Memory Allocator"). A copy to
//! the host of bytes that nothing wrote is told, and fails after the copy.

use super::{
    CUresult, Handle, INVALID_VALUE, LAUNCH_FAILED, OUT_OF_MEMORY, SUCCESS, context, device, put, trouble,
};
use crate::check;
use crate::memory::device::Device;
use std::alloc::{Layout, alloc, dealloc};
use std::collections::HashMap;
use std::ffi::{c_uint, c_void};
use std::sync::Mutex;

type Address = u64;

/// # Safety
/// `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemAlloc_v2(out: *mut Address, bytes: usize) -> CUresult {
    if let Err(failed) = trouble::call() {
        return failed;
    }
    let device = match context::current() {
        Ok(device) => device,
        Err(failed) => return failed,
    };
    let mut memory = Device::lock();
    if bytes == 0 {
        return INVALID_VALUE;
    }
    if memory.used(device).saturating_add(bytes) > device::memory(device) {
        return OUT_OF_MEMORY;
    }
    // SAFETY: the caller's promise.
    memory.allocate(device, bytes).map_or(OUT_OF_MEMORY, |address| unsafe { put(out, address) })
}

/// # Safety
/// `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemAllocAsync(out: *mut Address, bytes: usize, _stream: Handle) -> CUresult {
    // SAFETY: the caller's promise.
    unsafe { cuMemAlloc_v2(out, bytes) }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemFree_v2(address: Address) -> CUresult {
    if let Err(failed) = trouble::call() {
        return failed;
    }
    if address == 0 || Device::lock().release(address) { SUCCESS } else { INVALID_VALUE }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemFreeAsync(address: Address, _stream: Handle) -> CUresult {
    cuMemFree_v2(address)
}

/// # Safety
/// Both pointers are null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemGetInfo_v2(free: *mut usize, total: *mut usize) -> CUresult {
    if let Err(failed) = trouble::call() {
        return failed;
    }
    let device = match context::current() {
        Ok(device) => device,
        Err(failed) => return failed,
    };
    let all = device::memory(device);
    // SAFETY: the caller's promise.
    unsafe {
        put(free, all.saturating_sub(Device::lock().used(device)));
        put(total, all)
    }
}

/// Sizes of the host allocations that were handed out.
static HOST: Mutex<Option<HashMap<usize, Layout>>> = Mutex::new(None);

/// # Safety
/// `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemAllocHost_v2(out: *mut *mut c_void, bytes: usize) -> CUresult {
    let Ok(layout) = Layout::from_size_align(bytes.max(1), 4096) else { return INVALID_VALUE };
    // SAFETY: the size is not zero.
    let start = unsafe { alloc(layout) };
    if start.is_null() {
        return OUT_OF_MEMORY;
    }
    let mut host = HOST.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    host.get_or_insert_default().insert(start as usize, layout);
    // SAFETY: the caller's promise.
    unsafe { put(out, start.cast()) }
}

/// # Safety
/// `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemHostAlloc(out: *mut *mut c_void, bytes: usize, _flags: c_uint) -> CUresult {
    // SAFETY: the caller's promise.
    unsafe { cuMemAllocHost_v2(out, bytes) }
}

/// # Safety
/// Nobody uses the memory any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemFreeHost(start: *mut c_void) -> CUresult {
    let mut host = HOST.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let Some(layout) = host.get_or_insert_default().remove(&(start as usize)) else { return INVALID_VALUE };
    // SAFETY: allocated with this layout, and the caller's promise.
    unsafe { dealloc(start.cast(), layout) };
    SUCCESS
}

/// # Safety
/// `from` is valid for `bytes` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemcpyHtoD_v2(to: Address, from: *const c_void, bytes: usize) -> CUresult {
    if let Err(failed) = trouble::call() {
        return failed;
    }
    if bytes == 0 {
        return SUCCESS;
    }
    let Some((target, offset)) = Device::lock().find(to, bytes) else { return INVALID_VALUE };
    // SAFETY: `find` checked the target, the caller promises the source.
    unsafe { std::ptr::copy_nonoverlapping(from.cast(), target.data().add(offset), bytes) };
    target.mark_written(offset, bytes);
    SUCCESS
}

/// # Safety
/// As `cuMemcpyHtoD_v2`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemcpyHtoDAsync_v2(
    to: Address,
    from: *const c_void,
    bytes: usize,
    _stream: Handle,
) -> CUresult {
    // SAFETY: the caller's promise.
    unsafe { cuMemcpyHtoD_v2(to, from, bytes) }
}

/// # Safety
/// `to` is valid for `bytes` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemcpyDtoH_v2(to: *mut c_void, from: Address, bytes: usize) -> CUresult {
    if let Err(failed) = trouble::call() {
        return failed;
    }
    if bytes == 0 {
        return SUCCESS;
    }
    let Some((source, offset)) = Device::lock().find(from, bytes) else { return INVALID_VALUE };
    // SAFETY: `find` checked the source, the caller promises the target.
    unsafe { std::ptr::copy_nonoverlapping(source.data().add(offset), to.cast(), bytes) };
    match source.first_unwritten(offset, bytes) {
        None => SUCCESS,
        Some(at) => {
            check::tell_unwritten_copy(from, bytes, at - offset);
            LAUNCH_FAILED
        }
    }
}

/// # Safety
/// As `cuMemcpyDtoH_v2`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemcpyDtoHAsync_v2(
    to: *mut c_void,
    from: Address,
    bytes: usize,
    _stream: Handle,
) -> CUresult {
    // SAFETY: the caller's promise.
    unsafe { cuMemcpyDtoH_v2(to, from, bytes) }
}

/// What was not written stays unwritten in the copy.
#[unsafe(no_mangle)]
pub extern "C" fn cuMemcpyDtoD_v2(to: Address, from: Address, bytes: usize) -> CUresult {
    if let Err(failed) = trouble::call() {
        return failed;
    }
    if bytes == 0 {
        return SUCCESS;
    }
    let memory = Device::lock();
    let (Some((target, to)), Some((source, from))) = (memory.find(to, bytes), memory.find(from, bytes))
    else {
        return INVALID_VALUE;
    };
    // SAFETY: `find` checked both ranges; they may overlap.
    unsafe {
        std::ptr::copy(source.data().add(from), target.data().add(to), bytes);
        std::ptr::copy(source.written().add(from), target.written().add(to), bytes);
    }
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemcpyDtoDAsync_v2(
    to: Address,
    from: Address,
    bytes: usize,
    _stream: Handle,
) -> CUresult {
    cuMemcpyDtoD_v2(to, from, bytes)
}

fn fill(at: Address, value: &[u8], count: usize) -> CUresult {
    if let Err(failed) = trouble::call() {
        return failed;
    }
    let bytes = value.len() * count;
    if bytes == 0 {
        return SUCCESS;
    }
    let Some((target, offset)) = Device::lock().find(at, bytes) else { return INVALID_VALUE };
    for number in 0..count {
        // SAFETY: `find` checked the range.
        unsafe {
            let to = target.data().add(offset + number * value.len());
            std::ptr::copy_nonoverlapping(value.as_ptr(), to, value.len());
        }
    }
    target.mark_written(offset, bytes);
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemsetD8_v2(at: Address, value: u8, count: usize) -> CUresult {
    fill(at, &[value], count)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemsetD8Async(at: Address, value: u8, count: usize, _stream: Handle) -> CUresult {
    fill(at, &[value], count)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemsetD32_v2(at: Address, value: u32, count: usize) -> CUresult {
    fill(at, &value.to_le_bytes(), count)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemsetD32Async(at: Address, value: u32, count: usize, _stream: Handle) -> CUresult {
    fill(at, &value.to_le_bytes(), count)
}

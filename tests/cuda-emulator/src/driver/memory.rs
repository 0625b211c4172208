//! Memory (CUDA Driver API, "Memory Management" and "Stream Ordered Memory Allocator"). Taken at once; released in a stream's
//! turn where one is named, else when all of the device's streams have finished.

use super::queue::{self, Item};
use super::{
    CUresult, Handle, INVALID_VALUE, OUT_OF_MEMORY, SUCCESS, context, copy::Address, device, put, stream,
    trouble,
};
use crate::memory::device::Device;
use std::alloc::{Layout, alloc, dealloc};
use std::collections::BTreeMap;
use std::ffi::{c_uint, c_void};
use std::sync::Mutex;

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
    finish_all_devices();
    if address == 0 || Device::lock().release(address) { SUCCESS } else { INVALID_VALUE }
}

/// # Safety
/// As for `stream::find`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemFreeAsync(address: Address, stream: Handle) -> CUresult {
    if let Err(failed) = trouble::call() {
        return failed;
    }
    // SAFETY: the caller's promise.
    match unsafe { stream::find(stream) } {
        Ok(_) if Device::lock().find(address, 1).is_none() => INVALID_VALUE,
        Ok(stream) => {
            stream.put(Item::Release(address));
            SUCCESS
        }
        Err(failed) => failed,
    }
}

/// What the driver does before memory is gone that a stream may still use.
fn finish_all_devices() {
    (0..device::count()).for_each(|device| queue::of(device).finish_all());
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
static HOST: Mutex<Option<BTreeMap<usize, Layout>>> = Mutex::new(None);

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

/// Whether all of a range of the host was page-locked by the driver.
pub fn is_page_locked(start: *const c_void, bytes: usize) -> bool {
    let mut host = HOST.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let before = host.get_or_insert_default().range(..=start as usize).next_back();
    before.is_some_and(|(first, layout)| start as usize + bytes <= first + layout.size())
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
    finish_all_devices();
    let mut host = HOST.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let Some(layout) = host.get_or_insert_default().remove(&(start as usize)) else { return INVALID_VALUE };
    // SAFETY: allocated with this layout, and the caller's promise.
    unsafe { dealloc(start.cast(), layout) };
    SUCCESS
}

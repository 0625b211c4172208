//! The devices that this driver presents, one unless `CUDA_EMULATOR_DEVICES` says more (CUDA Driver API, "Device
//! Management"): the figures of an A100, with the compute capability of `CUDA_EMULATOR_CC`.

use super::{CUresult, INVALID_DEVICE, INVALID_VALUE, SUCCESS, put};
use crate::memory::device::MOST_DEVICES;
use std::ffi::{c_char, c_int, c_uint};

pub const MULTIPROCESSORS: u32 = 108;
pub const SHARED_PER_BLOCK: usize = 48 << 10;
pub const THREADS_PER_MULTIPROCESSOR: u32 = 2048;
pub const REGISTERS: u32 = 65536;
const NAME: &[u8] = b"CUDA emulator (PTX on the CPU)\0";

/// A device's entry in a list of the environment; the last one is for all further devices.
fn entry(variable: &str, device: usize) -> Option<String> {
    let list = std::env::var(variable).ok()?;
    list.split(',').take(device + 1).last().map(str::to_owned)
}

/// Major and minor; 8.0 unless the environment says otherwise.
pub fn capability(device: usize) -> (u32, u32) {
    let text = entry("CUDA_EMULATOR_CC", device).unwrap_or_default();
    let parsed =
        text.split_once('.').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    parsed.unwrap_or((8, 0))
}

/// Bytes of a device's memory.
pub fn memory(device: usize) -> usize {
    entry("CUDA_EMULATOR_MEMORY", device).and_then(|bytes| bytes.parse().ok()).unwrap_or(16 << 30)
}

/// A number of the environment.
fn setting<T: std::str::FromStr>(variable: &str) -> Option<T> {
    std::env::var(variable).ok()?.parse().ok()
}

/// How many devices there are.
pub fn count() -> usize {
    setting("CUDA_EMULATOR_DEVICES").unwrap_or(1).min(MOST_DEVICES)
}

/// A device that there is.
pub fn number(device: c_int) -> Result<usize, CUresult> {
    usize::try_from(device).ok().filter(|&device| device < count()).ok_or(INVALID_DEVICE)
}

/// As `cuDriverGetVersion`: 13050 is the driver of CUDA 13.5.
fn version() -> c_int {
    setting("CUDA_EMULATOR_DRIVER_VERSION").unwrap_or(13050)
}

/// The latest version of PTX that a driver takes, 70 for 7.0: four majors behind CUDA's (PTX ISA, chapter 13, "Release
/// Notes"; a few minor versions of CUDA came with an earlier PTX).
pub fn ptx_version() -> u32 {
    (version() / 1000 * 10 + version() % 1000 / 10 - 40).max(0) as u32
}

/// Most shared memory that a block may ask for.
pub fn shared_optin(device: usize) -> usize {
    match capability(device) {
        (7, 5) => 64 << 10,
        (8, 6 | 9) => 99 << 10,
        (9.., _) => 227 << 10,
        _ => 163 << 10,
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuInit(_flags: c_uint) -> CUresult {
    SUCCESS
}

/// # Safety
/// `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDriverGetVersion(out: *mut c_int) -> CUresult {
    // SAFETY: the caller's promise.
    unsafe { put(out, version()) }
}

/// # Safety
/// `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetCount(out: *mut c_int) -> CUresult {
    // SAFETY: the caller's promise.
    unsafe { put(out, count() as c_int) }
}

/// # Safety
/// `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGet(out: *mut c_int, ordinal: c_int) -> CUresult {
    if let Err(failed) = number(ordinal) {
        return failed;
    }
    // SAFETY: the caller's promise.
    unsafe { put(out, ordinal) }
}

/// # Safety
/// `out` is null or valid for `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetName(out: *mut c_char, length: c_int, _device: c_int) -> CUresult {
    if out.is_null() || (length as usize) < NAME.len() {
        return INVALID_VALUE;
    }
    // SAFETY: the caller's promise, and the name fits.
    unsafe { std::ptr::copy_nonoverlapping(NAME.as_ptr(), out.cast(), NAME.len()) };
    SUCCESS
}

/// # Safety
/// `out` is null or valid for 16 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetUuid(out: *mut [u8; 16], device: c_int) -> CUresult {
    let mut uuid = *b"cuda-emulator-00";
    uuid[15] += device as u8;
    // SAFETY: the caller's promise.
    unsafe { put(out, uuid) }
}

/// # Safety
/// As `cuDeviceGetUuid`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetUuid_v2(out: *mut [u8; 16], device: c_int) -> CUresult {
    // SAFETY: the caller's promise.
    unsafe { cuDeviceGetUuid(out, device) }
}

/// # Safety
/// `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceTotalMem_v2(out: *mut usize, device: c_int) -> CUresult {
    // SAFETY: the caller's promise.
    number(device).map_or_else(|failed| failed, |device| unsafe { put(out, memory(device)) })
}

/// # Safety
/// Both pointers are null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceComputeCapability(
    major: *mut c_int,
    minor: *mut c_int,
    device: c_int,
) -> CUresult {
    let (a, b) = match number(device) {
        Ok(device) => capability(device),
        Err(failed) => return failed,
    };
    // SAFETY: the caller's promise.
    unsafe {
        put(major, a as c_int);
        put(minor, b as c_int)
    }
}

/// # Safety
/// `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetAttribute(out: *mut c_int, attribute: c_int, device: c_int) -> CUresult {
    let value = number(device).map(|device| attribute_value(device, attribute) as c_int);
    // SAFETY: the caller's promise.
    value.map_or_else(|failed| failed, |value| unsafe { put(out, value) })
}

/// Numbers of `CUdevice_attribute`; features that are absent are 0.
fn attribute_value(device: usize, attribute: c_int) -> usize {
    match attribute {
        1..=3 => 1024,
        4 => 64,
        5 => 0x7fff_ffff,
        6 | 7 => 65535,
        8 => SHARED_PER_BLOCK,
        9 => 64 << 10,
        10 => 32,
        11 => 0x7fff_ffff,
        12 | 82 => REGISTERS as usize,
        13 => 1_410_000,
        14 => 512,
        15 | 31 | 41 | 79 | 80 => 1,
        16 => MULTIPROCESSORS as usize,
        36 => 1_215_000,
        37 => 5120,
        38 => 40 << 20,
        39 => THREADS_PER_MULTIPROCESSOR as usize,
        40 => 1,
        75 => capability(device).0 as usize,
        76 => capability(device).1 as usize,
        81 => shared_optin(device) + 1024,
        87 => 2,
        97 => shared_optin(device),
        106 => 32,
        111 => 1024,
        // Stream-ordered allocation.
        115 => 1,
        _ => 0,
    }
}

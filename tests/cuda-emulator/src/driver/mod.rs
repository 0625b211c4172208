//! The driver's exported symbols (CUDA Driver API reference), a file for each theme.
//!
//! Work is carried out when something waits for it (`queue`). A fault makes that call return an error, and what was enqueued
//! behind it is left out; the context stays usable. What is not implemented is in `unsupported`.

mod context;
mod copy;
mod device;
mod event;
mod launch;
mod memory;
mod module;
mod queue;
mod report;
mod stream;
mod trouble;
mod unsupported;

/// Results of the driver (`CUresult`).
pub type CUresult = i32;
pub const SUCCESS: CUresult = 0;
pub const INVALID_VALUE: CUresult = 1;
pub const OUT_OF_MEMORY: CUresult = 2;
pub const INVALID_DEVICE: CUresult = 101;
pub const INVALID_CONTEXT: CUresult = 201;
pub const NO_BINARY_FOR_GPU: CUresult = 209;
pub const INVALID_PTX: CUresult = 218;
pub const FILE_NOT_FOUND: CUresult = 301;
pub const INVALID_HANDLE: CUresult = 400;
pub const NOT_FOUND: CUresult = 500;
pub const UNSUPPORTED_PTX_VERSION: CUresult = 222;
pub const NOT_READY: CUresult = 600;
pub const ILLEGAL_ADDRESS: CUresult = 700;
pub const LAUNCH_OUT_OF_RESOURCES: CUresult = 701;
pub const MISALIGNED_ADDRESS: CUresult = 716;
pub const LAUNCH_FAILED: CUresult = 719;
pub const NOT_SUPPORTED: CUresult = 801;
pub const UNKNOWN: CUresult = 999;

/// Opaque handles: contexts, streams, events, modules and functions.
pub type Handle = *mut std::ffi::c_void;

/// Names and descriptions of the results above.
const RESULTS: [(CUresult, &std::ffi::CStr, &std::ffi::CStr); 18] = [
    (SUCCESS, c"CUDA_SUCCESS", c"no error"),
    (INVALID_VALUE, c"CUDA_ERROR_INVALID_VALUE", c"invalid argument"),
    (OUT_OF_MEMORY, c"CUDA_ERROR_OUT_OF_MEMORY", c"out of memory"),
    (INVALID_DEVICE, c"CUDA_ERROR_INVALID_DEVICE", c"invalid device ordinal"),
    (INVALID_CONTEXT, c"CUDA_ERROR_INVALID_CONTEXT", c"invalid device context"),
    (NO_BINARY_FOR_GPU, c"CUDA_ERROR_NO_BINARY_FOR_GPU", c"machine code, and the emulator takes PTX"),
    (INVALID_PTX, c"CUDA_ERROR_INVALID_PTX", c"a PTX compilation failed (reason on stderr)"),
    (
        UNSUPPORTED_PTX_VERSION,
        c"CUDA_ERROR_UNSUPPORTED_PTX_VERSION",
        c"the provided PTX was compiled with an unsupported toolchain",
    ),
    (FILE_NOT_FOUND, c"CUDA_ERROR_FILE_NOT_FOUND", c"file not found"),
    (INVALID_HANDLE, c"CUDA_ERROR_INVALID_HANDLE", c"invalid resource handle"),
    (NOT_FOUND, c"CUDA_ERROR_NOT_FOUND", c"named symbol not found"),
    (NOT_READY, c"CUDA_ERROR_NOT_READY", c"device not ready"),
    (ILLEGAL_ADDRESS, c"CUDA_ERROR_ILLEGAL_ADDRESS", c"an illegal memory access (report on stderr)"),
    (
        LAUNCH_OUT_OF_RESOURCES,
        c"CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES",
        c"too many resources requested for launch",
    ),
    (MISALIGNED_ADDRESS, c"CUDA_ERROR_MISALIGNED_ADDRESS", c"a misaligned address (report on stderr)"),
    (
        LAUNCH_FAILED,
        c"CUDA_ERROR_LAUNCH_FAILED",
        c"a launch failed (reason on stderr, or CUDA_EMULATOR_FAIL_LAUNCH)",
    ),
    (NOT_SUPPORTED, c"CUDA_ERROR_NOT_SUPPORTED", c"operation not supported by the emulator"),
    (UNKNOWN, c"CUDA_ERROR_UNKNOWN", c"unknown error"),
];

/// # Safety
/// `out` is null or valid for a write.
unsafe fn put<T>(out: *mut T, value: T) -> CUresult {
    if out.is_null() {
        return INVALID_VALUE;
    }
    // SAFETY: the caller's promise.
    unsafe { out.write(value) };
    SUCCESS
}

/// # Safety
/// `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuGetErrorName(error: CUresult, out: *mut *const std::ffi::c_char) -> CUresult {
    let found = RESULTS.iter().find(|(code, ..)| *code == error);
    // SAFETY: the caller's promise.
    found.map_or(INVALID_VALUE, |(_, name, _)| unsafe { put(out, name.as_ptr()) })
}

/// # Safety
/// `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuGetErrorString(error: CUresult, out: *mut *const std::ffi::c_char) -> CUresult {
    let found = RESULTS.iter().find(|(code, ..)| *code == error);
    // SAFETY: the caller's promise.
    found.map_or(INVALID_VALUE, |(.., text)| unsafe { put(out, text.as_ptr()) })
}

//! Device memory with its shadow: what exists, what was written, and by whom.
//!
//! Generic addresses (PTX ISA, section 5.1): global memory keeps its own addresses, the shared and local windows
//! lie far above all of it.

pub mod device;
pub mod global;
pub mod shared;

/// Start of the shared window in the generic address space.
pub const SHARED_WINDOW: u64 = 0x7000_0000_0000_0000;
/// Start of the local window in the generic address space.
pub const LOCAL_WINDOW: u64 = 0x7100_0000_0000_0000;
/// Size of either window.
pub const WINDOW: u64 = 1 << 32;

//! Pockets, as [`crate::ops::pockets`].
use std::sync::Arc;

use cudarc::driver::DeviceRepr;

use super::in_rows;
use crate::device::cuda::volume::DeviceVolume;
use crate::device::cuda::{Extent, Gpu, extent};
use crate::error::Result;

#[repr(C)]
struct Pockets {
    classes: u64,
    parents: u64,
    balances: u64,
    shape: Extent,
}

// SAFETY: integers in the layout of the kernels' parameter.
unsafe impl DeviceRepr for Pockets {}

/// Turns pockets into foreground.
///
/// # Errors
/// Where the GPU has too little memory or refuses.
pub fn fill(gpu: &Arc<Gpu>, classes: &mut DeviceVolume<u8>) -> Result<()> {
    let parents = DeviceVolume::<u32>::new(gpu, classes.shape)?;
    let balances = DeviceVolume::<i32>::new(gpu, classes.shape)?;
    let arguments = Pockets {
        classes: classes.address(),
        parents: parents.address(),
        balances: balances.address(),
        shape: extent(classes.shape),
    };
    for kernel in ["pockets_begin", "pockets_join", "pockets_weigh", "pockets_fill"] {
        // SAFETY: all volumes have the extent that is stated.
        unsafe { gpu.launch_named(["pockets", kernel], in_rows(classes.shape), &arguments)? };
    }
    Ok(())
}

//! Erosion by the 3x3x3 cube, as [`crate::ops::erosion`].
use std::sync::Arc;

use cudarc::driver::DeviceRepr;

use super::columns;
use crate::device::cuda::volume::DeviceVolume;
use crate::device::cuda::{Extent, Gpu, extent};
use crate::error::Result;

#[repr(C)]
struct Erosion {
    classes: u64,
    kept: u64,
    shape: Extent,
    wanted: i32,
}

// SAFETY: integers in the layout of the kernel's parameter.
unsafe impl DeviceRepr for Erosion {}

/// 1 where a voxel of `class` survives, 0 elsewhere.
///
/// # Errors
/// Where the GPU has too little memory or refuses.
pub fn erode(gpu: &Arc<Gpu>, classes: &DeviceVolume<u8>, class: u8) -> Result<DeviceVolume<u8>> {
    let kept = DeviceVolume::new(gpu, classes.shape)?;
    let arguments = Erosion {
        classes: classes.address(),
        kept: kept.address(),
        shape: extent(classes.shape),
        wanted: class.into(),
    };
    // SAFETY: both volumes have the extent that is stated.
    unsafe { gpu.launch_named(["erosion", "erosion"], columns(classes.shape), &arguments)? };
    Ok(kept)
}

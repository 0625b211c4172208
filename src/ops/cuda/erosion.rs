//! Erosion by the 3x3x3 cube, as [`crate::ops::erosion`].
use std::sync::Arc;

use cudarc::driver::DeviceRepr;

use crate::device::cuda::kernels::Launch;
use crate::device::cuda::volume::DeviceVolume;
use crate::device::cuda::{Extent, Gpu, extent};
use crate::error::Result;
use crate::volume::Shape;

/// Voxels of the column that a block goes up, and its threads, as in the kernel.
const TILE: Shape = [32, 14, 128];
const THREADS: u32 = 256;

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
    let [z, y, x] = [0, 1, 2].map(|axis| classes.shape[axis].div_ceil(TILE[axis]) as u32);
    let columns = Launch { grid: [x, y, z], threads: THREADS };
    // SAFETY: both volumes have the extent that is stated.
    unsafe { gpu.launch_named(["erosion", "erosion"], columns, &arguments)? };
    Ok(kept)
}

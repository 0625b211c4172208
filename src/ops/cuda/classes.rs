//! The most probable class of every voxel, as [`crate::ops::softmax::class`].
use std::sync::Arc;

use cudarc::driver::DeviceRepr;

use super::line;
use crate::device::cuda::Gpu;
use crate::device::cuda::convolution::Grid;
use crate::device::cuda::volume::DeviceVolume;
use crate::error::Result;

#[repr(C)]
struct Classes {
    logits: u64,
    classes: u64,
    voxels: i64,
}

// SAFETY: integers in the layout of the kernel's parameter.
unsafe impl DeviceRepr for Classes {}

/// The classes of `logits`, f32 with three channels.
///
/// # Errors
/// Where the GPU has too little memory or refuses.
pub fn classes(gpu: &Arc<Gpu>, logits: &Grid) -> Result<DeviceVolume<u8>> {
    let classes = DeviceVolume::new(gpu, logits.shape)?;
    let arguments =
        Classes { logits: logits.address(), classes: classes.address(), voxels: classes.voxels() as i64 };
    // SAFETY: both volumes have the voxels that are stated.
    unsafe { gpu.launch_named(["classes", "classes"], line(classes.voxels()), &arguments)? };
    Ok(classes)
}

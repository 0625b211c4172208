//! Relabelling by a table, as [`crate::ops::relabel`].
use std::sync::Arc;

use cudarc::driver::DeviceRepr;

use super::line;
use crate::device::cuda::Gpu;
use crate::device::cuda::volume::DeviceVolume;
use crate::error::Result;

#[repr(C)]
struct Relabel {
    labels: u64,
    table: u64,
    voxels: i64,
}

// SAFETY: integers in the layout of the kernel's parameter.
unsafe impl DeviceRepr for Relabel {}

/// Replaces every label by its entry in the table; all labels must have one.
///
/// # Errors
/// Where the GPU has too little memory or refuses.
pub fn relabel(gpu: &Arc<Gpu>, labels: &mut DeviceVolume<u32>, table: &[u32]) -> Result<()> {
    let table = gpu.upload(table)?;
    let arguments =
        Relabel { labels: labels.address(), table: table.address(), voxels: labels.voxels() as i64 };
    // SAFETY: the volume has the voxels that are stated; the caller's labels have entries in the table.
    unsafe { gpu.launch_named(["relabel", "relabel"], line(labels.voxels()), &arguments) }
}

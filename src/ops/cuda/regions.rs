//! Size and first voxel of every labelled region, as [`crate::ops::regions`].
use std::sync::Arc;

use cudarc::driver::DeviceRepr;

use super::line;
use crate::device::cuda::Gpu;
use crate::device::cuda::volume::DeviceVolume;
use crate::error::Result;
use crate::ops::regions::Region;

#[repr(C)]
struct Regions {
    labels: u64,
    sizes: u64,
    firsts: u64,
    voxels: i64,
}

// SAFETY: integers in the layout of the kernel's parameter.
unsafe impl DeviceRepr for Regions {}

/// The regions of labels 1 to `count`; region n at n - 1.
///
/// # Errors
/// Where the GPU has too little memory or refuses.
pub fn regions(gpu: &Arc<Gpu>, labels: &DeviceVolume<u32>, count: u32) -> Result<Vec<Region>> {
    let count = count as usize;
    let [on_gpu_sizes, on_gpu_firsts] =
        [gpu.zeros(count * size_of::<u32>())?, gpu.zeros(count * size_of::<u32>())?];
    let arguments = Regions {
        labels: labels.address(),
        sizes: on_gpu_sizes.address(),
        firsts: on_gpu_firsts.address(),
        voxels: labels.voxels() as i64,
    };
    // SAFETY: the volume has the voxels that are stated, and the caller's labels are up to `count`.
    unsafe { gpu.launch_named(["regions", "regions"], line(labels.voxels()), &arguments)? };
    let [mut sizes, mut firsts] = [vec![0u32; count], vec![0u32; count]];
    gpu.download(&on_gpu_sizes, &mut sizes)?;
    gpu.download(&on_gpu_firsts, &mut firsts)?;
    let region = |(size, first): (u32, u32)| match size {
        0 => Region::NONE,
        _ => Region { voxels: size.into(), first: (u32::MAX - first) as usize },
    };
    Ok(sizes.into_iter().zip(firsts).map(region).collect())
}

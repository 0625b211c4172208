//! Basins by steepest ascent, as [`crate::ops::basins`]: pointers to the greatest neighbour, doubled until they lead to a peak.
use std::sync::Arc;

use cudarc::driver::DeviceRepr;

use super::{columns, each_chunk, line};
use crate::device::cuda::memory::Buffer;
use crate::device::cuda::volume::DeviceVolume;
use crate::device::cuda::{Extent, Gpu, extent};
use crate::error::Result;
use crate::ops::basins::Peak;

/// Voxels whose peaks one block of threads counts (`Chunk` of kernels/basins.cu).
const CHUNK: usize = 1024;

#[repr(C)]
struct Pointing {
    squared: u64,
    next: u64,
    shape: Extent,
}

#[repr(C)]
struct Jump {
    from: u64,
    to: u64,
    is_short: u64,
    voxels: i64,
}

#[repr(C)]
struct Numbering {
    squared: u64,
    next: u64,
    of_chunk: u64,
    labels: u64,
    peaks: u64,
    voxels: i64,
}

// SAFETY: integers in the layout of the kernels' parameters.
unsafe impl DeviceRepr for Pointing {}
// SAFETY: as above.
unsafe impl DeviceRepr for Jump {}
// SAFETY: as above.
unsafe impl DeviceRepr for Numbering {}

/// The labels, 0 outside, otherwise the number of the peak counted from 1; and the peaks in raster order. Squared distances
/// are below [`SQUARED_LIMIT`](crate::ops::distance::SQUARED_LIMIT).
///
/// # Errors
/// Where the GPU has too little memory or refuses.
pub fn ascend(gpu: &Arc<Gpu>, squared: &DeviceVolume<u32>) -> Result<(DeviceVolume<u32>, Vec<Peak>)> {
    let next = resolve(gpu, point(gpu, squared)?)?;
    number(gpu, squared, &next)
}

/// Where each voxel points to.
fn point(gpu: &Arc<Gpu>, squared: &DeviceVolume<u32>) -> Result<DeviceVolume<u32>> {
    let next = DeviceVolume::new(gpu, squared.shape)?;
    let arguments =
        Pointing { squared: squared.address(), next: next.address(), shape: extent(squared.shape) };
    // SAFETY: both volumes have the extent that is stated.
    unsafe { gpu.launch_named(["basins", "basins_point"], columns(squared.shape), &arguments)? };
    Ok(next)
}

/// Where each voxel leads to in the end.
fn resolve(gpu: &Arc<Gpu>, mut next: DeviceVolume<u32>) -> Result<DeviceVolume<u32>> {
    let mut farther = DeviceVolume::new(gpu, next.shape)?;
    loop {
        let is_short = gpu.zeros(size_of::<u32>())?;
        let arguments = Jump {
            from: next.address(),
            to: farther.address(),
            is_short: is_short.address(),
            voxels: next.voxels() as i64,
        };
        // SAFETY: both volumes have the voxels that are stated, and all pointers lead to one of them.
        unsafe { gpu.launch_named(["basins", "basins_jump"], line(next.voxels()), &arguments)? };
        let mut are_some_short = [0u32];
        gpu.download(&is_short, &mut are_some_short)?;
        if are_some_short == [0] {
            return Ok(farther);
        }
        std::mem::swap(&mut next, &mut farther);
    }
}

/// Numbers the peaks, chunk by chunk of the volume, and labels what leads to them.
fn number(
    gpu: &Arc<Gpu>,
    squared: &DeviceVolume<u32>,
    next: &DeviceVolume<u32>,
) -> Result<(DeviceVolume<u32>, Vec<Peak>)> {
    let labels = DeviceVolume::new(gpu, squared.shape)?;
    let chunks = squared.voxels().div_ceil(CHUNK);
    let run = |kernel, blocks, of_chunk: &Buffer, peaks: u64| {
        let arguments = Numbering {
            squared: squared.address(),
            next: next.address(),
            of_chunk: of_chunk.address(),
            labels: labels.address(),
            peaks,
            voxels: squared.voxels() as i64,
        };
        // SAFETY: the volumes have the voxels that are stated; there is a place for each chunk and each peak.
        unsafe { gpu.launch_named(["basins", kernel], blocks, &arguments) }
    };
    let counted = gpu.buffer(chunks * size_of::<u32>())?;
    run("basins_count", each_chunk(chunks), &counted, 0)?;
    let mut of_chunk = vec![0u32; chunks];
    gpu.download(&counted, &mut of_chunk)?;
    let count = counts_to_firsts(&mut of_chunk);
    let first = gpu.upload(&of_chunk)?;
    let on_gpu_peaks = gpu.buffer(count * size_of::<u64>())?;
    run("basins_number", each_chunk(chunks), &first, on_gpu_peaks.address())?;
    run("basins_label", line(squared.voxels()), &first, on_gpu_peaks.address())?;
    let mut peaks = vec![0u64; count];
    gpu.download(&on_gpu_peaks, &mut peaks)?;
    let peak = |packed: u64| Peak { voxel: packed as u32 as usize, squared: (packed >> 32) as u32 };
    Ok((labels, peaks.into_iter().map(peak).collect()))
}

/// Turns counts into the sums of those before them; returns the sum of all.
fn counts_to_firsts(counts: &mut [u32]) -> usize {
    let mut sum = 0;
    for count in counts {
        sum += std::mem::replace(count, sum);
    }
    sum as usize
}

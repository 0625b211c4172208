//! Exact squared distances, as [`crate::ops::distance`].
use std::sync::Arc;

use cudarc::driver::DeviceRepr;

use super::{along_columns, line, rows};
use crate::device::cuda::Gpu;
use crate::device::cuda::volume::DeviceVolume;
use crate::error::Result;
use crate::ops::distance::Metric;

#[repr(C)]
struct AlongRows {
    classes: u64,
    squared: u64,
    rows: i64,
    width: i32,
    wanted: i32,
    step: u32,
}

#[repr(C)]
struct AlongColumns {
    input: u64,
    output: u64,
    voxels: i64,
    stride: i64,
    length: i32,
    step: u32,
}

// SAFETY: integers in the layout of the kernels' parameters.
unsafe impl DeviceRepr for AlongRows {}
// SAFETY: as above.
unsafe impl DeviceRepr for AlongColumns {}

/// The squared distance of every voxel of `class` to the nearest voxel of another.
///
/// # Errors
/// Where the GPU has too little memory or refuses.
pub fn squared(
    gpu: &Arc<Gpu>,
    classes: &DeviceVolume<u8>,
    class: u8,
    metric: &Metric,
) -> Result<DeviceVolume<u32>> {
    let shape = classes.shape;
    let mut squared = DeviceVolume::new(gpu, shape)?;
    let mut next = DeviceVolume::new(gpu, shape)?;
    let arguments = AlongRows {
        classes: classes.address(),
        squared: squared.address(),
        rows: (shape[0] * shape[1]) as i64,
        width: shape[2] as i32,
        wanted: class.into(),
        step: metric.step[2],
    };
    // SAFETY: both volumes have the rows that are stated.
    unsafe { gpu.launch_named(["distance", "distance_along_rows"], rows(shape), &arguments)? };
    for ((stride, length), step) in along_columns(shape).into_iter().zip([metric.step[1], metric.step[0]]) {
        let arguments = AlongColumns {
            input: squared.address(),
            output: next.address(),
            voxels: classes.voxels() as i64,
            stride: stride as i64,
            length: length as i32,
            step,
        };
        // SAFETY: both volumes have the voxels that are stated.
        unsafe {
            gpu.launch_named(["distance", "distance_along_columns"], line(classes.voxels()), &arguments)?
        };
        std::mem::swap(&mut squared, &mut next);
    }
    Ok(squared)
}

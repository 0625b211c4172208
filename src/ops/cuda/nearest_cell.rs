//! The label of the nearest cell, as [`crate::ops::nearest_cell`].
use std::sync::Arc;

use cudarc::driver::DeviceRepr;

use super::{along_columns, line, rows};
use crate::device::cuda::Gpu;
use crate::device::cuda::volume::DeviceVolume;
use crate::error::Result;
use crate::ops::distance::Metric;

#[repr(C)]
struct AlongRows {
    labels: u64,
    best: u64,
    rows: i64,
    width: i32,
    step: u32,
}

#[repr(C)]
struct AlongColumns {
    input: u64,
    output: u64,
    labels: u64,
    classes: u64,
    voxels: i64,
    stride: i64,
    length: i32,
    step: u32,
}

// SAFETY: integers in the layout of the kernels' parameters.
unsafe impl DeviceRepr for AlongRows {}
// SAFETY: as above.
unsafe impl DeviceRepr for AlongColumns {}

/// Labels all free voxels whose class is not 0.
///
/// # Errors
/// Where the GPU has too little memory or refuses.
///
/// # Panics
/// Where the volumes differ in extent.
pub fn fill(
    gpu: &Arc<Gpu>,
    labels: &mut DeviceVolume<u32>,
    classes: &DeviceVolume<u8>,
    metric: &Metric,
) -> Result<()> {
    let shape = labels.shape;
    assert_eq!(shape, classes.shape, "labels and classes of one extent");
    let [row_best, column_best] = [DeviceVolume::<u64>::new(gpu, shape)?, DeviceVolume::new(gpu, shape)?];
    let arguments = AlongRows {
        labels: labels.address(),
        best: row_best.address(),
        rows: (shape[0] * shape[1]) as i64,
        width: shape[2] as i32,
        step: metric.step[2],
    };
    // SAFETY: both volumes have the rows that are stated.
    unsafe { gpu.launch_named(["nearest_cell", "nearest_cell_along_rows"], rows(shape), &arguments)? };
    let [y, z] = along_columns(shape);
    // The last pass writes labels, not distances.
    for ((stride, length), step, input, output) in [
        (y, metric.step[1], row_best.address(), column_best.address()),
        (z, metric.step[0], column_best.address(), 0),
    ] {
        let arguments = AlongColumns {
            input,
            output,
            labels: labels.address(),
            classes: classes.address(),
            voxels: labels.voxels() as i64,
            stride: stride as i64,
            length: length as i32,
            step,
        };
        let blocks = line(labels.voxels());
        // SAFETY: all volumes have the voxels that are stated.
        unsafe { gpu.launch_named(["nearest_cell", "nearest_cell_along_columns"], blocks, &arguments)? };
    }
    Ok(())
}

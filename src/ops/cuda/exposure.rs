//! How far labelled regions lie open towards the background, as [`crate::ops::exposure`].
use std::sync::Arc;

use cudarc::driver::DeviceRepr;

use super::in_rows;
use crate::device::cuda::volume::DeviceVolume;
use crate::device::cuda::{Extent, Gpu, extent};
use crate::error::Result;

#[repr(C)]
struct Exposure {
    labels: u64,
    classes: u64,
    exposures: u64,
    shape: Extent,
}

// SAFETY: integers in the layout of the kernel's parameter.
unsafe impl DeviceRepr for Exposure {}

/// The exposure of labels 1 to `count`; that of label n at n - 1.
///
/// # Errors
/// Where the GPU has too little memory or refuses.
pub fn exposures(
    gpu: &Arc<Gpu>,
    labels: &DeviceVolume<u32>,
    classes: &DeviceVolume<u8>,
    count: u32,
) -> Result<Vec<i64>> {
    assert_eq!(labels.shape, classes.shape, "labels and classes differ in shape");
    let on_gpu = gpu.zeros(count as usize * size_of::<i64>())?;
    let arguments = Exposure {
        labels: labels.address(),
        classes: classes.address(),
        exposures: on_gpu.address(),
        shape: extent(labels.shape),
    };
    // SAFETY: both volumes have the extent that is stated, and the caller's labels are up to `count`.
    unsafe { gpu.launch_named(["exposure", "exposure"], in_rows(labels.shape), &arguments)? };
    let mut exposures = vec![0; count as usize];
    gpu.download(&on_gpu, &mut exposures)?;
    Ok(exposures)
}

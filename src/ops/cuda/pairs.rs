//! A table from pairs of labels to a number, which all threads of a kernel fill at once.
use std::sync::Arc;

use cudarc::driver::DeviceRepr;

use crate::device::cuda::Gpu;
use crate::error::{Error, Result};

/// `Pairs` of kernels/common/pairs.cuh.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Table {
    keys: u64,
    values: u64,
    overflow: u64,
    /// Places less one.
    mask: u32,
}

// SAFETY: integers in the layout of the kernels' parameter.
unsafe impl DeviceRepr for Table {}

/// Pairs of labels, each with its number.
pub type Numbered = Vec<((u32, u32), u32)>;

/// Places for each label at first: cells have some 15 neighbours, and half of the places stay free.
const PLACES_PER_LABEL: usize = 32;
const LEAST_PLACES: usize = 1 << 10;
const MOST_PLACES: usize = 1 << 31;

/// The pairs and numbers that `fill` launches a kernel to find, in no order; `labels` says how many there are.
///
/// # Errors
/// Where the GPU has too little memory or refuses.
pub fn collect(gpu: &Arc<Gpu>, labels: usize, fill: impl Fn(Table) -> Result<()>) -> Result<Numbered> {
    let mut places = (labels * PLACES_PER_LABEL).next_power_of_two().max(LEAST_PLACES);
    while places <= MOST_PLACES {
        if let Some(found) = try_collect(gpu, places, &fill)? {
            return Ok(found);
        }
        places *= 2;
    }
    Err(Error::invalid(format!("more than {MOST_PLACES} pairs of touching labels")))
}

/// `None` where the table was too small.
fn try_collect(
    gpu: &Arc<Gpu>,
    places: usize,
    fill: impl Fn(Table) -> Result<()>,
) -> Result<Option<Numbered>> {
    let on_gpu_keys = gpu.zeros(places * size_of::<u64>())?;
    let on_gpu_values = gpu.zeros(places * size_of::<u32>())?;
    let on_gpu_overflow = gpu.zeros(size_of::<u32>())?;
    fill(Table {
        keys: on_gpu_keys.address(),
        values: on_gpu_values.address(),
        overflow: on_gpu_overflow.address(),
        mask: (places - 1) as u32,
    })?;
    let mut overflow = [0u32];
    gpu.download(&on_gpu_overflow, &mut overflow)?;
    if overflow != [0] {
        return Ok(None);
    }
    let (mut keys, mut values) = (vec![0u64; places], vec![0u32; places]);
    gpu.download(&on_gpu_keys, &mut keys)?;
    gpu.download(&on_gpu_values, &mut values)?;
    let pairs = keys.into_iter().zip(values).filter(|(key, _)| *key != 0);
    Ok(Some(pairs.map(|(key, value)| (((key >> 32) as u32, key as u32), value)).collect()))
}

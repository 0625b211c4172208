//! A table from pairs of labels to a number, which all threads of a kernel fill at once.
use std::sync::Arc;

use cudarc::driver::DeviceRepr;
use rayon::prelude::*;

use crate::device::cuda::Gpu;
use crate::device::cuda::transfer::Fetched;
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

const LEAST_PLACES: usize = 1 << 10;
const MOST_PLACES: usize = 1 << 31;

/// The pairs and numbers that `fill` launches a kernel to find, in no order: some `pairs`, of which there may be more.
/// Of the places half stay free, so that searches end soon.
///
/// # Errors
/// Where the GPU has too little memory or refuses.
pub fn collect(gpu: &Arc<Gpu>, pairs: usize, fill: impl Fn(Table) -> Result<()>) -> Result<Numbered> {
    let mut places = (2 * pairs).next_power_of_two().clamp(LEAST_PLACES, MOST_PLACES);
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
    let keys = keys_of(Gpu::fetch(on_gpu_keys, places * size_of::<u64>(), size_of::<u64>())?)?;
    let values = Gpu::fetch(on_gpu_values, places * size_of::<u32>(), size_of::<u32>())?;
    with_values(&keys, values).map(Some)
}

/// Places that a thread looks at together.
const SHARE: usize = 1 << 14;

/// The keys that are there, with their places.
fn keys_of(fetched: Fetched) -> Result<Vec<(usize, u64)>> {
    let (mut keys, mut first) = (Vec::new(), 0);
    fetched.for_each(&mut |part: &[u64]| {
        let places = part.par_iter().enumerate().with_min_len(SHARE);
        keys.par_extend(places.filter(|(_, key)| **key != 0).map(|(i, &key)| (first + i, key)));
        first += part.len();
    })?;
    Ok(keys)
}

/// Pairs from their keys, which are in the order of their places, and from the values of all places.
fn with_values(mut keys: &[(usize, u64)], fetched: Fetched) -> Result<Numbered> {
    let (mut pairs, mut first) = (Vec::with_capacity(keys.len()), 0);
    fetched.for_each(&mut |part: &[u32]| {
        let (here, behind) = keys.split_at(keys.partition_point(|(place, _)| *place < first + part.len()));
        let pair = |&(place, key): &(usize, u64)| (((key >> 32) as u32, key as u32), part[place - first]);
        pairs.par_extend(here.par_iter().with_min_len(SHARE).map(pair));
        (keys, first) = (behind, first + part.len());
    })?;
    Ok(pairs)
}

//! Saddles between the basins of a distance map, as [`crate::ops::saddles`].
use std::sync::Arc;

use cudarc::driver::DeviceRepr;
use rayon::prelude::*;

use super::in_runs;
use super::pairs::{self, Table};
use crate::device::cuda::volume::DeviceVolume;
use crate::device::cuda::{Extent, Gpu, extent};
use crate::error::Result;
use crate::ops::saddles::Saddle;

#[repr(C)]
struct Saddles {
    labels: u64,
    squared: u64,
    pairs: Table,
    shape: Extent,
}

// SAFETY: integers in the layout of the kernel's parameter.
unsafe impl DeviceRepr for Saddles {}

/// Pairs for each label: a basin has some 15 neighbours at most, and each pair is there once.
const PAIRS_PER_LABEL: usize = 8;

/// The saddles of all touching pairs of labels 1 to `count`, sorted by labels.
///
/// # Errors
/// Where the GPU has too little memory or refuses.
///
/// # Panics
/// Where the volumes differ in extent.
pub fn saddles(
    gpu: &Arc<Gpu>,
    labels: &DeviceVolume<u32>,
    squared: &DeviceVolume<u32>,
    count: usize,
) -> Result<Vec<Saddle>> {
    assert_eq!(labels.shape, squared.shape, "labels and distances of one extent");
    let found = pairs::collect(gpu, count * PAIRS_PER_LABEL, |pairs| {
        let shape = extent(labels.shape);
        let arguments = Saddles { labels: labels.address(), squared: squared.address(), pairs, shape };
        // SAFETY: both volumes have the extent that is stated.
        unsafe { gpu.launch_named(["saddles", "saddles"], in_runs(labels.shape), &arguments) }
    })?;
    let mut saddles: Vec<_> =
        found.into_par_iter().map(|((a, b), squared)| Saddle { a, b, squared }).collect();
    saddles.par_sort_unstable();
    Ok(saddles)
}

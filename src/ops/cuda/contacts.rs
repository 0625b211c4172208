//! Contacts between labelled regions, and their surfaces, as [`crate::ops::contacts`].
use std::sync::Arc;

use cudarc::driver::DeviceRepr;

use super::in_runs;
use super::pairs::{self, Table};
use crate::device::cuda::volume::DeviceVolume;
use crate::device::cuda::{Extent, Gpu, extent};
use crate::error::Result;
use crate::ops::contacts::{self, Contacts};

#[repr(C)]
struct Arguments {
    labels: u64,
    core: u64,
    pairs: Table,
    shape: Extent,
}

// SAFETY: integers in the layout of the kernel's parameter.
unsafe impl DeviceRepr for Arguments {}

/// Pairs for each label: cells have some 15 neighbours, and each pair is there in both directions.
const PAIRS_PER_LABEL: usize = 16;

/// Counts the contacts of labels 1 to `count` in the voxels where `core` is not 0, or everywhere without it.
///
/// # Errors
/// Where the GPU has too little memory or refuses.
///
/// # Panics
/// Where the volumes differ in extent.
pub fn contacts(
    gpu: &Arc<Gpu>,
    labels: &DeviceVolume<u32>,
    core: Option<&DeviceVolume<u8>>,
    count: u32,
) -> Result<Contacts> {
    assert!(core.is_none_or(|core| core.shape == labels.shape), "labels and core of one extent");
    let core = core.map_or(0, DeviceVolume::address);
    let found = pairs::collect(gpu, count as usize * PAIRS_PER_LABEL, |pairs| {
        let arguments = Arguments { labels: labels.address(), core, pairs, shape: extent(labels.shape) };
        // SAFETY: both volumes have the extent that is stated.
        unsafe { gpu.launch_named(["contacts", "contacts"], in_runs(labels.shape), &arguments) }
    })?;
    Ok(contacts::summarise(found.into_iter().map(|(pair, area)| (pair, area.into())), count))
}

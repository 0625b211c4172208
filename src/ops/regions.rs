//! Size and first voxel of every labelled region.
//!
//! labels `[z, y, x]` u32 -> one entry for each label from 1. Sums and minima of integers: no order matters.
use ndarray::ArrayView3;
use rayon::prelude::*;

use super::blocks::{Rows, linear};

/// What one label covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// Number of voxels.
    pub voxels: u64,
    /// Linear index of the first voxel, x fastest; `usize::MAX` for a label that does not occur.
    pub first: usize,
}

/// Operations and bytes moved for `voxels` voxels: a comparison; one 32-bit value in.
pub fn cost(voxels: usize) -> (usize, usize) {
    (voxels, 4 * voxels)
}

impl Region {
    /// A region without voxels.
    pub(crate) const NONE: Self = Self { voxels: 0, first: usize::MAX };

    /// Both together.
    pub(crate) fn with(self, other: Self) -> Self {
        Self { voxels: self.voxels + other.voxels, first: self.first.min(other.first) }
    }
}

/// The regions of labels 1 to `count`; region n at n - 1.
pub fn regions(labels: ArrayView3<u32>, count: u32) -> Vec<Region> {
    let labels = labels.as_standard_layout();
    let rows = Rows::new(labels.view());
    let [depth, height, _] = rows.shape();
    // a slab for each thread, as each needs a table of all labels
    let slab = depth.div_ceil(rayon::current_num_threads()).max(1);
    let of_slab = |start: usize| {
        let mut regions = vec![Region::NONE; count as usize];
        for z in start..(start + slab).min(depth) {
            (0..height).for_each(|y| add_row(rows.at(z, y), linear([z, y, 0], rows.shape()), &mut regions));
        }
        regions
    };
    (0..depth)
        .into_par_iter()
        .step_by(slab)
        .map(of_slab)
        .reduce_with(|a, b| a.into_iter().zip(b).map(|(a, b)| a.with(b)).collect())
        .unwrap_or_else(|| vec![Region::NONE; count as usize])
}

/// Adds a row whose first voxel has linear index `first`, a run of equal labels at a time.
fn add_row(row: &[u32], mut first: usize, regions: &mut [Region]) {
    for run in row.chunk_by(|a, b| a == b) {
        if run[0] != 0 {
            let region = &mut regions[run[0] as usize - 1];
            *region = region.with(Region { voxels: run.len() as u64, first });
        }
        first += run.len();
    }
}

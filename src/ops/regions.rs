//! Size and first voxel of every labelled region.
//!
//! labels `[z, y, x]` u32 -> one entry for each label from 1. Sums and minima of integers: no order matters.
use ndarray::ArrayView3;

use super::blocks::{Rows, linear};
use super::tables;

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
    let add = |[z, y]: [usize; 2], regions: &mut [Region]| {
        add_row(rows.at(z, y), linear([z, y, 0], rows.shape()), regions)
    };
    tables::of_labels([depth, height], count, Region::NONE, add, Region::with)
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

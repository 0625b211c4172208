//! How far labelled regions lie open towards the background.
//!
//! Between a cell and the background outside the tissue there is always a membrane. A region that has more faces in
//! common with background than with membrane is therefore no cell, but noise or debris that the network took for the
//! inside of one. The authors' code has nothing of this.
//!
//! labels `[z, y, x]` u32, all in the foreground, and classes `[z, y, x]` u8 -> for each label from 1 its faces to
//! background less those to membrane (6 neighbours). Sums of integers: no order matters.
use ndarray::ArrayView3;

use super::blocks::Rows;
use super::{faces, tables};
use crate::cells::{BACKGROUND, MEMBRANE};

/// Operations and bytes moved for `voxels` voxels: six comparisons; a 32-bit value and a byte in.
pub fn cost(voxels: usize) -> (usize, usize) {
    (6 * voxels, 5 * voxels)
}

/// The exposure of labels 1 to `count`; that of label n at n - 1.
pub fn exposures(labels: ArrayView3<u32>, classes: ArrayView3<u8>, count: u32) -> Vec<i64> {
    assert_eq!(labels.dim(), classes.dim(), "labels and classes differ in shape");
    let labels = labels.as_standard_layout();
    let rows = Rows::new(labels.view());
    let [depth, height, _] = rows.shape();
    let add = |at: [usize; 2], exposures: &mut [i64]| add_row(rows.at(at[0], at[1]), classes, at, exposures);
    tables::of_labels([depth, height], count, 0, add, |a, b| a + b)
}

/// Adds row `at` (z, y), a run of equal labels at a time.
fn add_row(row: &[u32], classes: ArrayView3<u8>, at: [usize; 2], exposures: &mut [i64]) {
    let mut first = 0;
    for run in row.chunk_by(|a, b| a == b) {
        let columns = first..first + run.len();
        first = columns.end;
        if run[0] != 0 {
            exposures[run[0] as usize - 1] += faces::around(classes, at, columns, |class| match class {
                Some(BACKGROUND) => 1,
                Some(MEMBRANE) => -1,
                _ => 0,
            });
        }
    }
}

//! Nearest cells against a loop over all labelled voxels.
use ndarray::Array3;
use proptest::prelude::*;
use tascan::ops::distance::Metric;
use tascan::ops::nearest_cell;

use super::small_volumes::{squared_distance, volumes, voxels};

/// The label of the nearest labelled voxel, of equally near ones the smallest; 0 without any.
fn plain(labels: &Array3<u32>, classes: &Array3<u8>, step: [u32; 3]) -> Array3<u32> {
    let shape = labels.dim().into();
    let cells: Vec<_> = voxels(shape).filter(|&voxel| labels[voxel] != 0).collect();
    let mut filled = labels.clone();
    for voxel in voxels(shape).filter(|&voxel| labels[voxel] == 0 && classes[voxel] != 0) {
        let near = cells.iter().map(|&cell| (squared_distance(voxel, cell, step), labels[cell]));
        filled[voxel] = near.min().map_or(0, |(_, label)| label);
    }
    filled
}

proptest! {
    #[test]
    fn is_the_nearest_then_the_smallest_label(
        labels in volumes(8, 0..40u32),
        seed in 0..100usize,
        step in [1..4u32, 1..6, 1..4],
    ) {
        // few labelled voxels, many equally near, a label in several places
        let labels = labels.mapv(|label| if label < 7 { label } else { 0 });
        let classes = Array3::from_shape_fn(labels.dim(), |(z, y, x)| ((seed + 5 * z + 3 * y + x) % 3) as u8);
        let mut filled = labels.clone();
        nearest_cell::fill(filled.view_mut(), classes.view(), &Metric { step, unit: 1 });
        prop_assert_eq!(filled, plain(&labels, &classes, step));
    }
}

#[test]
fn three_equally_near_cells_give_the_smallest_label() {
    // at (z, x) = (0, 0), (4, 8) and (8, 0) round (4, 3): each 5 away
    let mut labels = Array3::zeros((9, 1, 9));
    (labels[[0, 0, 0]], labels[[4, 0, 8]], labels[[8, 0, 0]]) = (3, 2, 1);
    let classes = Array3::from_elem((9, 1, 9), 1);
    nearest_cell::fill(labels.view_mut(), classes.view(), &Metric::ISOTROPIC);
    assert_eq!(labels[[4, 0, 3]], 1);
}

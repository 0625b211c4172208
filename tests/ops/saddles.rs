//! Saddles against a loop over all pairs of neighbours.
use std::collections::BTreeMap;

use ndarray::Array3;
use proptest::prelude::*;
use tascan::ops::saddles::{self, Saddle};

use super::small_volumes::{stepped, steps_26, volumes, voxels};

fn plain(labels: &Array3<u32>, squared: &Array3<u32>) -> Vec<Saddle> {
    let shape = labels.dim().into();
    let mut heights = BTreeMap::new();
    for voxel in voxels(shape) {
        for neighbour in steps_26().filter_map(|step| stepped(voxel, step, shape)) {
            let (a, b) = (labels[voxel], labels[neighbour]);
            if a != 0 && a < b {
                let height = heights.entry((a, b)).or_insert(0);
                *height = squared[voxel].min(squared[neighbour]).max(*height);
            }
        }
    }
    heights.into_iter().map(|((a, b), squared)| Saddle { a, b, squared }).collect()
}

proptest! {
    #[test]
    fn are_the_highest_of_the_lower_sides(labels in volumes(6, 0..5u32), seed in 0..1000u32) {
        let squared = Array3::from_shape_fn(labels.dim(), |(z, y, x)| {
            (seed + 7 * z as u32 + 5 * y as u32 + 3 * x as u32) % 11 + 1
        });
        prop_assert_eq!(saddles::saddles(labels.view(), squared.view()), plain(&labels, &squared));
    }
}

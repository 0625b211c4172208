//! Pockets against a flood fill in plain loops.
use std::collections::HashSet;

use ndarray::Array3;
use proptest::prelude::*;
use tascan::Shape;
use tascan::ops::pockets;

use super::small_volumes::{classes, stepped, voxels};

const STEPS: [[isize; 3]; 6] = [[-1, 0, 0], [1, 0, 0], [0, -1, 0], [0, 1, 0], [0, 0, -1], [0, 0, 1]];

/// The connected background around `seed`, and its faces to membrane and to foreground.
fn flood(classes: &Array3<u8>, seed: Shape) -> (HashSet<Shape>, [usize; 3]) {
    let (mut piece, mut faces, mut open) = (HashSet::from([seed]), [0; 3], vec![seed]);
    while let Some(at) = open.pop() {
        for next in STEPS.into_iter().filter_map(|step| stepped(at, step, classes.dim().into())) {
            faces[classes[next] as usize] += 1;
            if classes[next] == 0 && piece.insert(next) {
                open.push(next);
            }
        }
    }
    (piece, faces)
}

proptest! {
    #[test]
    fn equal_a_flood_fill(volume in classes(7), background in 0..3u8) {
        // The strategy's background is rare: let another class stand for it.
        let classes = volume.mapv(|class| (class + background) % 3);
        let mut expected = classes.clone();
        for at in voxels(classes.dim().into()).filter(|at| classes[*at] == 0) {
            let (piece, [_, membrane, foreground]) = flood(&classes, at);
            if foreground > membrane {
                piece.into_iter().for_each(|voxel| expected[voxel] = 2);
            }
        }
        prop_assert_eq!(pockets::fill(classes.view()), expected);
    }
}

#[test]
fn a_dark_inside_is_filled_and_the_outside_is_not() {
    // A cell with a wall of one voxel, a dark middle, and background around it.
    let classes = Array3::from_shape_fn((11, 11, 11), |(z, y, x)| {
        match [z, y, x].map(|i| i.abs_diff(5)).into_iter().max().unwrap() {
            0 | 1 => 0,
            2 | 3 => 2,
            4 => 1,
            _ => 0u8,
        }
    });
    let filled = pockets::fill(classes.view());
    assert_eq!(filled[[5, 5, 5]], 2);
    assert_eq!(filled[[0, 0, 0]], 0);
    assert_eq!(filled.iter().filter(|class| **class == 0).count(), 11 * 11 * 11 - 9 * 9 * 9);
}

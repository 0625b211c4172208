//! Pockets against a flood fill in plain loops.
use std::collections::HashSet;

use ndarray::Array3;
use proptest::prelude::*;
use tascan::Shape;
use tascan::ops::pockets;

use super::small_volumes::{classes, stepped, steps_6, voxels};

/// The connected background around `seed`, its faces to each class, and last those at the volume's end.
fn flood(classes: &Array3<u8>, seed: Shape) -> (HashSet<Shape>, [usize; 4]) {
    let (mut piece, mut faces, mut open) = (HashSet::from([seed]), [0; 4], vec![seed]);
    while let Some(at) = open.pop() {
        for step in steps_6() {
            let Some(next) = stepped(at, step, classes.dim().into()) else {
                faces[3] += 1;
                continue;
            };
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
            let (piece, [_, membrane, foreground, end]) = flood(&classes, at);
            if foreground > membrane + end {
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

#[test]
fn the_outside_of_a_tissue_with_leaky_walls_is_not_filled() {
    // Half a volume of foreground whose wall towards the other half is lacking but for its rim.
    let classes = Array3::from_shape_fn((8, 8, 12), |(z, y, x)| match x {
        0..5 => 2,
        5 if [z, y].iter().any(|i| [0, 7].contains(i)) => 1,
        5 => 2,
        _ => 0u8,
    });
    assert_eq!(pockets::fill(classes.view()), classes);
}

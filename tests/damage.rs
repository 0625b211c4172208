//! Classes as a network with leaky walls gives them: made from labels, with holes in the walls between cells.
use ndarray::{Array3, ArrayView3};
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;
use tascan::cells::{FOREGROUND, MEMBRANE};
use tascan::train::masks::Masks;

/// Classes of a labelled volume, with `holes_per_cell` balls of radius 1 to 4 around membrane voxels between
/// two cells turned into foreground.
pub fn damaged_classes(labels: ArrayView3<u32>, holes_per_cell: f64, seed: u64) -> Array3<u8> {
    let mut classes = Masks::default().targets(labels).class;
    let mut walls: Vec<[usize; 3]> = Vec::new();
    for ((z, y, x), &label) in labels.indexed_iter() {
        let after = [[z + 1, y, x], [z, y + 1, x], [z, y, x + 1]];
        if label != 0
            && after.iter().any(|&at| labels.get(at).is_some_and(|&other| ![0, label].contains(&other)))
        {
            walls.push([z, y, x]);
        }
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let cells = labels.iter().max().map_or(0., |&most| f64::from(most));
    for _ in 0..(holes_per_cell * cells) as usize {
        if let Some(&centre) = walls.choose(&mut rng) {
            open(&mut classes, centre, rng.random_range(1. ..4.));
        }
    }
    classes
}

/// Turns the membrane in a ball into foreground.
fn open(classes: &mut Array3<u8>, centre: [usize; 3], radius: f64) {
    let reach = radius as isize;
    let steps = || -reach..=reach;
    for step in steps().flat_map(|z| steps().flat_map(move |y| steps().map(move |x| [z, y, x]))) {
        let squared = step.iter().map(|s| s * s).sum::<isize>() as f64;
        let at = [0, 1, 2].map(|axis| centre[axis].wrapping_add_signed(step[axis]));
        if let Some(class) =
            classes.get_mut(at).filter(|class| **class == MEMBRANE && squared <= radius * radius)
        {
            *class = FOREGROUND;
        }
    }
}

//! Logits of boxes at the voxels of a volume, against plain sums in f64.
use ndarray::Array3;
use tascan::Shape;
use tascan::ops::enlargement::Enlargement;
use tascan::scale::{Sampling, Step};

use super::grids;
use crate::compare;
use crate::scale::cases;

/// Three interpolations of numbers below 4.
const TOLERANCE: f64 = 2e-6;

/// Repeatable logits, `[z, y, x][class]`.
pub fn logits(shape: Shape, seed: u64) -> Array3<[f32; 3]> {
    let values = grids::noise(3 * shape.iter().product::<usize>(), seed);
    Array3::from_shape_vec(shape, values.as_chunks::<3>().0.to_vec()).unwrap()
}

/// Share of box `i` in a voxel: a hat that falls to nothing at the centres of its neighbours.
fn hat(i: usize, voxel: usize, step: Step, extent: usize) -> f64 {
    let edge = |i: usize| (i as f64 * step.voxels()).min(extent as f64);
    let centre = |i: usize| (edge(i) + edge(i + 1)) / 2.0 - 0.5;
    let (last, at) = (step.count(extent) - 1, voxel as f64);
    if at < centre(i) {
        if i == 0 { 1.0 } else { (1.0 - (centre(i) - at) / (centre(i) - centre(i - 1))).max(0.0) }
    } else if i == last {
        1.0
    } else {
        (1.0 - (at - centre(i)) / (centre(i + 1) - centre(i))).max(0.0)
    }
}

fn trilinear(logits: &Array3<[f32; 3]>, voxel: Shape, shape: Shape, sampling: Sampling) -> [f64; 3] {
    let mut sum = [0.0; 3];
    for ((z, y, x), values) in logits.indexed_iter() {
        let [a, b, c] =
            [(0, z), (1, y), (2, x)].map(|(axis, i)| hat(i, voxel[axis], sampling.0[axis], shape[axis]));
        sum.iter_mut().zip(values).for_each(|(sum, &value)| *sum += a * b * c * f64::from(value));
    }
    sum
}

#[test]
fn voxels_lie_between_the_centres_of_the_boxes() {
    for (shape, sampling) in cases() {
        let logits = logits(sampling.shape(shape), 3);
        let enlargement = Enlargement::new(shape, sampling);
        for z in 0..shape[0] {
            let plane = enlargement.plane(&logits, z);
            assert_eq!(plane.len(), shape[1] * shape[2]);
            for (i, found) in plane.iter().enumerate() {
                let expected = trilinear(&logits, [z, i / shape[2], i % shape[2]], shape, sampling);
                for (found, expected) in found.iter().zip(expected) {
                    compare::assert_close_f64(f64::from(*found), expected, TOLERANCE);
                }
            }
        }
    }
}

//! Transposed convolutions against plain scattering loops in f64, with and without a plane to crop.
use tascan::ops::activations::Activations;
use tascan::ops::conv_transpose3d::{ConvTranspose3d, NETWORK_SHAPES};

use super::grids::{assert_grid, at, noise, noisy, poisoned, positions, voxels};
use crate::compare;

/// Worst seen: 2e-6 forward, 5e-6 backward (bound 10 times this).
const TOLERANCE: f64 = 1e-5;

/// Shapes after the crop: odd extents drop a plane.
const SHAPES: [[usize; 3]; 4] = [[1, 1, 1], [2, 3, 27], [4, 5, 6], [3, 2, 15]];

fn index(conv: &ConvTranspose3d, i: usize, o: usize, [z, y, x]: [usize; 3]) -> usize {
    (((i * conv.cout + o) * 4 + z) * 4 + y) * 4 + x
}

fn weight(conv: &ConvTranspose3d) -> Vec<f32> {
    noise(conv.cin * conv.cout * 64, 2).into_iter().map(|w| 0.05 * w).collect()
}

/// A volume, an input voxel, a kernel position, and the output voxel that they reach.
type Reach = (usize, [isize; 3], [usize; 3], [isize; 3]);

/// All that lies inside the crop.
fn reaches(coarse: &Activations, shape: [usize; 3]) -> Vec<Reach> {
    let mut found = Vec::new();
    for (n, from) in voxels(coarse.n, coarse.shape) {
        for k in positions(4) {
            let to = [0, 1, 2].map(|axis| 2 * from[axis] + k[axis] as isize - 1);
            if (0..3).all(|axis| to[axis] >= 0 && to[axis] < shape[axis] as isize) {
                found.push((n, from, k, to));
            }
        }
    }
    found
}

fn flat(shape: [usize; 3], channels: usize, n: usize, place: [isize; 3], channel: usize) -> usize {
    let [z, y, x] = place.map(|i| i as usize);
    (((n * shape[0] + z) * shape[1] + y) * shape[2] + x) * channels + channel
}

fn cases() -> impl Iterator<Item = (ConvTranspose3d, [usize; 3], Activations)> {
    NETWORK_SHAPES.into_iter().flat_map(|conv| {
        SHAPES.map(|shape| (conv, shape, noisy(2, shape.map(|extent| extent.div_ceil(2)), conv.cin, 1)))
    })
}

#[test]
fn forward_equals_plain_loops() {
    for (conv, shape, x) in cases() {
        let (weight, bias) = (weight(&conv), noise(conv.cout, 3));
        let mut expected = vec![0.0; 2 * shape.iter().product::<usize>() * conv.cout];
        for (n, from, k, to) in reaches(&x, shape) {
            for o in 0..conv.cout {
                let sum = &mut expected[flat(shape, conv.cout, n, to, o)];
                for i in 0..conv.cin {
                    *sum += at(&x, n, from, i) * f64::from(weight[index(&conv, i, o, k)]);
                }
            }
        }
        let mut y = poisoned(2, shape, conv.cout);
        conv.forward(&weight, &bias).all(&x, &mut y);
        let expected = |n, place, o| f64::from(bias[o]) + expected[flat(shape, conv.cout, n, place, o)];
        assert_grid(&y, expected, TOLERANCE);
    }
}

#[test]
fn gradients_equal_plain_loops() {
    for (conv, shape, x) in cases() {
        let (weight, dy) = (weight(&conv), noisy(2, shape, conv.cout, 4));
        let mut expected_dw = vec![0.0; weight.len()];
        let mut expected_dx = vec![0.0; 2 * x.shape.iter().product::<usize>() * conv.cin];
        for (n, from, k, to) in reaches(&x, shape) {
            for i in 0..conv.cin {
                let dx = &mut expected_dx[flat(x.shape, conv.cin, n, from, i)];
                for o in 0..conv.cout {
                    let d = at(&dy, n, to, o);
                    *dx += d * f64::from(weight[index(&conv, i, o, k)]);
                    expected_dw[index(&conv, i, o, k)] += d * at(&x, n, from, i);
                }
            }
        }
        let mut dw = vec![f32::NAN; weight.len()];
        conv.backward_weights(&x, &dy, &mut dw);
        for (found, expected) in dw.iter().zip(expected_dw) {
            compare::assert_close_f64(f64::from(*found), expected, TOLERANCE * 10.0);
        }
        let mut dx = poisoned(2, x.shape, conv.cin);
        conv.backward_input(&weight, &dy, &mut dx);
        assert_grid(&dx, |n, place, i| expected_dx[flat(x.shape, conv.cin, n, place, i)], TOLERANCE);
    }
}

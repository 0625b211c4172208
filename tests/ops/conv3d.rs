//! Convolutions against plain loops in f64, at the network's channels, batches, odd sizes and both strides.
use tascan::ops::activations::Activations;
use tascan::ops::conv3d::{Conv3d, NETWORK_SHAPES};

use super::grids::{assert_grid, at, noise, noisy, poisoned, positions, voxels};
use crate::compare;

/// Worst seen: 5e-6 forward, 6e-6 backward (bound 10 times this).
const TOLERANCE: f64 = 1e-5;

const SHAPES: [[usize; 3]; 4] = [[1, 1, 1], [2, 3, 13], [3, 4, 5], [5, 2, 26]];

fn weight(conv: &Conv3d, seed: u64) -> Vec<f32> {
    noise(conv.cin * conv.cout * 27, seed).into_iter().map(|w| 0.05 * w).collect()
}

fn index(conv: &Conv3d, o: usize, i: usize, [z, y, x]: [usize; 3]) -> usize {
    (((o * conv.cin + i) * 3 + z) * 3 + y) * 3 + x
}

fn out_shape(conv: &Conv3d, shape: [usize; 3]) -> [usize; 3] {
    shape.map(|extent| extent.div_ceil(conv.stride))
}

/// The input voxel that output voxel `place` sees at kernel position `k`.
fn source(conv: &Conv3d, place: [isize; 3], k: [usize; 3]) -> [isize; 3] {
    [0, 1, 2].map(|axis| conv.stride as isize * place[axis] + k[axis] as isize - 1)
}

fn cases() -> impl Iterator<Item = (Conv3d, Activations)> {
    NETWORK_SHAPES.into_iter().flat_map(|conv| SHAPES.map(|shape| (conv, noisy(2, shape, conv.cin, 1))))
}

#[test]
fn forward_equals_plain_loops() {
    for (conv, x) in cases() {
        let (weight, bias) = (weight(&conv, 2), noise(conv.cout, 3));
        let mut y = poisoned(2, out_shape(&conv, x.shape), conv.cout);
        conv.forward(&weight, &bias).all(&x, &mut y);
        let expected = |n, place, o: usize| {
            let products = positions(3).flat_map(|k| (0..conv.cin).map(move |i| (k, i))).map(|(k, i)| {
                f64::from(weight[index(&conv, o, i, k)]) * at(&x, n, source(&conv, place, k), i)
            });
            f64::from(bias[o]) + products.sum::<f64>()
        };
        assert_grid(&y, expected, TOLERANCE);
    }
}

#[test]
fn gradients_equal_plain_loops() {
    for (conv, x) in cases() {
        let weight = weight(&conv, 2);
        let dy = noisy(2, out_shape(&conv, x.shape), conv.cout, 4);
        let mut dw = vec![f32::NAN; weight.len()];
        conv.backward_weights(&x, &dy, &mut dw);
        let mut dx = poisoned(2, x.shape, conv.cin);
        conv.backward_input(&weight, &dy, &mut dx);
        let (expected_dw, expected_dx) = gradients(&conv, &weight, &x, &dy);
        for (found, expected) in dw.iter().zip(expected_dw) {
            compare::assert_close_f64(f64::from(*found), expected, TOLERANCE * 10.0);
        }
        let [_, rows, columns] = x.shape;
        let flat = |n: usize, [z, y, x]: [isize; 3]| {
            ((n as isize * dx.shape[0] as isize + z) * rows as isize + y) * columns as isize + x
        };
        assert_grid(&dx, |n, place, i| expected_dx[flat(n, place) as usize * conv.cin + i], TOLERANCE);
    }
}

/// Gradients by scattering every product.
fn gradients(conv: &Conv3d, weight: &[f32], x: &Activations, dy: &Activations) -> (Vec<f64>, Vec<f64>) {
    let [planes, rows, columns] = x.shape;
    let mut dw = vec![0.0; weight.len()];
    let mut dx = vec![0.0; x.n * planes * rows * columns * conv.cin];
    for (n, place) in voxels(dy.n, dy.shape) {
        for k in positions(3) {
            let from = source(conv, place, k);
            if (0..3).any(|axis| from[axis] < 0 || from[axis] >= x.shape[axis] as isize) {
                continue;
            }
            let [z, y, column] = from.map(|i| i as usize);
            let start = (((n * planes + z) * rows + y) * columns + column) * conv.cin;
            for o in 0..conv.cout {
                let d = at(dy, n, place, o);
                for i in 0..conv.cin {
                    dw[index(conv, o, i, k)] += d * at(x, n, from, i);
                    dx[start + i] += d * f64::from(weight[index(conv, o, i, k)]);
                }
            }
        }
    }
    (dw, dx)
}

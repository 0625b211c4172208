//! Transposed convolutions against plain scattering loops in f64, with and without a plane to crop.
use tascan::network::needed;
use tascan::ops::activations::Activations;
use tascan::ops::conv_transpose3d::{ConvTranspose3d, NETWORK_SHAPES};
use tascan::volume::Ranges;

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

/// Parts of a grid of 9x10x27 voxels: from odd and even voxels on, at the far end, and all of it.
fn parts() -> [Ranges; 5] {
    [
        [3..6, 4..9, 7..20],
        [8..9, 9..10, 25..27],
        [0..1, 0..2, 0..3],
        [1..8, 0..5, 12..27],
        [0..9, 0..10, 0..27],
    ]
}

#[test]
fn a_part_has_the_bits_of_the_whole_and_looks_at_no_more_than_it_needs() {
    const KEPT: f32 = 7.0;
    let shape = [9, 10, 27_usize];
    for conv in NETWORK_SHAPES {
        let forward = conv.forward(&weight(&conv), &noise(conv.cout, 3));
        let x = noisy(1, shape.map(|extent| extent.div_ceil(2)), conv.cin, 1);
        let mut whole = poisoned(1, shape, conv.cout);
        forward.all(&x, &mut whole);
        for part in parts() {
            let needed = [0, 1, 2].map(|axis| needed::by_doubling(&part[axis], x.shape[axis]));
            let mut seen = poisoned(1, x.shape, conv.cin);
            seen.par_rows_mut(
                || (),
                |(), at, row| {
                    if needed[0].contains(&at.z) && needed[1].contains(&at.y) {
                        let voxels = needed[2].start * conv.cin..needed[2].end * conv.cin;
                        row[voxels.clone()].copy_from_slice(&x.row(at)[voxels]);
                    }
                },
            );
            let mut found = Activations::zeros(1, shape, conv.cout);
            found.par_rows_mut(|| (), |(), _, row| row.fill(KEPT));
            forward.run_part(&seen, &mut found, &part, |_, result, row| row.copy_from_slice(result));
            for at in found.rows() {
                for (i, value) in found.row(at).iter().enumerate() {
                    let place = [at.z, at.y, i / conv.cout];
                    let is_inside = (0..3).all(|axis| part[axis].contains(&place[axis]));
                    let expected = if is_inside { whole.row(at)[i] } else { KEPT };
                    assert_eq!(*value, expected, "{place:?} of {part:?}");
                }
            }
        }
    }
}

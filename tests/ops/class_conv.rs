//! The last convolution against plain loops in f64.
use tascan::device::cpu::simd::Isa;
use tascan::ops::activations::Activations;
use tascan::ops::class_conv::{self, CIN, CLASSES, ClassConv};

use super::grids::{assert_grid, at, noise, noisy, poisoned, positions, voxels};
use crate::compare;

/// Worst seen: 3e-6.
const TOLERANCE: f64 = 2e-5;
const SHAPES: [[usize; 3]; 3] = [[1, 1, 1], [2, 3, 19], [3, 2, 8]];

fn index(class: usize, i: usize, [z, y, x]: [usize; 3]) -> usize {
    (((class * CIN + i) * 3 + z) * 3 + y) * 3 + x
}

fn source(place: [isize; 3], k: [usize; 3]) -> [isize; 3] {
    [0, 1, 2].map(|axis| place[axis] + k[axis] as isize - 1)
}

/// The logit of a class at one voxel.
pub fn plain(
    weight: &[f32],
    bias: &[f32],
    x: &Activations,
    n: usize,
    place: [isize; 3],
    class: usize,
) -> f64 {
    let products = positions(3).flat_map(|k| (0..CIN).map(move |i| (k, i)));
    f64::from(bias[class])
        + products
            .map(|(k, i)| f64::from(weight[index(class, i, k)]) * at(x, n, source(place, k), i))
            .sum::<f64>()
}

#[test]
fn forward_equals_plain_loops() {
    let (weight, bias) = (noise(CLASSES * CIN * 27, 1), noise(CLASSES, 2));
    let conv = ClassConv::new(&weight, &bias);
    for shape in SHAPES {
        let x = noisy(2, shape, CIN, 3);
        for row in x.rows() {
            let mut found = vec![[f32::NAN; CLASSES]; shape[2]];
            conv.row(Isa::detect(), &x, row.n, [row.z, row.y, 0], &mut found);
            for (column, logits) in found.iter().enumerate() {
                for (class, logit) in logits.iter().enumerate() {
                    let place = [row.z, row.y, column].map(|i| i as isize);
                    let expected = plain(&weight, &bias, &x, row.n, place, class);
                    compare::assert_close_f64(f64::from(*logit), expected, TOLERANCE);
                }
            }
        }
    }
}

#[test]
fn gradients_equal_plain_loops() {
    let weight = noise(CLASSES * CIN * 27, 1);
    for shape in SHAPES {
        let (x, dy) = (noisy(2, shape, CIN, 3), noisy(2, shape, CLASSES, 4));
        let mut dx = poisoned(2, shape, CIN);
        class_conv::backward_input(&weight, &dy, &mut dx);
        // dx[i] = sum over k of dy[i + 1 - k] w[k]
        let expected = |n, place: [isize; 3], i| {
            let terms = positions(3).flat_map(|k| (0..CLASSES).map(move |class| (k, class)));
            let to = |k: [usize; 3]| [0, 1, 2].map(|axis| place[axis] + 1 - k[axis] as isize);
            terms.map(|(k, class)| at(&dy, n, to(k), class) * f64::from(weight[index(class, i, k)])).sum()
        };
        assert_grid(&dx, expected, TOLERANCE);
        let mut dw = vec![f32::NAN; weight.len()];
        class_conv::backward_weights(&x, &dy, &mut dw);
        for class in 0..CLASSES {
            for (k, i) in positions(3).flat_map(|k| (0..CIN).map(move |i| (k, i))) {
                let product = |(n, place)| at(&dy, n, place, class) * at(&x, n, source(place, k), i);
                let expected: f64 = voxels(2, shape).map(product).sum();
                compare::assert_close_f64(f64::from(dw[index(class, i, k)]), expected, TOLERANCE);
            }
        }
    }
}

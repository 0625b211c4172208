//! Softmax, its gradient, and the class of a voxel.
use tascan::ops::softmax::{backward, class, softmax};

use super::grids::noise;
use crate::compare;

const LOGITS: [[f32; 3]; 5] =
    [[0.0, 0.0, 0.0], [1.0, -2.0, 0.5], [-300.0, 4.0, 3.0], [80.0, 80.0, -80.0], [1e-3, 2e-3, 3e-3]];

fn plain(logits: [f64; 3]) -> [f64; 3] {
    let top = logits.iter().copied().fold(f64::MIN, f64::max);
    let sum: f64 = logits.iter().map(|x| (x - top).exp()).sum();
    logits.map(|x| (x - top).exp() / sum)
}

#[test]
fn probabilities_equal_their_definition() {
    for logits in LOGITS {
        for (found, expected) in softmax(logits).into_iter().zip(plain(logits.map(f64::from))) {
            compare::assert_close_f64(f64::from(found), expected, 2e-7);
        }
    }
}

#[test]
fn small_probabilities_are_as_precise_as_great_ones() {
    // Four roundings of 2^-24: of the series, its product, the sum and the quotient. Worst seen: 1.8e-7.
    const TOLERANCE: f64 = 4.0 / (1 << 24) as f64;
    for logits in noise(30_000, 1).as_chunks::<3>().0 {
        // Differences that are not rounded.
        let logits = logits.map(|x| (40.0 * 1024.0 * x).round() / 1024.0);
        for (found, expected) in softmax(logits).into_iter().zip(plain(logits.map(f64::from))) {
            compare::assert_relative(f64::from(found), expected, TOLERANCE);
        }
    }
}

#[test]
fn gradient_equals_central_differences() {
    let dp = [0.3, -1.2, 0.7f32];
    for logits in LOGITS {
        let found = backward(softmax(logits), dp);
        for c in 0..3 {
            let loss = |step: f64| {
                let mut shifted = logits.map(f64::from);
                shifted[c] += step;
                plain(shifted).iter().zip(dp).map(|(p, dp)| p * f64::from(dp)).sum::<f64>()
            };
            let expected = (loss(1e-5) - loss(-1e-5)) / 2e-5;
            compare::assert_close_f64(f64::from(found[c]), expected, 1e-6);
        }
    }
}

#[test]
fn the_class_is_the_greatest_logit_and_the_lower_one_on_a_tie() {
    assert_eq!([[0.0, 0.0, 0.0], [0.0, 2.0, 2.0], [-1.0, -2.0, 0.0]].map(class), [0, 1, 2]);
}

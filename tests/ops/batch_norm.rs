//! Batch norm with ReLU against its definition in f64, and its gradient against central differences.
use tascan::ops::activations::Activations;
use tascan::ops::batch_norm::{self, Affine, Moments};

use super::grids::{at, noise, noisy, voxels};
use crate::compare;

const CHANNELS: usize = 32;
const SHAPE: [usize; 3] = [3, 4, 5];

/// Values of one channel, and the indices that they came from.
fn channel(y: &Activations, c: usize) -> Vec<f64> {
    voxels(y.n, y.shape).map(|(n, place)| at(y, n, place, c)).collect()
}

/// relu(gamma * (y - mean) / sqrt(var + eps) + beta) of one channel.
fn plain(y: &[f64], gamma: f64, beta: f64) -> Vec<f64> {
    let n = y.len() as f64;
    let mean = y.iter().sum::<f64>() / n;
    let variance = y.iter().map(|y| (y - mean).powi(2)).sum::<f64>() / n;
    y.iter().map(|y| (gamma * (y - mean) / (variance + 1e-5).sqrt() + beta).max(0.0)).collect()
}

struct Case {
    y: Activations,
    gamma: Vec<f32>,
    beta: Vec<f32>,
}

fn case() -> Case {
    Case { y: noisy(2, SHAPE, CHANNELS, 1), gamma: noise(CHANNELS, 2), beta: noise(CHANNELS, 3) }
}

#[test]
fn forward_equals_its_definition() {
    let Case { y, gamma, beta } = case();
    let affine = Affine::new(&gamma, &beta, &Moments::of(&y));
    let mut out = Activations::zeros(2, SHAPE, CHANNELS);
    out.par_rows_mut(|| (), |(), at, row| affine.relu(y.row(at), row));
    for c in 0..CHANNELS {
        let expected = plain(&channel(&y, c), f64::from(gamma[c]), f64::from(beta[c]));
        for (found, expected) in channel(&out, c).into_iter().zip(expected) {
            compare::assert_close_f64(found, expected, 2e-6);
        }
    }
}

#[test]
fn running_statistics_follow_with_momentum_and_unbiased_variance() {
    let Case { y, .. } = case();
    let (mut mean, mut variance) = (vec![0.5; CHANNELS], vec![2.0; CHANNELS]);
    Moments::of(&y).update_running(&mut mean, &mut variance);
    for c in 0..CHANNELS {
        let values = channel(&y, c);
        let n = values.len() as f64;
        let m = values.iter().sum::<f64>() / n;
        let v = values.iter().map(|y| (y - m).powi(2)).sum::<f64>() / (n - 1.0);
        compare::assert_close_f64(f64::from(mean[c]), 0.9 * 0.5 + 0.1 * m, 1e-6);
        compare::assert_close_f64(f64::from(variance[c]), 0.9 * 2.0 + 0.1 * v, 1e-6);
    }
}

#[test]
fn gradients_equal_central_differences() {
    let Case { mut y, gamma, beta } = case();
    let original = y.clone();
    let da = noisy(2, SHAPE, CHANNELS, 4);
    let skip = noisy(2, SHAPE, CHANNELS, 5);
    let moments = Moments::of(&y);
    let affine = Affine::new(&gamma, &beta, &moments);
    let found = batch_norm::backward(&affine, &moments, &mut y, &da, Some(&skip));
    const STEP: f64 = 1e-6;
    for c in [0, 7, 31] {
        let (values, da, skip) = (channel(&original, c), channel(&da, c), channel(&skip, c));
        let (g, b) = (f64::from(gamma[c]), f64::from(beta[c]));
        let loss = |y: &[f64], g, b| plain(y, g, b).iter().zip(&da).map(|(a, da)| a * da).sum::<f64>();
        let slope = |f: &dyn Fn(f64) -> f64| (f(STEP) - f(-STEP)) / (2.0 * STEP);
        let dgamma = slope(&|step| loss(&values, g + step, b));
        compare::assert_close_f64(f64::from(found.gamma[c]), dgamma, 2e-5);
        let dbeta = slope(&|step| loss(&values, g, b + step));
        compare::assert_close_f64(f64::from(found.beta[c]), dbeta, 2e-5);
        for (i, dy) in channel(&y, c).into_iter().enumerate() {
            let expected = slope(&|step| {
                let mut shifted = values.clone();
                shifted[i] += step;
                loss(&shifted, g, b)
            });
            compare::assert_close_f64(dy, expected + skip[i], 2e-5);
        }
    }
}

#[test]
fn a_bias_gets_the_sum_of_its_channel() {
    let dy = noisy(2, SHAPE, CHANNELS, 6);
    for (c, found) in batch_norm::bias_gradient(&dy).into_iter().enumerate() {
        compare::assert_close_f64(f64::from(found), channel(&dy, c).iter().sum(), 1e-5);
    }
}

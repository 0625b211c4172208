//! Batch norm with the ReLU behind it.
//!
//! `a = max(0, scale * y + shift)`, per channel, with `scale = gamma / sqrt(var + 1e-5)` and
//! `shift = beta - mean * scale`. At inference mean and variance are the running ones; in training they are
//! those of the batch (biased variance), and the running ones follow with momentum 0.1 (unbiased variance), as
//! in PyTorch.
//!
//! Backward, with `x = (y - mean) / sqrt(var + eps)`, `dz = da` where `a > 0` and 0 elsewhere, N voxels:
//! `dbeta = sum dz`, `dgamma = sum dz x`, `dy = scale * (dz - dbeta / N - x * dgamma / N)`.
use rayon::prelude::*;

use super::activations::{Activations, RowIndex};
use super::correlation::PARTIAL_SUMS;
use crate::device::cpu::channels::{self, MOST_CHANNELS, NormRow, Sums};

/// Added to the variance.
const EPSILON: f64 = 1e-5;
/// Weight of a new batch in the running statistics.
const MOMENTUM: f64 = 0.1;

/// One multiplication and one addition per channel.
#[derive(Clone, Debug)]
pub struct Affine {
    /// `[channels]`
    pub scale: Vec<f32>,
    /// `[channels]`
    pub shift: Vec<f32>,
}

/// Mean and variance of each channel.
#[derive(Clone, Debug)]
pub struct Moments {
    /// `[channels]`
    pub mean: Vec<f64>,
    /// Biased variance, `[channels]`.
    pub variance: Vec<f64>,
    /// Voxels that they were taken over.
    pub voxels: usize,
}

/// Gradients of gamma and beta.
pub struct Gradients {
    /// Gradient of the scale, `[channels]`.
    pub gamma: Vec<f32>,
    /// Gradient of the shift, `[channels]`.
    pub beta: Vec<f32>,
}

impl Affine {
    /// Scale and shift that normalise with the given moments.
    pub fn new(gamma: &[f32], beta: &[f32], moments: &Moments) -> Self {
        let scale: Vec<f64> =
            gamma.iter().zip(&moments.variance).map(|(g, v)| f64::from(*g) / (v + EPSILON).sqrt()).collect();
        let shift = beta.iter().zip(&moments.mean).zip(&scale);
        let shift = shift.map(|((beta, mean), scale)| (f64::from(*beta) - mean * scale) as f32).collect();
        Affine { scale: scale.into_iter().map(|s| s as f32).collect(), shift }
    }

    /// `out = relu(affine(y))` along a row.
    pub fn relu(&self, y: &[f32], out: &mut [f32]) {
        channels::relu(y, self.both(), out);
    }

    /// `y = relu(affine(y))` along a row.
    pub fn relu_in_place(&self, y: &mut [f32]) {
        channels::relu_in_place(y, self.both());
    }

    /// `out += relu(affine(y))` along a row.
    pub fn relu_accumulate(&self, y: &[f32], out: &mut [f32]) {
        channels::relu_accumulate(y, self.both(), out);
    }

    fn both(&self) -> [&[f32]; 2] {
        [&self.scale, &self.shift]
    }
}

impl Moments {
    /// The running statistics of a checkpoint.
    pub fn running(mean: &[f32], variance: &[f32]) -> Self {
        let wide = |values: &[f32]| values.iter().copied().map(f64::from).collect();
        Moments { mean: wide(mean), variance: wide(variance), voxels: 0 }
    }

    /// Mean and variance of each channel over the whole batch.
    pub fn of(y: &Activations) -> Self {
        let [sum, square] = channel_sums(y, |at| channels::moments(y.row(at), y.channels));
        let voxels = y.n * y.shape.iter().product::<usize>();
        let mean: Vec<f64> = sum.iter().map(|sum| sum / voxels as f64).collect();
        let variance = square.iter().zip(&mean).map(|(s, mean)| (s / voxels as f64 - mean * mean).max(0.0));
        Moments { variance: variance.collect(), mean, voxels }
    }

    /// Moves the running statistics towards these.
    pub fn update_running(&self, mean: &mut [f32], variance: &mut [f32]) {
        let n = self.voxels as f64;
        let unbias = if self.voxels > 1 { n / (n - 1.0) } else { 1.0 };
        for c in 0..mean.len() {
            let blend = |old: f32, new: f64| ((1.0 - MOMENTUM) * f64::from(old) + MOMENTUM * new) as f32;
            mean[c] = blend(mean[c], self.mean[c]);
            variance[c] = blend(variance[c], self.variance[c] * unbias);
        }
    }
}

/// The backward pass: `y` becomes `dy` in place, plus `skip` where a skip connection joins. `da` is the
/// gradient to the output of the ReLU.
pub fn backward(
    affine: &Affine,
    moments: &Moments,
    y: &mut Activations,
    da: &Activations,
    skip: Option<&Activations>,
) -> Gradients {
    let inverse: Vec<f32> = moments.variance.iter().map(|v| (1.0 / (v + EPSILON).sqrt()) as f32).collect();
    let mean: Vec<f32> = moments.mean.iter().map(|mean| *mean as f32).collect();
    let norm = NormRow { scale: &affine.scale, shift: &affine.shift, mean: &mean, inverse: &inverse };
    let [beta, gamma] = channel_sums(y, |at| channels::backward_sums(y.row(at), da.row(at), norm));
    let n = moments.voxels as f64;
    let mean_dz: Vec<f32> = beta.iter().map(|sum| (sum / n) as f32).collect();
    let mean_dzx: Vec<f32> = gamma.iter().map(|sum| (sum / n) as f32).collect();
    y.par_rows_mut(
        || (),
        |(), at, row| {
            channels::backward_apply(row, da.row(at), norm, [&mean_dz, &mean_dzx]);
            if let Some(skip) = skip {
                row.iter_mut().zip(skip.row(at)).for_each(|(dy, skip)| *dy += skip);
            }
        },
    );
    let narrow = |sums: Vec<f64>| sums.into_iter().map(|sum| sum as f32).collect();
    Gradients { gamma: narrow(gamma), beta: narrow(beta) }
}

/// The gradient to a bias: `dy` summed over all voxels, per channel.
pub fn bias_gradient(dy: &Activations) -> Vec<f32> {
    let [sum, _] = channel_sums(dy, |at| channels::moments(dy.row(at), dy.channels));
    sum.into_iter().map(|sum| sum as f32).collect()
}

/// Two sums per channel over all rows: in f32 along a row, in f64 over the rows, in an order that does not
/// depend on the number of threads.
fn channel_sums(over: &Activations, of_row: impl Fn(RowIndex) -> Sums + Sync) -> [Vec<f64>; 2] {
    let rows: Vec<RowIndex> = over.rows().collect();
    let partial: Vec<[[f64; MOST_CHANNELS]; 2]> = rows
        .par_chunks(rows.len().div_ceil(PARTIAL_SUMS).max(1))
        .map(|rows| {
            let mut sums = [[0.0; MOST_CHANNELS]; 2];
            for &at in rows {
                for (sum, value) in sums.iter_mut().flatten().zip(of_row(at).iter().flatten()) {
                    *sum += f64::from(*value);
                }
            }
            sums
        })
        .collect();
    let total = |which: usize| {
        (0..over.channels).map(|c| partial.iter().map(|sums| sums[which][c]).sum::<f64>()).collect()
    };
    [total(0), total(1)]
}

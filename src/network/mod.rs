//! 3DCellSegNet (paper, Fig. 4; the authors' `CellSegNet_basic_lite`): a light residual U-Net that gives every
//! voxel the probabilities of background, membrane and foreground.
//!
//! | name | operation | channels | grid |
//! |---|---|---|---|
//! | conv1 | 1x1x1 | 1 -> 16 | full |
//! | conv2, bnorm1, relu -> c1 | 3x3x3 | 16 -> 32 | full |
//! | conv3, resmodule1 -> c2 | 3x3x3 stride 2; h + conv(relu(batchnorm(h))) | 32 -> 64 | 1/2 |
//! | conv4, resmodule2 -> c3 | as conv3 | 64 -> 64 | 1/4 |
//! | conv5, resmodule3 -> c4 | as conv3 | 64 -> 64 | 1/8 |
//! | deconv1, bnorm2, relu, + c3 | transposed 4x4x4 stride 2 | 64 -> 64 | 1/4 |
//! | deconv2, bnorm3, relu, + c2 | transposed 4x4x4 stride 2 | 64 -> 64 | 1/2 |
//! | deconv3, bnorm4, relu, + c1 | transposed 4x4x4 stride 2 | 64 -> 32 | full |
//! | conv6, softmax | 3x3x3 | 32 -> 3 | full |
//!
//! It runs on either device: at inference ([`engine`]) by [`inference`] on the CPU and by [`cuda`], in training ([`trainer`])
//! by [`training`] on the CPU and by [`cuda_training`]. [`prediction`] brings a whole volume through it.
pub mod axes;
mod blocks;
pub mod cuda;
pub mod cuda_training;
pub mod engine;
pub mod enlarged;
pub mod inference;
pub mod layout;
pub mod needed;
pub mod pending;
pub mod prediction;
pub mod trainer;
pub mod training;

pub use inference::Network;
pub use training::TrainingNetwork;

use crate::ops;
use crate::ops::batch_norm::{Affine, Moments};
use crate::ops::class_conv::ClassConv;
use crate::ops::conv_transpose3d::ConvTranspose3d;
use crate::ops::conv3d::{Conv3d, Method};
use crate::ops::first_conv::FirstConv;
use crate::volume::Shape;
use crate::weights::Weights;

/// The three stages that halve the grid: the convolution, its shape, and the residual block behind it.
const DOWN: [(&str, Conv3d, &str); 3] = [
    ("conv3", Conv3d { cin: 32, cout: 64, stride: 2, method: Method::Winograd }, "resmodule1"),
    ("conv4", Conv3d { cin: 64, cout: 64, stride: 2, method: Method::Winograd }, "resmodule2"),
    ("conv5", Conv3d { cin: 64, cout: 64, stride: 2, method: Method::Plain }, "resmodule3"),
];

/// The convolution of each stage's residual block. On the coarsest grid all is computed plainly: its tiles would be 16
/// voxels wide, and blocks begin at multiples of 8.
const RESIDUAL: [Conv3d; 3] = [
    Conv3d { cin: 64, cout: 64, stride: 1, method: Method::Winograd },
    Conv3d { cin: 64, cout: 64, stride: 1, method: Method::Winograd },
    Conv3d { cin: 64, cout: 64, stride: 1, method: Method::Plain },
];

/// The three stages that double it: the transposed convolution, its shape, and the batch norm behind it.
const UP: [(&str, ConvTranspose3d, &str); 3] = [
    ("deconv1", ConvTranspose3d { cin: 64, cout: 64, method: Method::Plain }, "bnorm2"),
    ("deconv2", ConvTranspose3d { cin: 64, cout: 64, method: Method::Winograd }, "bnorm3"),
    ("deconv3", ConvTranspose3d { cin: 64, cout: 32, method: Method::Winograd }, "bnorm4"),
];

/// Multiply-adds a voxel of the input at inference, from the layers that there are; Winograd's algorithm does fewer.
pub fn multiply_adds() -> f64 {
    // Voxels of a level's grid for each of the input.
    let share = |level: usize| 0.125_f64.powi(level as i32);
    let full = 2 * 27 * ops::first_conv::COUT + 27 * ops::class_conv::CIN * ops::class_conv::CLASSES;
    let down = DOWN.iter().zip(&RESIDUAL).zip(1..);
    let down = down.map(|(((_, halve, _), residual), level)| {
        (halve.multiply_adds() + residual.multiply_adds()) as f64 * share(level)
    });
    let up =
        UP.iter().zip([2, 1, 0]).map(|((_, double, _), level)| double.multiply_adds() as f64 * share(level));
    full as f64 + down.sum::<f64>() + up.sum::<f64>()
}

/// Weight and bias of a layer.
fn layer<'a>(weights: &'a Weights, name: &str) -> (&'a [f32], &'a [f32]) {
    (weights.get(&format!("{name}.weight")), weights.get(&format!("{name}.bias")))
}

/// conv1 and conv2, to be folded.
fn first_conv(weights: &Weights) -> FirstConv<'_> {
    let ((weight1, bias1), (weight2, bias2)) = (layer(weights, "conv1"), layer(weights, "conv2"));
    FirstConv { weight1, bias1, weight2, bias2 }
}

/// conv6, packed to be run.
fn class_conv(weights: &Weights) -> ClassConv {
    let (weight, bias) = layer(weights, "conv6");
    ClassConv::new(weight, bias)
}

/// A batch norm with its running statistics.
fn running_norm(weights: &Weights, name: &str) -> Affine {
    let statistic = |kind: &str| weights.get(&format!("{name}.{kind}"));
    let moments = Moments::running(statistic("running_mean"), statistic("running_var"));
    let (gamma, beta) = layer(weights, name);
    Affine::new(gamma, beta, &moments)
}

/// Extent after a stride-2 convolution.
fn halved(shape: Shape) -> Shape {
    shape.map(|extent| extent.div_ceil(2))
}

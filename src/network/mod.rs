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
pub mod axes;
pub mod inference;
pub mod layout;
pub mod prediction;
pub mod training;

pub use inference::Network;
pub use training::TrainingNetwork;

use crate::volume::Shape;

/// The three stages that halve the grid: convolution, batch norm and convolution of the residual block.
const DOWN: [(&str, &str); 3] = [("conv3", "resmodule1"), ("conv4", "resmodule2"), ("conv5", "resmodule3")];

/// The three stages that double it: transposed convolution and batch norm.
const UP: [(&str, &str); 3] = [("deconv1", "bnorm2"), ("deconv2", "bnorm3"), ("deconv3", "bnorm4")];

/// Extent after a stride-2 convolution.
fn halved(shape: Shape) -> Shape {
    shape.map(|extent| extent.div_ceil(2))
}

//! The operations of the network and of the clustering, one file each.
pub mod activations;
pub mod adam;
pub mod batch_norm;
pub mod class_conv;
pub mod conv3d;
pub mod conv_transpose3d;
pub mod correlation;
pub mod first_conv;
pub mod loss;
pub mod softmax;

//! One file per operation.
mod adam;
mod batch_norm;
mod class_conv;
mod conv3d;
mod conv_transpose3d;
mod correlation;
mod first_conv;
mod grids;
mod loss;
mod softmax;

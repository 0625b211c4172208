//! The parts of a training step on a GPU, activations in f32 or bf16. All sums are formed in an order that depends on the shapes
//! and the precision alone, so that a step gives the same bits each time.
//!
//! | part | what it has |
//! |---|---|
//! | [`batch`] | activations of several volumes |
//! | [`parameters`] | parameters, their gradient, and Adam |
//! | [`batch_norm`] | batch norm by the moments of the batch, and gradients to biases |
//! | [`loss`] | softmax and the loss |
//! | [`packing`], [`orders`] | weights in the order in which the kernels read them |
//! | [`convolution`] | convolutions and their gradients to the input |
//! | [`weight_gradient`] | gradients to the weights |
pub mod batch;
pub mod batch_norm;
pub mod convolution;
pub mod loss;
pub mod orders;
pub mod packing;
pub mod parameters;
pub mod weight_gradient;

pub use batch::Batch;
pub use parameters::Parameters;

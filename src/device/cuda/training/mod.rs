//! The parts of a training step on a GPU, in f32. All sums are formed in an order that depends on the shapes alone, so that a
//! step gives the same bits each time.
//!
//! | part | what it has |
//! |---|---|
//! | [`batch`] | activations of several volumes |
//! | [`parameters`] | parameters, their gradient, and Adam |
//! | [`batch_norm`] | batch norm by the moments of the batch, and gradients to biases |
//! | [`loss`] | softmax and the loss |
//! | [`packing`], [`places`] | weights in the order in which the kernels read them |
//! | [`convolution`] | convolutions and their gradients to the input |
//! | [`weight_gradient`] | gradients to the weights |
pub mod batch;
pub mod batch_norm;
pub mod convolution;
pub mod loss;
pub mod packing;
pub mod parameters;
pub mod places;
pub mod weight_gradient;

pub use batch::Batch;
pub use parameters::Parameters;

use cudarc::driver::DeviceRepr;

use super::Gpu;
use super::kernels::Launch;
use crate::error::Result;

/// A kernel of a file of `kernels/`, both by name.
#[derive(Clone, Copy)]
struct Named {
    file: &'static str,
    kernel: &'static str,
}

/// Launches a kernel.
///
/// # Errors
/// Where the driver does not take the kernel or refuses the launch.
///
/// # Safety
/// That of [`Gpu::launch`].
unsafe fn launch<A: DeviceRepr>(gpu: &Gpu, named: Named, launch: Launch, arguments: &A) -> Result<()> {
    let kernel = gpu.kernel(named.file, named.kernel)?;
    // SAFETY: the caller's promise.
    unsafe { gpu.launch(&kernel, launch, arguments) }
}

/// As many blocks of `threads` threads as give each of `items` one thread.
fn over(items: usize, threads: u32) -> Launch {
    Launch { grid: [items.div_ceil(threads as usize) as u32, 1, 1], threads }
}

//! Batch norm in training with the ReLU behind it, and gradients to biases: kernels/batch_norm.cu. The mathematics are in
//! [`crate::ops::batch_norm`].
use std::sync::Arc;

use cudarc::driver::DeviceRepr;

use super::batch::kernel_of;
use super::{Batch, Parameters};
use crate::device::cuda::Gpu;
use crate::device::cuda::kernels::Launch;
use crate::device::cuda::memory::Buffer;
use crate::error::Result;

const THREADS: u32 = 256;
/// Voxels whose sums one block of threads forms.
const CHUNK: usize = 512;
/// Channels of a block of threads that adds up the chunks.
const CHANNELS: usize = 4;
/// Stretches of 16 bytes that a thread norms.
const UNITS: usize = 4;
/// Values that a norm keeps for each channel.
const KEPT: usize = 6;

/// `BatchNorm` of kernels/batch_norm.cu.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct Arguments {
    y: u64,
    da: u64,
    skip: u64,
    output: u64,
    partial: u64,
    norm: u64,
    gamma: u64,
    beta: u64,
    running_mean: u64,
    running_variance: u64,
    d_gamma: u64,
    d_beta: u64,
    voxels: i64,
    channels: i32,
    chunks: i32,
}

// SAFETY: integers alone, without padding, in the layout of the kernels' parameter.
unsafe impl DeviceRepr for Arguments {}

/// A batch norm as it was in the forward pass.
pub struct Norm {
    /// Scale, shift, mean, inverse deviation, and two means of the backward pass: `[channels]` each.
    kept: Buffer,
}

impl Norm {
    /// The batch norm `name` by the moments of `y`; moves the running statistics.
    ///
    /// # Errors
    /// Where the GPU has too little memory or refuses a launch.
    pub fn of(parameters: &Parameters, name: &str, y: &Batch) -> Result<Self> {
        let kept = parameters.gpu.buffer(KEPT * y.channels * size_of::<f32>())?;
        let partial = partial_sums(y)?;
        let arguments = Arguments {
            partial: partial.address(),
            norm: kept.address(),
            gamma: parameters.value(&format!("{name}.weight")),
            beta: parameters.value(&format!("{name}.bias")),
            running_mean: parameters.value(&format!("{name}.running_mean")),
            running_variance: parameters.value(&format!("{name}.running_var")),
            ..arguments(y)
        };
        two_stages(&y.gpu, [moments_kernel(y), "batch_norm_finish"], &arguments)?;
        Ok(Norm { kept })
    }

    /// `skip + relu(norm(y))`
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub fn relu(&self, y: &Batch, skip: Option<&Batch>) -> Result<Batch> {
        let output = y.like()?;
        let arguments = Arguments {
            norm: self.kept.address(),
            skip: skip.map_or(0, Batch::address),
            output: output.address(),
            ..arguments(y)
        };
        run(&y.gpu, kernel_of(y, ["batch_norm_relu", "batch_norm_relu_bf16"]), over_units(y), &arguments)?;
        Ok(output)
    }

    /// `y` becomes its own gradient from that to the output of the ReLU, `da`, plus `skip` where a skip connection joins; the
    /// gradients of the norm's parameters go to `parameters`.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub fn backward(
        &self,
        parameters: &Parameters,
        name: &str,
        y: &Batch,
        da: &Batch,
        skip: Option<&Batch>,
    ) -> Result<()> {
        let partial = partial_sums(y)?;
        let arguments = Arguments {
            da: da.address(),
            skip: skip.map_or(0, Batch::address),
            partial: partial.address(),
            norm: self.kept.address(),
            d_gamma: parameters.slot(&format!("{name}.weight")),
            d_beta: parameters.slot(&format!("{name}.bias")),
            ..arguments(y)
        };
        let sums = match y.channels {
            32 => kernel_of(y, ["batch_norm_backward_sums_32", "batch_norm_backward_sums_32_bf16"]),
            _ => kernel_of(y, ["batch_norm_backward_sums_64", "batch_norm_backward_sums_64_bf16"]),
        };
        two_stages(&y.gpu, [sums, "batch_norm_backward_finish"], &arguments)?;
        run(
            &y.gpu,
            kernel_of(y, ["batch_norm_backward", "batch_norm_backward_bf16"]),
            over_units(y),
            &arguments,
        )
    }
}

/// The gradient to the bias of `layer`: `dy` summed over all voxels.
///
/// # Errors
/// Where the GPU has too little memory or refuses a launch.
pub fn bias_gradient(parameters: &Parameters, layer: &str, dy: &Batch) -> Result<()> {
    let partial = partial_sums(dy)?;
    let arguments = Arguments {
        partial: partial.address(),
        d_beta: parameters.slot(&format!("{layer}.bias")),
        ..arguments(dy)
    };
    two_stages(&dy.gpu, [moments_kernel(dy), "bias_finish"], &arguments)
}

fn moments_kernel(y: &Batch) -> &'static str {
    match y.channels {
        3 => "batch_norm_moments_3",
        32 => kernel_of(y, ["batch_norm_moments_32", "batch_norm_moments_32_bf16"]),
        _ => kernel_of(y, ["batch_norm_moments_64", "batch_norm_moments_64_bf16"]),
    }
}

/// A thread for so many times 16 bytes.
fn over_units(y: &Batch) -> Launch {
    Launch::over((y.len() * y.precision.size()).div_ceil(16 * UNITS), THREADS)
}

fn chunks(y: &Batch) -> usize {
    y.voxels().div_ceil(CHUNK)
}

fn arguments(y: &Batch) -> Arguments {
    Arguments {
        y: y.address(),
        voxels: y.voxels() as i64,
        channels: y.channels as i32,
        chunks: chunks(y) as i32,
        ..Arguments::default()
    }
}

fn partial_sums(y: &Batch) -> Result<Buffer> {
    y.gpu.buffer(chunks(y) * 2 * y.channels * size_of::<f64>())
}

/// Sums of each chunk, then what follows from all of them.
fn two_stages(gpu: &Arc<Gpu>, [sums, finish]: [&'static str; 2], arguments: &Arguments) -> Result<()> {
    run(gpu, sums, Launch { grid: [arguments.chunks as u32, 1, 1], threads: THREADS }, arguments)?;
    let blocks = (arguments.channels as usize).div_ceil(CHANNELS) as u32;
    run(gpu, finish, Launch { grid: [blocks, 1, 1], threads: THREADS }, arguments)
}

fn run(gpu: &Arc<Gpu>, kernel: &'static str, shape: Launch, arguments: &Arguments) -> Result<()> {
    // SAFETY: the arguments are those of all kernels of the file, and the batches have the sizes that they state.
    unsafe { gpu.launch_named(["batch_norm", kernel], shape, arguments) }
}

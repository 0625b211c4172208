//! Gradients to the weights of all convolutions: kernels/weight_gradient.cu.
use cudarc::driver::DeviceRepr;

use super::orders::Order;
use super::packing::{Packing, Turn};
use super::{Batch, Parameters};
use crate::device::cuda::extent;
use crate::device::cuda::kernels::Launch;
use crate::error::Result;

/// Voxels that a block of threads holds at a time.
const STEP: usize = 32;
/// Least voxels of a chunk.
const LEAST: usize = 256;
/// Most chunks of a gradient between many channels, and of one with two or three on one side.
const MOST_WIDE: usize = 64;
const MOST_THIN: usize = 512;
/// Threads of a block that adds the chunks.
const FINISH_THREADS: u32 = 512;
/// Positions of a 3x3x3 window.
const WINDOW: usize = 27;

/// `WeightGradient` of kernels/weight_gradient.cu.
#[derive(Clone, Copy)]
#[repr(C)]
struct Arguments {
    fine: u64,
    coarse: u64,
    partial: u64,
    turn: Turn,
    gradient: u64,
    fine_shape: [i32; 3],
    coarse_shape: [i32; 3],
    voxels: i32,
    chunk: i32,
    chunks: i32,
    count: i32,
}

// SAFETY: integers alone, without padding, in the layout of the kernels' parameter.
unsafe impl DeviceRepr for Arguments {}

/// `dw[k][a][b] = sum_o fine[stride * o + k - 1][a] * coarse[o][b]`
struct Sums<'a> {
    kernel: &'static str,
    fine: &'a Batch,
    coarse: &'a Batch,
    /// Positions k.
    taps: usize,
    /// Whether a block of threads has all positions.
    is_thin: bool,
    /// Of `[a]`.
    channels: usize,
    /// What turns the sums to the order of the weights; `None` where they stay in theirs.
    turn: Option<(Turn, Launch)>,
}

impl Sums<'_> {
    /// Adds them up and writes them to `gradient`.
    fn write(&self, gradient: u64) -> Result<()> {
        let Sums { fine, coarse, taps, turn, .. } = *self;
        let most = if self.is_thin { MOST_THIN } else { MOST_WIDE };
        let chunk = coarse.voxels().div_ceil(most).max(LEAST).next_multiple_of(STEP);
        let (chunks, count) = (coarse.voxels().div_ceil(chunk), taps * self.channels * coarse.channels);
        let partial = coarse.gpu.buffer(chunks * count * size_of::<f32>())?;
        let arguments = Arguments {
            fine: fine.address(),
            coarse: coarse.address(),
            partial: partial.address(),
            turn: turn.map_or(Turn::NONE, |(turn, _)| turn),
            gradient,
            fine_shape: extent(fine.shape),
            coarse_shape: extent(coarse.shape),
            voxels: coarse.voxels() as i32,
            chunk: chunk as i32,
            chunks: chunks as i32,
            count: count as i32,
        };
        let (blocks, threads) =
            if self.is_thin { (1, 32 * taps) } else { (taps, self.channels * coarse.channels / 16) };
        let shape = Launch { grid: [blocks as u32, chunks as u32, 1], threads: threads as u32 };
        let finish = match turn {
            Some((_, shape)) => ("weight_gradient_finish", shape),
            None => ("weight_gradient_finish_first", Launch::over(count, FINISH_THREADS)),
        };
        for (kernel, shape) in [(self.kernel, shape), finish] {
            let named = ["weight_gradient", kernel];
            // SAFETY: the arguments are those of all kernels of the file, and the sums have the sizes that they state.
            unsafe { coarse.gpu.launch_named(named, shape, &arguments) }?;
        }
        Ok(())
    }
}

/// Of a 3x3x3 convolution at stride 2, from its input and the gradient to its output.
///
/// # Errors
/// Those of all functions here: where the GPU has too little memory or refuses a launch.
pub fn halve(
    parameters: &Parameters,
    packing: &Packing,
    name: &str,
    finer: &Batch,
    dy: &Batch,
) -> Result<()> {
    let kernel = if finer.channels == 32 { "weight_gradient_halve_32" } else { "weight_gradient_halve_64" };
    let turn = Some(packing.turn(name, Order::Forward, FINISH_THREADS));
    let sums = Sums {
        kernel,
        fine: finer,
        coarse: dy,
        taps: WINDOW,
        is_thin: false,
        channels: finer.channels,
        turn,
    };
    sums.write(parameters.gradient_start())
}

/// Of a 3x3x3 convolution at stride 1.
///
/// # Errors
/// Those of [`halve`].
pub fn residual(parameters: &Parameters, packing: &Packing, name: &str, a: &Batch, dy: &Batch) -> Result<()> {
    let kernel = "weight_gradient_residual";
    let turn = Some(packing.turn(name, Order::Forward, FINISH_THREADS));
    let sums = Sums { kernel, fine: a, coarse: dy, taps: WINDOW, is_thin: false, channels: a.channels, turn };
    sums.write(parameters.gradient_start())
}

/// Of a transposed 4x4x4 convolution at stride 2.
///
/// # Errors
/// Those of [`halve`].
pub fn double(
    parameters: &Parameters,
    packing: &Packing,
    name: &str,
    coarse: &Batch,
    dy: &Batch,
) -> Result<()> {
    let kernel = if dy.channels == 32 { "weight_gradient_double_32" } else { "weight_gradient_double_64" };
    let turn = Some(packing.turn(name, Order::ToInput, FINISH_THREADS));
    let sums = Sums { kernel, fine: dy, coarse, taps: 64, is_thin: false, channels: dy.channels, turn };
    sums.write(parameters.gradient_start())
}

/// Of the last convolution, from its input and the gradient to the logits.
///
/// # Errors
/// Those of [`halve`].
pub fn classes(parameters: &Parameters, packing: &Packing, u1: &Batch, dy: &Batch) -> Result<()> {
    let kernel = "weight_gradient_classes";
    let turn = Some(packing.turn("conv6", Order::ToInput, FINISH_THREADS));
    let sums =
        Sums { kernel, fine: dy, coarse: u1, taps: WINDOW, is_thin: true, channels: dy.channels, turn };
    sums.write(parameters.gradient_start())
}

/// Of conv1 and conv2, the bias of conv1 included, from the voxels and the gradient to the output of conv2.
///
/// # Errors
/// Those of [`halve`].
pub fn first(parameters: &Parameters, packing: &Packing, x: &Batch, dy: &Batch) -> Result<()> {
    let folded = packing.folded_gradient()?;
    let kernel = "weight_gradient_first";
    let sums = Sums { kernel, fine: x, coarse: dy, taps: WINDOW, is_thin: true, channels: 2, turn: None };
    sums.write(folded.address())?;
    packing.unfold(parameters, &folded)
}

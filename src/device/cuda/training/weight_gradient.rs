//! Gradients to the weights of all convolutions: kernels/weight_gradient.cu.
use cudarc::driver::DeviceRepr;

use super::batch::kernel_of;
use super::orders::Order;
use super::packing::{Packing, Turn};
use super::{Batch, Parameters};
use crate::device::Precision;
use crate::device::cuda::extent;
use crate::device::cuda::kernels::Launch;
use crate::error::Result;
use crate::volume::Shape;

/// Voxels that a block of threads holds at a time.
const STEP: usize = 32;
/// Least voxels of a chunk.
const LEAST: usize = 256;
/// Most chunks of a gradient between many channels in f32, and of one with two or three on one side.
const MOST_WIDE: usize = 64;
const MOST_THIN: usize = 512;
/// The tile of the coarse grid that a block on tensor cores holds at a time, and the block's threads.
const TILE: Shape = [1, 4, 8];
const TILE_THREADS: usize = 128;
/// The multiprocessors of a large GPU (H100), which blocks on tensor cores are to fill.
const MULTIPROCESSORS: usize = 132;
/// Threads of a block that adds the chunks.
const FINISH_THREADS: u32 = 512;

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
    parts: i32,
    chunk: i32,
    chunks: i32,
    count: i32,
}

// SAFETY: integers alone, without padding, in the layout of the kernels' parameter.
unsafe impl DeviceRepr for Arguments {}

/// `dw[k][a][b] = sum_o fine[stride * o + k - 1][a] * coarse[o][b]`
struct Sums<'a> {
    /// For values in f32 and in bf16.
    kernels: [&'static str; 2],
    fine: &'a Batch,
    coarse: &'a Batch,
    /// Positions k along an axis.
    window: usize,
    /// Whether fine has two or three channels, in f32 always, and a block of threads all positions.
    is_thin: bool,
    /// Of `[a]`.
    channels: usize,
    /// What turns the sums to the order of the weights; `None` where they stay in theirs.
    turn: Option<(Turn, Launch)>,
}

/// How the coarse grid is divided among blocks of threads.
struct Division {
    /// Voxels, or tiles.
    parts: usize,
    /// Parts of a block.
    chunk: usize,
    /// Blocks that have the same chunk.
    blocks: usize,
    threads: usize,
}

impl Sums<'_> {
    /// Adds them up and writes them to `gradient`.
    fn write(&self, gradient: u64) -> Result<()> {
        let Sums { fine, coarse, turn, .. } = *self;
        let (kernel, Division { parts, chunk, blocks, threads }) = (self.kernel(), self.division());
        let (chunks, count) = (parts.div_ceil(chunk), self.taps() * self.channels * coarse.channels);
        let partial = coarse.gpu.buffer(chunks * count * size_of::<f32>())?;
        let arguments = Arguments {
            fine: fine.address(),
            coarse: coarse.address(),
            partial: partial.address(),
            turn: turn.map_or(Turn::NONE, |(turn, _)| turn),
            gradient,
            fine_shape: extent(fine.shape),
            coarse_shape: extent(coarse.shape),
            parts: parts as i32,
            chunk: chunk as i32,
            chunks: chunks as i32,
            count: count as i32,
        };
        let shape = Launch { grid: [blocks as u32, chunks as u32, 1], threads: threads as u32 };
        let finish = match turn {
            Some((_, shape)) => ("weight_gradient_finish", shape),
            None => ("weight_gradient_finish_first", Launch::over(count, FINISH_THREADS)),
        };
        for (kernel, shape) in [(kernel, shape), finish] {
            let named = ["weight_gradient", kernel];
            // SAFETY: the arguments are those of all kernels of the file, and the sums have the sizes that they state.
            unsafe { coarse.gpu.launch_named(named, shape, &arguments) }?;
        }
        Ok(())
    }

    fn taps(&self) -> usize {
        self.window.pow(3)
    }

    fn kernel(&self) -> &'static str {
        let precision = self.coarse.precision;
        assert_eq!(self.fine.precision, if self.is_thin { Precision::F32 } else { precision });
        kernel_of(self.coarse, self.kernels)
    }

    fn division(&self) -> Division {
        let (window, coarse, parts) = (self.window, self.coarse, self.coarse.voxels());
        let chunk = |most| parts.div_ceil(most).max(LEAST).next_multiple_of(STEP);
        if self.is_thin {
            Division { parts, chunk: chunk(MOST_THIN), blocks: 1, threads: 32 * self.taps() }
        } else if coarse.precision == Precision::F32 {
            let threads = self.channels * coarse.channels / 16;
            Division { parts, chunk: chunk(MOST_WIDE), blocks: self.taps(), threads }
        } else {
            // The blocks that a multiprocessor holds, as the kernels' launch bounds say.
            let resident = match (self.channels, window) {
                (32, _) => 4,
                (_, 3) => 3,
                _ => 2,
            };
            let tiles = [0, 1, 2].map(|axis| coarse.shape[axis].div_ceil(TILE[axis]));
            let (parts, blocks) = (coarse.n * tiles.iter().product::<usize>(), window.pow(2));
            let least = LEAST / TILE.iter().product::<usize>();
            let chunk = parts.div_ceil(resident * MULTIPROCESSORS / blocks).max(least);
            Division { parts, chunk, blocks, threads: TILE_THREADS }
        }
    }
}

/// Of a 3x3x3 convolution at stride 2, from its input and the gradient to its output.
///
/// # Errors
/// Those of all functions here: where the GPU has too little memory or refuses a launch.
///
/// # Panics
/// As all functions here do, if the two are not of one precision, or of f16; voxels and the gradient to logits are in f32
/// whatever the other is in.
pub fn halve(
    parameters: &Parameters,
    packing: &Packing,
    name: &str,
    finer: &Batch,
    dy: &Batch,
) -> Result<()> {
    let kernels = match finer.channels {
        32 => ["weight_gradient_halve_32", "weight_gradient_halve_32_bf16"],
        _ => ["weight_gradient_halve_64", "weight_gradient_halve_64_bf16"],
    };
    let turn = Some(packing.turn(name, Order::Forward, FINISH_THREADS));
    let sums =
        Sums { kernels, fine: finer, coarse: dy, window: 3, is_thin: false, channels: finer.channels, turn };
    sums.write(parameters.gradient_start())
}

/// Of a 3x3x3 convolution at stride 1.
///
/// # Errors
/// Those of [`halve`].
///
/// # Panics
/// As [`halve`].
pub fn residual(parameters: &Parameters, packing: &Packing, name: &str, a: &Batch, dy: &Batch) -> Result<()> {
    let kernels = ["weight_gradient_residual", "weight_gradient_residual_bf16"];
    let turn = Some(packing.turn(name, Order::Forward, FINISH_THREADS));
    let sums = Sums { kernels, fine: a, coarse: dy, window: 3, is_thin: false, channels: a.channels, turn };
    sums.write(parameters.gradient_start())
}

/// Of a transposed 4x4x4 convolution at stride 2.
///
/// # Errors
/// Those of [`halve`].
///
/// # Panics
/// As [`halve`].
pub fn double(
    parameters: &Parameters,
    packing: &Packing,
    name: &str,
    coarse: &Batch,
    dy: &Batch,
) -> Result<()> {
    let kernels = match dy.channels {
        32 => ["weight_gradient_double_32", "weight_gradient_double_32_bf16"],
        _ => ["weight_gradient_double_64", "weight_gradient_double_64_bf16"],
    };
    let turn = Some(packing.turn(name, Order::ToInput, FINISH_THREADS));
    let sums = Sums { kernels, fine: dy, coarse, window: 4, is_thin: false, channels: dy.channels, turn };
    sums.write(parameters.gradient_start())
}

/// Of the last convolution, from its input and the gradient to the logits.
///
/// # Errors
/// Those of [`halve`].
///
/// # Panics
/// As [`halve`].
pub fn classes(parameters: &Parameters, packing: &Packing, u1: &Batch, dy: &Batch) -> Result<()> {
    let kernels = ["weight_gradient_classes", "weight_gradient_classes_bf16"];
    let turn = Some(packing.turn("conv6", Order::ToInput, FINISH_THREADS));
    let sums = Sums { kernels, fine: dy, coarse: u1, window: 3, is_thin: true, channels: dy.channels, turn };
    sums.write(parameters.gradient_start())
}

/// Of conv1 and conv2, the bias of conv1 included, from the voxels and the gradient to the output of conv2.
///
/// # Errors
/// Those of [`halve`].
///
/// # Panics
/// As [`halve`].
pub fn first(parameters: &Parameters, packing: &Packing, x: &Batch, dy: &Batch) -> Result<()> {
    let folded = packing.folded_gradient()?;
    let kernels = ["weight_gradient_first", "weight_gradient_first_bf16"];
    let sums = Sums { kernels, fine: x, coarse: dy, window: 3, is_thin: true, channels: 2, turn: None };
    sums.write(folded.address())?;
    packing.unfold(parameters, &folded)
}

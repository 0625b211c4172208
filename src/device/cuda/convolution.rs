//! What all convolutions of `kernels/` are launched with: one structure of arguments, and one tile of the output for a block
//! of threads.
use std::sync::Arc;

use bytemuck::Pod;
use cudarc::driver::DeviceRepr;

use super::kernels::{Kernel, Launch};
use super::memory::Buffer;
use super::transfer::Fetched;
use super::{Extent, Gpu, extent};
use crate::device::Precision;
use crate::error::Result;
use crate::ops::batch_norm::Affine;
use crate::volume::Shape;

/// One volume on a GPU: `[z][y][x][channel]`.
#[derive(Debug)]
pub struct Grid {
    /// Extent.
    pub shape: Shape,
    /// Channels a voxel.
    pub channels: usize,
    buffer: Buffer,
}

impl Grid {
    /// A volume whose values of `size` bytes a kernel is going to write.
    ///
    /// # Errors
    /// Where the GPU has no memory for it.
    pub fn new(gpu: &Arc<Gpu>, shape: Shape, channels: usize, size: usize) -> Result<Self> {
        let values = shape.iter().product::<usize>() * channels;
        Ok(Grid { shape, channels, buffer: gpu.buffer(values * size)? })
    }

    /// A volume with `values`, `[z][y][x][channel]`.
    ///
    /// # Errors
    /// Where the GPU has no memory for it, or the copy fails.
    pub fn upload<T: Pod>(gpu: &Arc<Gpu>, shape: Shape, values: &[T]) -> Result<Self> {
        let channels = values.len() / shape.iter().product::<usize>().max(1);
        Ok(Grid { shape, channels, buffer: gpu.upload(values)? })
    }

    /// As [`upload`](Self::upload), each value rounded to `precision`.
    ///
    /// # Errors
    /// As [`upload`](Self::upload).
    pub fn upload_in(gpu: &Arc<Gpu>, precision: Precision, shape: Shape, values: &[f32]) -> Result<Self> {
        let channels = values.len() / shape.iter().product::<usize>().max(1);
        Ok(Grid { shape, channels, buffer: gpu.upload(&precision.encode(values))? })
    }

    /// The values of type `T` as all that was launched before leaves them, without waiting for them; whole planes at a
    /// time.
    ///
    /// # Errors
    /// Where the host has no memory for them, or the driver refuses the copy.
    pub fn fetch<T: Pod>(self) -> Result<Fetched> {
        let [depth, rows, columns] = self.shape;
        let plane = rows * columns * self.channels * size_of::<T>();
        Gpu::fetch(self.buffer, depth * plane, plane)
    }

    /// Where it lies on the device.
    pub fn address(&self) -> u64 {
        self.buffer.address()
    }

    /// The values, `[z][y][x][channel]`.
    ///
    /// # Errors
    /// Where the copy or a kernel before it failed.
    pub fn download<T: Pod>(&self, gpu: &Gpu) -> Result<Vec<T>> {
        let mut values = vec![T::zeroed(); self.shape.iter().product::<usize>() * self.channels];
        gpu.download(&self.buffer, &mut values)?;
        Ok(values)
    }

    /// As [`download`](Self::download), of values in `precision`.
    ///
    /// # Errors
    /// As [`download`](Self::download).
    pub fn download_in(&self, gpu: &Gpu, precision: Precision) -> Result<Vec<f32>> {
        let mut bytes = vec![0; self.shape.iter().product::<usize>() * self.channels * precision.size()];
        gpu.download(&self.buffer, &mut bytes)?;
        Ok(precision.decode(&bytes))
    }
}

/// `Convolution` of kernels/common/grid.cuh.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Arguments {
    pub(crate) input: u64,
    pub(crate) weights: u64,
    pub(crate) prologue: u64,
    pub(crate) epilogue: u64,
    pub(crate) skip: u64,
    pub(crate) output: u64,
    pub(crate) input_shape: Extent,
    pub(crate) output_shape: Extent,
}

// SAFETY: integers alone, without padding, in the layout of the kernels' parameter.
unsafe impl DeviceRepr for Arguments {}

/// A kernel with the tile of voxels that one of its blocks of threads computes.
#[derive(Clone, Copy)]
pub struct Plan {
    /// The file, without its ending.
    pub file: &'static str,
    /// The kernel in it.
    pub kernel: &'static str,
    /// Voxels of the tile.
    pub tile: Shape,
    /// Threads of a block.
    pub threads: u32,
    /// Whether the tile is one of the input's voxels, and eight blocks compute the eight parities of the output over it.
    pub doubles: bool,
}

impl Plan {
    /// Blocks for all tiles of so many volumes, one volume after the other along z.
    pub(super) fn launch(&self, input: Shape, output: Shape, volumes: usize) -> Launch {
        let over = if self.doubles { input } else { output };
        let [z, y, x] = [0, 1, 2].map(|axis| over[axis].div_ceil(self.tile[axis]) as u32);
        let grid = [if self.doubles { 8 * x } else { x }, y, volumes as u32 * z];
        Launch { grid, threads: self.threads }
    }
}

/// A convolution, ready to run on a GPU.
#[derive(Clone)]
pub struct Convolution {
    gpu: Arc<Gpu>,
    kernel: Kernel,
    plan: Plan,
    weights: Arc<Buffer>,
    prologue: Option<Arc<Buffer>>,
    epilogue: Arc<Buffer>,
}

impl Convolution {
    /// `weights` as the kernel reads them ([`packing`](super::packing)); `epilogue` is the bias of each channel, or their
    /// scales and then their shifts; `prologue` the latter for the input.
    ///
    /// # Errors
    /// Where the GPU has no memory for them, or the driver does not take the kernel.
    pub fn new(
        gpu: &Arc<Gpu>,
        plan: Plan,
        weights: &[u8],
        prologue: Option<&Affine>,
        epilogue: &[f32],
    ) -> Result<Self> {
        let shared = |values: &[f32]| gpu.upload(values).map(Arc::new);
        Ok(Convolution {
            gpu: gpu.clone(),
            kernel: gpu.kernel(plan.file, plan.kernel)?,
            plan,
            weights: Arc::new(gpu.upload(weights)?),
            prologue: prologue.map(|affine| shared(&flat(affine))).transpose()?,
            epilogue: shared(epilogue)?,
        })
    }

    /// The same by another kernel of the file.
    ///
    /// # Errors
    /// Where the driver does not take the kernel.
    pub fn by(&self, kernel: &'static str) -> Result<Self> {
        Ok(Convolution { kernel: self.gpu.kernel(self.plan.file, kernel)?, ..self.clone() })
    }

    /// Computes all of `output`, from `input` and, where the kernel adds one, from `skip`, which may be the output itself.
    ///
    /// # Errors
    /// Where the driver refuses the launch.
    pub fn run(&self, input: &Grid, skip: Option<&Grid>, output: &Grid) -> Result<()> {
        let arguments = Arguments {
            skip: skip.map_or(0, Grid::address),
            output: output.address(),
            ..self.arguments(input.address(), input.shape, output.shape)
        };
        // SAFETY: the arguments are those of all convolutions, and the grids have the extents that they state.
        unsafe { self.launch(input.shape, output.shape, &arguments) }
    }

    /// Those of an output and a skip connection that are nowhere.
    pub(crate) fn arguments(&self, input: u64, input_shape: Shape, output_shape: Shape) -> Arguments {
        Arguments {
            input,
            weights: self.weights.address(),
            prologue: self.prologue.as_ref().map_or(0, |buffer| buffer.address()),
            epilogue: self.epilogue.address(),
            skip: 0,
            output: 0,
            input_shape: extent(input_shape),
            output_shape: extent(output_shape),
        }
    }

    /// Launches the kernel for all tiles of `output`, or of `input` where the plan's tiles are the input's.
    ///
    /// # Errors
    /// Where the driver refuses the launch.
    ///
    /// # Safety
    /// `arguments` are those of the kernel, and all memory that they name is there.
    pub(crate) unsafe fn launch<A: DeviceRepr>(
        &self,
        input: Shape,
        output: Shape,
        arguments: &A,
    ) -> Result<()> {
        let launch = self.plan.launch(input, output, 1);
        // SAFETY: the caller's promise.
        unsafe { self.gpu.launch(&self.kernel, launch, arguments) }
    }
}

/// Scales, then shifts.
fn flat(affine: &Affine) -> Vec<f32> {
    [&affine.scale[..], &affine.shift[..]].concat()
}

/// `flat(affine)` with the bias of the convolution before it in the shift.
pub fn with_bias(affine: &Affine, bias: &[f32]) -> Vec<f32> {
    let shifted = affine.shift.iter().zip(&affine.scale).zip(bias);
    let shifted = shifted
        .map(|((shift, scale), bias)| (f64::from(*shift) + f64::from(*scale) * f64::from(*bias)) as f32);
    affine.scale.iter().copied().chain(shifted).collect()
}

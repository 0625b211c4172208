//! The network at inference on a GPU: every layer one launch, every grid kept until its skip connection ends.
use std::sync::Arc;

use ndarray::ArrayView3;

use super::engine::{Plane, Wanted};
use super::{DOWN, RESIDUAL, UP, first_conv, halved, layer, running_norm};
use crate::device::Precision;
use crate::device::cuda::Gpu;
use crate::device::cuda::convolution::{Convolution, Grid};
use crate::device::cuda::pinned::HostBuffer;
use crate::error::Result;
use crate::ops::class_conv::{self, CLASSES};
use crate::ops::cuda::classes;
use crate::ops::first_conv::COUT as FIRST_CHANNELS;
use crate::volume::Shape;
use crate::weights::Weights;

/// Device memory that the network takes per voxel that it reads, in bytes: the voxel, its logits and its class, and of
/// activations c1, two grids of half resolution, and what lies below them.
pub fn bytes_per_voxel(precision: Precision) -> u64 {
    const VALUES: u64 = 32 + 64 * 2 / 8 + 4;
    4 * (1 + CLASSES as u64) + 1 + VALUES * precision.size() as u64
}

/// Channels behind the first layer.
const CHANNELS: usize = 64;

/// A network ready to run on a GPU.
#[derive(Clone)]
pub struct CudaNetwork {
    gpu: Arc<Gpu>,
    precision: Precision,
    first: Convolution,
    down: Vec<Down>,
    up: Vec<Convolution>,
    classes: Convolution,
}

#[derive(Clone)]
struct Down {
    halve: Convolution,
    residual: Convolution,
}

/// A block on its way through a network. Its device memory is free for the next block already: that comes behind it.
pub struct Pending {
    /// Voxels of a plane.
    plane: usize,
    wanted: Wanted,
    result: HostBuffer,
    /// Stays until the GPU has read it.
    _voxels: HostBuffer,
}

impl Pending {
    /// Waits for the result: `sink` gets what was wanted plane by plane, z upwards.
    ///
    /// # Errors
    /// Where the GPU fails.
    pub fn finish(self, sink: &mut dyn FnMut(usize, Plane)) -> Result<()> {
        let plane = self.plane.max(1);
        match self.wanted {
            Wanted::Logits => {
                let planes = self.result.values::<[f32; CLASSES]>()?.chunks_exact(plane);
                planes.enumerate().for_each(|(z, plane)| sink(z, Plane::Logits(plane)));
            }
            Wanted::Classes => {
                let planes = self.result.values::<u8>()?.chunks_exact(plane);
                planes.enumerate().for_each(|(z, plane)| sink(z, Plane::Classes(plane)));
            }
        }
        Ok(())
    }
}

impl CudaNetwork {
    /// Packs the weights for the kernels and sends them to the GPU.
    ///
    /// # Errors
    /// Where the GPU has no memory for them, or the driver does not take a kernel.
    pub fn new(gpu: &Arc<Gpu>, precision: Precision, weights: &Weights) -> Result<Self> {
        let down = DOWN.iter().zip(RESIDUAL).map(|((name, halve, module), residual)| {
            let (weight, bias) = layer(weights, name);
            let norm = running_norm(weights, &format!("{module}.batchnorm_module"));
            let (residual_weight, residual_bias) = layer(weights, &format!("{module}.conv_module"));
            Ok(Down {
                halve: halve.on_gpu(gpu, precision, weight, bias, None)?,
                residual: residual.on_gpu(gpu, precision, residual_weight, residual_bias, Some(&norm))?,
            })
        });
        let up = UP.iter().map(|(name, double, norm)| {
            let (weight, bias) = layer(weights, name);
            double.on_gpu(gpu, precision, weight, bias, &running_norm(weights, norm))
        });
        let (class_weight, class_bias) = layer(weights, "conv6");
        Ok(CudaNetwork {
            gpu: gpu.clone(),
            precision,
            first: first_conv(weights).on_gpu(gpu, precision, &running_norm(weights, "bnorm1"))?,
            down: down.collect::<Result<_>>()?,
            up: up.collect::<Result<_>>()?,
            classes: class_conv::on_gpu(gpu, precision, class_weight, class_bias)?,
        })
    }

    /// Launches the work on a block of normalised voxels and the copy of what is wanted, and waits for none of it.
    ///
    /// # Errors
    /// Where the GPU has too little memory or refuses.
    pub fn start(&self, block: ArrayView3<f32>, wanted: Wanted) -> Result<Pending> {
        let (_, rows, columns) = block.dim();
        let voxels = self.gpu.stage(block.as_standard_layout().as_slice().unwrap_or_default())?;
        let logits = self.launch(Grid::send(&self.gpu, block.dim().into(), &voxels)?)?;
        let result = match wanted {
            Wanted::Logits => logits.fetch::<f32>(&self.gpu)?,
            Wanted::Classes => classes::classes(&self.gpu, &logits)?.fetch(&self.gpu)?,
        };
        Ok(Pending { plane: rows * columns, wanted, result, _voxels: voxels })
    }

    /// Launches all layers; the logits are there when the GPU has done them.
    fn launch(&self, x: Grid) -> Result<Grid> {
        let mut grid = self.grid(x.shape, FIRST_CHANNELS)?;
        self.first.run(&x, None, &grid)?;
        let mut skips = Vec::new();
        for down in &self.down {
            let coarser = self.halve(down, &grid)?;
            skips.push(std::mem::replace(&mut grid, coarser));
        }
        for (up, skip) in self.up.iter().zip(skips.into_iter().rev()) {
            up.run(&grid, Some(&skip), &skip)?;
            grid = skip;
        }
        let logits = Grid::new(&self.gpu, grid.shape, CLASSES, size_of::<f32>())?;
        self.classes.run(&grid, None, &logits)?;
        Ok(logits)
    }

    /// One halving stage with its residual block.
    fn halve(&self, down: &Down, finer: &Grid) -> Result<Grid> {
        let shape = halved(finer.shape);
        let (h, coarser) = (self.grid(shape, CHANNELS)?, self.grid(shape, CHANNELS)?);
        down.halve.run(finer, None, &h)?;
        down.residual.run(&h, Some(&h), &coarser)?;
        Ok(coarser)
    }

    fn grid(&self, shape: Shape, channels: usize) -> Result<Grid> {
        Grid::new(&self.gpu, shape, channels, self.precision.size())
    }
}

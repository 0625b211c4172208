//! The network at inference on a GPU: every layer one launch, every grid kept until its skip connection ends.
use std::sync::Arc;

use super::engine::Wanted;
use super::enlarged::Enlarged;
use super::pending::Pending;
use super::{DOWN, RESIDUAL, UP, first_conv, halved, layer, needed, running_norm};
use crate::device::Precision;
use crate::device::cuda::Gpu;
use crate::device::cuda::convolution::{Convolution, Grid};
use crate::device::cuda::volume::DeviceVolume;
use crate::error::Result;
use crate::grey::Grey;
use crate::ops::class_conv::{self, CLASSES, Part};
use crate::ops::conv_transpose3d;
use crate::ops::cuda::places::{Places, Target};
use crate::ops::enlargement::Enlargement;
use crate::ops::first_conv::{self, COUT as FIRST_CHANNELS, Voxels};
use crate::tiles::Block;
use crate::volume::{Ranges, Shape};
use crate::weights::Weights;

/// Device memory that the network takes per voxel that it reads, in bytes: the voxel, its logits or probabilities, its class, and of
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
    first: first_conv::OnGpu,
    down: Vec<Down>,
    up: Vec<conv_transpose3d::OnGpu>,
    classes: class_conv::OnGpu,
}

#[derive(Clone)]
struct Down {
    halve: Convolution,
    residual: Convolution,
}

/// What of the whole volume stays on the GPU.
#[derive(Clone, Copy)]
pub struct Kept<'a> {
    /// Where the block puts its own.
    pub whole: Target<'a>,
    /// Whether a lower class that is there already stays: that of another network.
    pub keeps_lowest: bool,
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

    /// A volume for classes on this GPU.
    ///
    /// # Errors
    /// Where it has no memory for it.
    pub fn keep(&self, shape: Shape) -> Result<DeviceVolume<u8>> {
        DeviceVolume::new(&self.gpu, shape)
    }

    /// The memory to enlarge logits on this GPU, and, if they are to stay, for the classes.
    ///
    /// # Errors
    /// Where it has no memory for that beside the network.
    pub fn enlarged(&self, enlargement: &Enlargement, keeps_classes: bool) -> Result<Enlarged> {
        Enlarged::new(&self.gpu, self.precision, enlargement, keeps_classes)
    }

    /// Gives back the memory of blocks that are done.
    ///
    /// # Errors
    /// Where something that was launched before failed.
    pub fn give_back(&self) -> Result<()> {
        self.gpu.give_back()
    }

    /// Launches the work on a block and the copy of what is wanted of it, and waits for none of it.
    ///
    /// # Errors
    /// Where the GPU has too little memory or refuses.
    pub fn start(&self, grey: &Grey, block: &Block, wanted: Wanted, kept: Option<Kept>) -> Result<Pending> {
        let u1 = self.launch(Voxels::send(&self.gpu, grey)?, &block.part())?;
        Pending::start(&self.gpu, block, wanted, |alone| self.classify(&u1, block, alone, kept))
    }

    /// The last layer, of what the block answers for.
    fn classify(&self, u1: &Grid, block: &Block, alone: Target, kept: Option<Kept>) -> Result<()> {
        let whole = kept.map_or(Target::None, |kept| kept.whole);
        let keeps_lowest = kept.is_some_and(|kept| kept.keeps_lowest);
        let places = Places { alone, whole: (whole, block.start), keeps_lowest };
        self.classes.run(u1, &Part { first: block.margin(), shape: block.shape, places })
    }

    /// Launches all layers but the last one, the decoder's as far as it takes for a part of the result.
    fn launch(&self, voxels: Voxels, result: &Ranges) -> Result<Grid> {
        let shape = voxels.shape();
        let mut grid = self.grid(shape, FIRST_CHANNELS)?;
        self.first.run(&voxels, &grid)?;
        // Their memory is for the next block's as soon as the first layer has read them.
        drop(voxels);
        let mut skips = Vec::new();
        for down in &self.down {
            let coarser = self.halve(down, &grid)?;
            skips.push(std::mem::replace(&mut grid, coarser));
        }
        let parts = needed::of_decoder(result, shape);
        for ((up, skip), part) in self.up.iter().zip(skips.into_iter().rev()).zip(&parts) {
            up.run(&grid, &skip, &skip, part)?;
            grid = skip;
        }
        Ok(grid)
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

//! The network at inference, on whichever device there is.
use ndarray::ArrayView3;

use super::cuda::{self, CudaNetwork};
use super::inference::{self, Network};
use crate::device::Device;
use crate::error::Result;
use crate::memory;
use crate::ops::class_conv::CLASSES;
use crate::tiles;
use crate::volume::Shape;
use crate::weights::Weights;

/// What a block's result is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Probabilities too: 12 bytes a voxel.
    Logits,
    /// Classes alone: 1 byte a voxel, where the device finds them itself.
    Classes,
}

/// One plane of a block.
#[derive(Clone, Copy)]
pub enum Plane<'a> {
    /// `[y][x][class]`
    Logits(&'a [[f32; CLASSES]]),
    /// `[y][x]`
    Classes(&'a [u8]),
}

/// A network that is ready to run on its device.
#[derive(Clone)]
pub enum Engine {
    /// On the CPU.
    Cpu(Network),
    /// On a GPU.
    Cuda(CudaNetwork),
}

impl Engine {
    /// Makes the network ready; of several GPUs, on the first.
    ///
    /// # Errors
    /// Where a GPU has no memory for the weights, or its driver does not take the kernels.
    pub fn new(device: &Device, weights: &Weights) -> Result<Self> {
        Ok(match device {
            Device::Cpu => Engine::Cpu(Network::new(weights)),
            Device::Cuda { gpu, precision, .. } => Engine::Cuda(CudaNetwork::new(gpu, *precision, weights)?),
        })
    }

    /// The logits of a block of normalised voxels: `sink` gets them plane by plane, z upwards, as `[y][x][class]`.
    ///
    /// # Errors
    /// Where a GPU has too little memory or fails.
    pub fn logits(
        &self,
        block: ArrayView3<f32>,
        sink: &mut dyn FnMut(usize, &[[f32; CLASSES]]),
    ) -> Result<()> {
        match self {
            Engine::Cpu(network) => {
                network.logits(block, sink);
                Ok(())
            }
            Engine::Cuda(network) => network.start(block, Wanted::Logits)?.finish(&mut |z, plane| {
                if let Plane::Logits(plane) = plane {
                    sink(z, plane);
                }
            }),
        }
    }
}

/// The bytes that a network may take on the device, of several GPUs the first, and how many it takes for each voxel that it reads. On the CPU
/// it may take half of the free memory: the results need the other half.
///
/// # Errors
/// Where the driver of a GPU does not say how much memory is free.
pub fn memory(device: &Device) -> Result<(u64, u64)> {
    const UNKNOWN: u64 = 4 << 30;
    Ok(match device {
        Device::Cpu => (memory::available().unwrap_or(UNKNOWN) / 2, inference::BYTES_PER_VOXEL),
        Device::Cuda { gpu, precision, .. } => {
            (gpu.free_memory()? / 10 * 9, cuda::bytes_per_voxel(*precision))
        }
    })
}

/// Blocks whose network fits the device.
///
/// # Errors
/// Those of [`memory()`].
pub fn default_block(device: &Device, shape: Shape) -> Result<Shape> {
    let (bytes, bytes_per_voxel) = memory(device)?;
    Ok(tiles::block_for_memory(shape, bytes, bytes_per_voxel))
}

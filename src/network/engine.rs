//! The network at inference, on whichever device there is.
use super::cuda::{CudaNetwork, bytes_per_voxel};
use super::enlarged;
use super::inference::{self, Network};
use crate::device::Device;
use crate::error::Result;
use crate::grey::Grey;
use crate::memory;
use crate::ops::class_conv::CLASSES;
use crate::ops::contrast::Contrast;
use crate::ops::cuda;
use crate::scale::Sampling;
use crate::tiles::{self, Block, HALO, Rows};
use crate::volume::Shape;
use crate::weights::Weights;

/// What a block's result is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Logits: 12 bytes a voxel.
    Logits,
    /// Probabilities and classes: 13 bytes a voxel, where the device finds them itself.
    Probabilities,
    /// Classes alone: 1 byte a voxel, where the device finds them itself.
    Classes,
    /// Nothing but what stays on the GPU.
    Kept,
}

/// Planes of what a block answers for.
#[derive(Clone, Copy)]
pub enum Planes<'a> {
    /// `[z][y][x][class]`
    Logits(Rows<'a, [f32; CLASSES]>),
    /// `[z][y][x][class]`; the classes of the same voxels come behind.
    Probabilities(Rows<'a, [f32; CLASSES]>),
    /// `[z][y][x]`
    Classes(Rows<'a, u8>),
    /// They stay on the GPU.
    Kept,
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

    /// The logits of a whole volume, `[z][y][x][class]`.
    ///
    /// # Errors
    /// Where a GPU has too little memory or fails.
    pub fn logits(&self, voxels: &Grey) -> Result<Vec<[f32; CLASSES]>> {
        let mut logits = Vec::with_capacity(voxels.shape().iter().product());
        let block = Block::whole(voxels.shape());
        match self {
            Engine::Cpu(network) => {
                let mut keep = |_, plane: &[_]| logits.extend_from_slice(plane);
                network.logits(voxels.normalised().view(), &block.part(), &mut keep);
            }
            Engine::Cuda(network) => {
                network.start(voxels, &block, Wanted::Logits, None)?.finish(&mut |_, planes| {
                    if let Planes::Logits(rows) = planes {
                        rows.iter().for_each(|row| logits.extend_from_slice(row));
                    }
                })?;
            }
        }
        Ok(logits)
    }
}

/// The bytes that a network may take on the device, of several GPUs the first, and how many it takes for each voxel that it
/// reads. On the CPU it may take half of the free memory: the results need the other half.
///
/// # Errors
/// Where the driver of a GPU does not say how much memory is free.
pub fn memory(device: &Device) -> Result<(u64, u64)> {
    const UNKNOWN: u64 = 4 << 30;
    Ok(match device {
        Device::Cpu => (memory::available().unwrap_or(UNKNOWN) / 2, inference::BYTES_PER_VOXEL),
        Device::Cuda { gpu, precision, .. } => (gpu.free_memory()? / 10 * 9, bytes_per_voxel(*precision)),
    })
}

/// Blocks whose network fits the device, for a volume of `shape` voxels that it sees on the grid of `sampling`, its local contrast
/// being normalised; several GPUs get as much to do each as blocks allow. A single GPU keeps the classes of the whole volume as well.
///
/// # Errors
/// Those of [`memory()`].
pub fn default_block(
    device: &Device,
    shape: Shape,
    sampling: Sampling,
    contrast: Option<Contrast>,
) -> Result<Shape> {
    let each = device.each();
    let kept = kept(device, shape, sampling)?;
    let memories = each.iter().map(memory).collect::<Result<Vec<_>>>()?;
    let (bytes, a_voxel) = memories.into_iter().min().unwrap_or((0, 1));
    let (bytes, grid) = (bytes.saturating_sub(kept), sampling.shape(shape));
    let mut most = bytes / a_voxel;
    loop {
        let block = tiles::best_block(grid, most, each.len());
        let read = [0, 1, 2].map(|axis| (block[axis] + 2 * HALO).min(grid[axis]));
        // On the CPU contrast is normalised before the network begins, in less memory than that takes.
        let beside = match (device, contrast) {
            (Device::Cuda { .. }, Some(contrast)) => cuda::contrast::bytes(read, grid, contrast),
            _ => 0,
        };
        let all = read.iter().product::<usize>() as u64 * a_voxel + beside;
        if beside == 0 || all <= bytes || most == 0 {
            return Ok(block);
        }
        most = (most as f64 * (bytes as f64 / all as f64)) as u64;
    }
}

/// Bytes of what a single GPU keeps of the whole volume beside the network.
fn kept(device: &Device, shape: Shape, sampling: Sampling) -> Result<u64> {
    Ok(match device {
        Device::Cuda { gpu, others, precision } if others.is_empty() => match sampling {
            Sampling::STORED => shape.iter().map(|&extent| extent as u64).product(),
            _ => enlarged::bytes(gpu, *precision, shape, sampling.shape(shape))?.unwrap_or(0),
        },
        _ => 0,
    })
}

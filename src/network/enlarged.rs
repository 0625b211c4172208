//! A volume that the network sees reduced, on the only GPU that runs it: the logits of the small grid stay there, and what is
//! wanted of the volume leaves it range of planes by range of planes, the GPU being one ahead of the host.
use std::ops::Range;
use std::sync::Arc;

use super::cuda::bytes_per_voxel;
use super::engine::{Planes, Wanted};
use super::pending::Pending;
use crate::device::Precision;
use crate::device::cuda::Gpu;
use crate::device::cuda::convolution::Grid;
use crate::device::cuda::volume::DeviceVolume;
use crate::error::{Error, Result};
use crate::ops::class_conv::CLASSES;
use crate::ops::cuda;
use crate::ops::cuda::places::{Places, Target};
use crate::ops::enlargement::Enlargement;
use crate::tiles::{self, ALIGNMENT, Block, HALO};
use crate::volume::Shape;

/// Voxels of a range, where it has planes enough: 4 MiB of classes, 48 MiB of probabilities.
const RANGE: usize = 4 << 20;
/// Planes of a range, as a grid of blocks of threads may have 65,535 along z.
const MOST_PLANES: usize = 1 << 15;

/// Device memory for [`Enlarged`] and a range of planes, in bytes, for a volume of `shape` voxels in a grid of `boxes`; `None` where
/// the network, in `precision`, would not have as much left, or too little for the least block.
///
/// # Errors
/// Where the driver does not say how much memory is free.
pub fn bytes(gpu: &Gpu, precision: Precision, shape: Shape, boxes: Shape) -> Result<Option<u64>> {
    let voxels = |shape: Shape| shape.iter().product::<usize>() as u64;
    let values = voxels(cuda::enlargement::padded(boxes)) + voxels(range(shape));
    let classes = voxels(shape) + voxels(range(shape));
    let bytes = classes + size_of::<[f32; CLASSES]>() as u64 * values;
    let least = voxels(boxes.map(|extent| extent.min(2 * HALO + ALIGNMENT)));
    let for_network = bytes.max(least * bytes_per_voxel(precision));
    Ok((bytes + for_network <= gpu.free_memory()? / 10 * 9).then_some(bytes))
}

/// The extent of the first range of planes of a volume.
fn range([depth, height, width]: Shape) -> Shape {
    let planes = (RANGE / (height * width).max(1)).clamp(1, MOST_PLANES).next_multiple_of(ALIGNMENT);
    [planes.min(depth), height, width]
}

/// The logits of the small grid, for one axis order at a time, and the way from them to the volume.
pub struct Enlarged {
    gpu: Arc<Gpu>,
    shape: Shape,
    enlargement: cuda::enlargement::Enlargement,
    /// Where the network puts the logits of its blocks.
    pub logits: Grid,
    /// Of the volume, the lowest that any axis order finds.
    pub classes: Option<DeviceVolume<u8>>,
}

impl Enlarged {
    /// Takes the memory beside that of a network in `precision`; that for the classes of the volume if they are to stay.
    ///
    /// # Errors
    /// Where the GPU has not so much, or none beside it for the network.
    pub fn new(
        gpu: &Arc<Gpu>,
        precision: Precision,
        enlargement: &Enlargement,
        keeps_classes: bool,
    ) -> Result<Self> {
        let shape = enlargement.shape();
        bytes(gpu, precision, shape, enlargement.boxes())?.ok_or_else(|| {
            Error::DeviceMemory(format!(
                "beside all logits of {shape:?} voxels the network has too little memory on {gpu}"
            ))
        })?;
        let enlargement = cuda::enlargement::Enlargement::new(gpu, enlargement)?;
        let logits = enlargement.grid()?;
        let classes = keeps_classes.then(|| DeviceVolume::new(gpu, shape)).transpose()?;
        Ok(Enlarged { gpu: gpu.clone(), shape, enlargement, logits, classes })
    }

    /// Enlarges the logits: `sink` gets what is wanted, some planes at a time. `keeps_lowest`: the classes that stay
    /// are the lower ones of those that are there and these.
    ///
    /// # Errors
    /// Where the GPU has too little memory or fails.
    pub fn enlarge(
        &self,
        wanted: Wanted,
        keeps_lowest: bool,
        sink: &mut dyn FnMut(&Block, Range<usize>, Planes),
    ) -> Result<()> {
        let mut ahead: Option<Pending> = None;
        for range in tiles::blocks(self.shape, range(self.shape)) {
            let next = self.start(&range, wanted, keeps_lowest)?;
            if let Some(last) = ahead.replace(next) {
                finish(last, sink)?;
            }
        }
        ahead.map_or(Ok(()), |last| finish(last, sink))
    }

    /// Launches the work on a range of planes.
    fn start(&self, range: &Block, wanted: Wanted, keeps_lowest: bool) -> Result<Pending> {
        let planes = range.start[0]..range.start[0] + range.shape[0];
        let whole = (self.classes.as_ref().map_or(Target::None, Target::Classes), range.start);
        Pending::start(&self.gpu, range, wanted, |alone| {
            self.enlargement.run(&self.logits, planes, &Places { alone, whole, keeps_lowest })
        })
    }
}

/// Takes over a range of planes.
fn finish(range: Pending, sink: &mut dyn FnMut(&Block, Range<usize>, Planes)) -> Result<()> {
    let block = range.block;
    range.finish(&mut |z, planes| sink(&block, z, planes))
}

//! The result for a block on its way from a GPU, which works on while the host does something else.
use std::ops::Range;
use std::sync::Arc;

use bytemuck::Pod;

use super::engine::{Planes, Wanted};
use crate::device::cuda::Gpu;
use crate::device::cuda::convolution::Grid;
use crate::device::cuda::transfer::Fetched;
use crate::device::cuda::volume::DeviceVolume;
use crate::error::Result;
use crate::ops::class_conv::CLASSES;
use crate::ops::cuda::places::Target;
use crate::tiles::{Block, Rows};

/// A block on its way through a GPU. But for the result its device memory is free for the next block already: that comes behind
/// it.
pub struct Pending {
    pub(super) block: Block,
    result: Found,
}

/// What is on its way.
enum Found {
    Logits(Fetched),
    /// And classes.
    Probabilities(Fetched, Fetched),
    Classes(Fetched),
    /// A byte that comes when the block is done.
    Kept(Fetched),
}

impl Pending {
    /// `find` launches what finds the values or classes of a block; behind that comes the copy of what is wanted. Waits for
    /// none of it.
    ///
    /// # Errors
    /// Those of `find`, and where the GPU has too little memory or refuses.
    pub fn start(
        gpu: &Arc<Gpu>,
        block: &Block,
        wanted: Wanted,
        find: impl FnOnce(Target) -> Result<()>,
    ) -> Result<Self> {
        let values = || Grid::new(gpu, block.shape, CLASSES, size_of::<f32>());
        let result = match wanted {
            Wanted::Logits => {
                let logits = values()?;
                find(Target::Logits(&logits))?;
                Found::Logits(logits.fetch::<f32>()?)
            }
            Wanted::Probabilities => {
                let (probabilities, classes) = (values()?, DeviceVolume::new(gpu, block.shape)?);
                find(Target::Probabilities(&probabilities, &classes))?;
                Found::Probabilities(probabilities.fetch::<f32>()?, classes.fetch()?)
            }
            Wanted::Classes => {
                let classes = DeviceVolume::new(gpu, block.shape)?;
                find(Target::Classes(&classes))?;
                Found::Classes(classes.fetch()?)
            }
            Wanted::Kept => {
                find(Target::None)?;
                Found::Kept(Gpu::fetch(gpu.zeros(1)?, 1, 1)?)
            }
        };
        Ok(Pending { block: *block, result })
    }

    /// Waits for the result: `sink` gets what was wanted, some planes at a time, z of the volume upwards; the classes of all
    /// planes behind their probabilities.
    ///
    /// # Errors
    /// Where the GPU fails.
    pub fn finish(self, sink: &mut dyn FnMut(Range<usize>, Planes)) -> Result<()> {
        let block = self.block;
        match self.result {
            Found::Logits(logits) => in_planes(&block, logits, &mut |z, rows| sink(z, Planes::Logits(rows))),
            Found::Probabilities(probabilities, classes) => {
                in_planes(&block, probabilities, &mut |z, rows| sink(z, Planes::Probabilities(rows)))?;
                in_planes(&block, classes, &mut |z, rows| sink(z, Planes::Classes(rows)))
            }
            Found::Classes(classes) => {
                in_planes(&block, classes, &mut |z, rows| sink(z, Planes::Classes(rows)))
            }
            Found::Kept(done) => {
                done.for_each::<u8>(&mut |_| ())?;
                sink(block.start[0]..block.start[0] + block.shape[0], Planes::Kept);
                Ok(())
            }
        }
    }
}

/// Waits for the values of the voxels that a block answers for: `take` gets those of some planes of the volume at a time.
fn in_planes<T: Pod>(
    block: &Block,
    values: Fetched,
    take: &mut dyn FnMut(Range<usize>, Rows<T>),
) -> Result<()> {
    let [_, rows, columns] = block.shape;
    let mut z = block.start[0];
    values.for_each::<T>(&mut |values| {
        let first = z;
        z += values.len() / (rows * columns).max(1);
        take(first..z, block.rows_of(values));
    })
}

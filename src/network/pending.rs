//! The result for a block on its way from a GPU, which works on while the host does something else.
use std::ops::Range;
use std::sync::Arc;

use super::engine::{Planes, Wanted};
use crate::device::cuda::Gpu;
use crate::device::cuda::convolution::Grid;
use crate::device::cuda::transfer::Fetched;
use crate::device::cuda::volume::DeviceVolume;
use crate::error::Result;
use crate::ops::class_conv::CLASSES;
use crate::ops::cuda::places::Target;
use crate::tiles::Block;

/// A block on its way through a GPU. But for the result its device memory is free for the next block already: that comes behind
/// it.
pub struct Pending {
    pub(super) block: Block,
    wanted: Wanted,
    result: Fetched,
}

impl Pending {
    /// `find` launches what finds the logits or classes of a block; behind that comes the copy of what is wanted. Waits for
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
        let result = match wanted {
            Wanted::Logits => {
                let logits = Grid::new(gpu, block.shape, CLASSES, size_of::<f32>())?;
                find(Target::Logits(&logits))?;
                logits.fetch::<f32>()?
            }
            Wanted::Classes => {
                let classes = DeviceVolume::new(gpu, block.shape)?;
                find(Target::Classes(&classes))?;
                classes.fetch()?
            }
            Wanted::Kept => {
                find(Target::None)?;
                // A byte that comes when the block is done.
                Gpu::fetch(gpu.zeros(1)?, 1, 1)?
            }
        };
        Ok(Pending { block: *block, wanted, result })
    }

    /// Waits for the result: `sink` gets what was wanted, some planes at a time, z of the volume upwards.
    ///
    /// # Errors
    /// Where the GPU fails.
    pub fn finish(self, sink: &mut dyn FnMut(Range<usize>, Planes)) -> Result<()> {
        let Block { start: [first, ..], shape: [depth, rows, columns], .. } = self.block;
        let plane = (rows * columns).max(1);
        let mut z = first..first;
        let mut next = |values: usize| {
            z = z.end..z.end + values / plane;
            z.clone()
        };
        match self.wanted {
            Wanted::Logits => self.result.for_each::<[f32; CLASSES]>(&mut |values| {
                sink(next(values.len()), Planes::Logits(self.block.rows_of(values)));
            }),
            Wanted::Classes => self.result.for_each::<u8>(&mut |values| {
                sink(next(values.len()), Planes::Classes(self.block.rows_of(values)));
            }),
            Wanted::Kept => {
                self.result.for_each::<u8>(&mut |_| ())?;
                sink(first..first + depth, Planes::Kept);
                Ok(())
            }
        }
    }
}

//! Every block of a volume through every network. While a GPU works on a block, the CPU reads the next one, puts it behind the
//! first, and takes over the result of the first while the GPU works on the next.
use super::cuda::{Kept, Pending};
use super::engine::{Engine, Plane, Wanted};
use crate::device::cuda::volume::DeviceVolume;
use crate::error::{Error, Result};
use crate::grey::Grey;
use crate::tiles::{self, Block};
use crate::volume::Shape;

/// What is done with every block.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    /// All networks, on one device.
    pub networks: &'a [Engine],
    /// What becomes of each.
    pub wanted: Wanted,
    /// Where a GPU keeps the lowest classes that the networks find.
    pub kept: Option<&'a DeviceVolume<u8>>,
}

/// Gives the voxels of a region (start, extent).
pub type Read<'a> = dyn FnMut(Shape, Shape) -> Result<Grey> + 'a;
/// Gets a block, the number of the network, and of what the block answers for the plane z of the volume.
pub type Sink<'a> = dyn FnMut(&Block, usize, usize, Plane) + 'a;

/// Every block through every network. Where a GPU has less memory than a block takes, blocks are halved from there on.
///
/// # Errors
/// Those of `read`, and where a GPU has too little memory for the least block or fails.
pub fn run(job: Job, shape: Shape, block: Shape, read: &mut Read, sink: &mut Sink) -> Result<()> {
    let mut most = block;
    // What is to be done, the last one first, and by which networks it is done.
    let mut todo: Vec<_> = tiles::blocks(shape, block).into_iter().rev().map(|block| (block, 0)).collect();
    let mut pipe = Pipe { job, sink, ahead: None };
    while let Some((block, done)) = todo.pop() {
        if (0..3).any(|axis| block.shape[axis] > most[axis].next_multiple_of(tiles::ALIGNMENT)) {
            todo.extend(tiles::parts(shape, &block, most).into_iter().rev().map(|part| (part, done)));
            continue;
        }
        let mut voxels = read(block.read_start, block.read_shape)?;
        if let [Engine::Cpu(_), ..] = job.networks {
            voxels = voxels.into_normalised().into();
        }
        for i in done..job.networks.len() {
            match pipe.put(&voxels, block, i) {
                Err(Error::DeviceMemory(message)) => {
                    let least = || Error::invalid(format!("the least block is too large: {message}"));
                    most = tiles::halved(block.shape).ok_or_else(least)?;
                    tracing::debug!("blocks of {most:?} voxels in place of {:?}: {message}", block.shape);
                    todo.push((block, i));
                    break;
                }
                result => result?,
            }
        }
    }
    pipe.finish()
}

/// The way through one device, on which a GPU has one block more than the CPU has taken over.
struct Pipe<'a, 'b> {
    job: Job<'a>,
    sink: &'a mut Sink<'b>,
    /// The number of the network, and what the GPU does with it.
    ahead: Option<(usize, Pending)>,
}

impl Pipe<'_, '_> {
    /// Puts a block in for network `i`; where the device has too little memory, the block has come to nothing.
    fn put(&mut self, voxels: &Grey, block: Block, i: usize) -> Result<()> {
        match &self.job.networks[i] {
            Engine::Cpu(network) => {
                network.logits(voxels.normalised().view(), &mut |z, plane| {
                    if let Some(at) = block.answers_for(z) {
                        (self.sink)(&block, i, at, Plane::Logits(block.rows_within(plane)));
                    }
                });
                Ok(())
            }
            Engine::Cuda(network) => {
                let kept = self.job.kept.map(|classes| Kept { classes, keeps_lowest: i > 0 });
                let next = network.start(voxels, &block, self.job.wanted, kept)?;
                self.finish()?;
                self.ahead = Some((i, next));
                Ok(())
            }
        }
    }

    /// Takes over what the GPU still has.
    fn finish(&mut self) -> Result<()> {
        let Some((i, pending)) = self.ahead.take() else { return Ok(()) };
        let block = pending.block;
        pending.finish(&mut |z, plane| (self.sink)(&block, i, z, plane))
    }
}

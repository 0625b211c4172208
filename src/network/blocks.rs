//! Every block of a volume through every network. While a GPU works on a block, the CPU reads the next one, puts it behind the
//! first, and takes over the result of the first while the GPU works on the next.
use ndarray::{Array3, ArrayView3};

use super::cuda::Pending;
use super::engine::{Engine, Plane, Wanted};
use crate::error::{Error, Result};
use crate::tiles::{self, Block};
use crate::volume::Shape;

/// Gives the normalised voxels of a region (start, extent).
pub type Read<'a> = dyn FnMut(Shape, Shape) -> Result<Array3<f32>> + 'a;
/// Gets a block, the number of the network, and of its result the plane z of what the block read.
pub type Sink<'a> = dyn FnMut(&Block, usize, usize, Plane) + 'a;

/// Every block through every network. Where a GPU has less memory than a block takes, blocks are halved from there on.
///
/// # Errors
/// Those of `read`, and where a GPU has too little memory for the least block or fails.
pub fn run(
    (networks, wanted): (&[Engine], Wanted),
    shape: Shape,
    block: Shape,
    read: &mut Read,
    sink: &mut Sink,
) -> Result<()> {
    let mut most = block;
    // What is to be done, the last one first, and by which networks it is done.
    let mut todo: Vec<_> = tiles::blocks(shape, block).into_iter().rev().map(|block| (block, 0)).collect();
    let mut pipe = Pipe { wanted, sink, ahead: None };
    while let Some((block, done)) = todo.pop() {
        if (0..3).any(|axis| block.shape[axis] > most[axis].next_multiple_of(tiles::ALIGNMENT)) {
            todo.extend(tiles::parts(shape, &block, most).into_iter().rev().map(|part| (part, done)));
            continue;
        }
        let voxels = read(block.read_start, block.read_shape)?;
        for (i, network) in networks.iter().enumerate().skip(done) {
            match pipe.put(network, voxels.view(), block, i) {
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
    wanted: Wanted,
    sink: &'a mut Sink<'b>,
    /// The block, the number of its network, and what the GPU does with it.
    ahead: Option<(Block, usize, Pending)>,
}

impl Pipe<'_, '_> {
    /// Puts a block in for network `i`; where the device has too little memory, the block has come to nothing.
    fn put(&mut self, network: &Engine, voxels: ArrayView3<f32>, block: Block, i: usize) -> Result<()> {
        match network {
            Engine::Cpu(network) => {
                network.logits(voxels, &mut |z, plane| (self.sink)(&block, i, z, Plane::Logits(plane)));
                Ok(())
            }
            Engine::Cuda(network) => {
                let next = network.start(voxels, self.wanted)?;
                self.finish()?;
                self.ahead = Some((block, i, next));
                Ok(())
            }
        }
    }

    /// Takes over what the GPU still has.
    fn finish(&mut self) -> Result<()> {
        let Some((block, i, pending)) = self.ahead.take() else { return Ok(()) };
        pending.finish(&mut |z, plane| (self.sink)(&block, i, z, plane))
    }
}

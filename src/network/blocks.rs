//! Every block of a volume through every network. Each device takes the next block when it has room for one. While a GPU works on
//! a block, the CPU reads the next one, puts it behind the first, and takes over the result of the first while the GPU works on
//! the next.
use std::ops::Range;
use std::panic;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;

use super::cuda::Kept;
use super::engine::{Engine, Planes, Wanted};
use super::pending::Pending;
use crate::error::{Error, Result};
use crate::grey::Grey;
use crate::ops::cuda::places::Target;
use crate::tiles::{self, Block};
use crate::volume::Shape;

/// What is done with every block.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    /// All networks, on each device.
    pub networks: &'a [&'a [Engine]],
    /// What becomes of each.
    pub wanted: Wanted,
    /// Where a GPU keeps the lowest classes that the networks find, or the logits of one; it has to be the only GPU.
    pub kept: Option<Target<'a>>,
}

/// Gives the voxels of a region (start, extent).
pub type Read<'a, 'v> = dyn FnMut(Shape, Shape) -> Result<Grey<'v>> + Send + 'a;
/// Gets a block, the number of the network, and of what the block answers for some planes of the volume.
pub type Sink<'a> = dyn FnMut(&Block, usize, Range<usize>, Planes) + Send + 'a;

/// Every block through every network. Where a GPU has less memory than a block takes, it halves blocks from there on.
///
/// # Errors
/// Those of `read`, and where a GPU has too little memory for the least block or fails: the first of all.
pub fn run(job: Job, shape: Shape, block: Shape, read: &mut Read, sink: &mut Sink) -> Result<()> {
    let mut todo: Vec<_> = tiles::blocks(shape, block).into_iter().rev().collect();
    // Each device has its first block before any of them takes a second one.
    let firsts: Vec<_> = job.networks.iter().map(|networks| (*networks, todo.pop())).collect();
    let work = Work {
        job,
        shape,
        block,
        todo: Mutex::new(todo),
        read: Mutex::new(read),
        sink: Mutex::new(sink),
        failed: OnceLock::new(),
    };
    let Some((first, others)) = firsts.split_first() else { return Ok(()) };
    thread::scope(|scope| {
        let work = &work;
        let others: Vec<_> = others.iter().map(|other| scope.spawn(move || work.drive(*other))).collect();
        work.drive(*first);
        others.into_iter().for_each(|other| other.join().unwrap_or_else(|panic| panic::resume_unwind(panic)));
    });
    work.failed.into_inner().map_or(Ok(()), Err)
}

/// What all devices share.
struct Work<'a, 'v> {
    job: Job<'a>,
    shape: Shape,
    block: Shape,
    /// Blocks that no device has taken, the last one first.
    todo: Mutex<Vec<Block>>,
    read: Mutex<&'a mut Read<'a, 'v>>,
    sink: Mutex<&'a mut Sink<'a>>,
    /// The first error, at which all devices stop.
    failed: OnceLock<Error>,
}

impl Work<'_, '_> {
    /// Keeps one device busy, from its first block on, until nothing is left or one has failed.
    fn drive(&self, (networks, first): (&[Engine], Option<Block>)) {
        let parts = first.map(|block| (block, 0)).into_iter().collect();
        let pipe = Pipe { work: self, networks, most: self.block, parts, ahead: None };
        if let Err(error) = pipe.run() {
            // A later error follows from the first, or says no more than it.
            self.failed.set(error).ok();
        }
    }

    fn sink(&self, block: &Block, i: usize, z: Range<usize>, planes: Planes) {
        lock(&self.sink)(block, i, z, planes);
    }
}

/// Who panicked with the lock makes the whole work panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The way through one device, on which a GPU has one block more than the CPU has taken over.
struct Pipe<'a, 'b, 'v> {
    work: &'a Work<'b, 'v>,
    networks: &'a [Engine],
    /// What the device's memory suffices for.
    most: Shape,
    /// The first block, and parts of blocks for which it did not suffice, the last one first, and by how many networks each is
    /// done. No other device takes them: the results of one part have to come in the order of the networks, and this device may
    /// still have one.
    parts: Vec<(Block, usize)>,
    /// The number of the network, and what the GPU does with it.
    ahead: Option<(usize, Pending)>,
}

impl Pipe<'_, '_, '_> {
    fn run(mut self) -> Result<()> {
        while let Some((block, done)) = self.next() {
            if (0..3).any(|axis| block.shape[axis] > self.most[axis].next_multiple_of(tiles::ALIGNMENT)) {
                let parts = tiles::parts(self.work.shape, &block, self.most);
                self.parts.extend(parts.into_iter().rev().map(|part| (part, done)));
                continue;
            }
            let mut voxels = lock(&self.work.read)(block.read_start, block.read_shape)?;
            if let [Engine::Cpu(_), ..] = self.networks {
                voxels = voxels.made_ready();
            }
            self.put_all(&voxels, block, done)?;
        }
        self.finish()
    }

    /// A block and by how many networks it is done; `None` where all are taken or a device has failed.
    fn next(&mut self) -> Option<(Block, usize)> {
        if self.work.failed.get().is_some() {
            return None;
        }
        self.parts.pop().or_else(|| lock(&self.work.todo).pop().map(|block| (block, 0)))
    }

    /// Puts a block in for all networks but those that have done it, or notes that it is too large.
    fn put_all(&mut self, voxels: &Grey, block: Block, done: usize) -> Result<()> {
        for i in done..self.networks.len() {
            match self.put(voxels, block, i) {
                Err(Error::DeviceMemory(message)) => {
                    let least = || Error::invalid(format!("the least block is too large: {message}"));
                    self.most = tiles::halved(block.shape).ok_or_else(least)?;
                    let most = self.most;
                    tracing::debug!("blocks of {most:?} voxels in place of {:?}: {message}", block.shape);
                    self.parts.push((block, i));
                    if let Engine::Cuda(network) = &self.networks[i] {
                        network.give_back()?;
                    }
                    break;
                }
                result => result?,
            }
        }
        Ok(())
    }

    /// Puts a block in for network `i`; where the device has too little memory, the block has come to nothing.
    fn put(&mut self, voxels: &Grey, block: Block, i: usize) -> Result<()> {
        let Work { job, .. } = self.work;
        match &self.networks[i] {
            Engine::Cpu(network) => {
                network.logits(voxels.normalised().view(), &block.part(), &mut |z, plane| {
                    let z = block.start[0] + z;
                    self.work.sink(&block, i, z..z + 1, Planes::Logits(block.rows_of(plane)));
                });
                Ok(())
            }
            Engine::Cuda(network) => {
                let kept = job.kept.map(|whole| Kept { whole, keeps_lowest: i > 0 });
                let next = network.start(voxels, &block, job.wanted, kept)?;
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
        pending.finish(&mut |z, planes| self.work.sink(&block, i, z, planes))
    }
}

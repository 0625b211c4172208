//! Blocks with a halo: what the network has to see of a volume to give a part of it the probabilities that it
//! would have in the whole.
//!
//! An output voxel depends on at most 37 voxels before it and 30 after it on each axis. A block that is read from
//! a multiple of 8, with 40 voxels before and 32 after it (clipped at the volume's faces, where the network's own
//! zero padding applies), therefore gives the bits of the whole volume: nothing is averaged, nothing depends
//! on the size of the blocks.
use crate::volume::Shape;

/// The network halves the grid three times: blocks begin at multiples of this.
pub const ALIGNMENT: usize = 8;
/// Voxels read before a block.
pub const HALO_BEFORE: usize = 40;
/// Voxels read after a block.
pub const HALO_AFTER: usize = 32;

/// One block of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// First voxel that the block answers for.
    pub start: Shape,
    /// Extent that it answers for.
    pub shape: Shape,
    /// First voxel that it reads.
    pub read_start: Shape,
    /// Extent that it reads.
    pub read_shape: Shape,
}

impl Block {
    /// The block that is the whole volume.
    pub fn whole(shape: Shape) -> Self {
        Block { start: [0; 3], shape, read_start: [0; 3], read_shape: shape }
    }

    /// The volume's plane that plane `z` of what the block reads is, where the block answers for it.
    pub fn answers_for(&self, z: usize) -> Option<usize> {
        let at = z + self.read_start[0];
        (self.start[0]..self.start[0] + self.shape[0]).contains(&at).then_some(at)
    }

    /// How far what it answers for lies behind what it reads.
    pub fn margin(&self) -> Shape {
        [0, 1, 2].map(|axis| self.start[axis] - self.read_start[axis])
    }

    /// What the block answers for in a `plane`, `[y][x]`, of all that it reads.
    pub fn rows_within<'a, T>(&self, plane: &'a [T]) -> Rows<'a, T> {
        let [_, skip_y, skip_x] = self.margin();
        let pitch = self.read_shape[2];
        Rows { values: &plane[(skip_y * pitch + skip_x).min(plane.len())..], pitch, width: self.shape[2] }
    }

    /// What the block answers for, in a `plane` of nothing else.
    pub fn rows_of<'a, T>(&self, plane: &'a [T]) -> Rows<'a, T> {
        Rows { values: plane, pitch: self.shape[2], width: self.shape[2] }
    }
}

/// The rows of one plane that a block answers for.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a, T> {
    values: &'a [T],
    /// From one row to the next.
    pitch: usize,
    width: usize,
}

impl<'a, T> Rows<'a, T> {
    /// Row `y`, from the block's first on.
    pub fn row(&self, y: usize) -> &'a [T] {
        &self.values[y * self.pitch..][..self.width]
    }
}

/// Blocks of at most `block` voxels (rounded up to the alignment) that cover `volume` once, in memory order.
pub fn blocks(volume: Shape, block: Shape) -> Vec<Block> {
    parts(volume, &Block::whole(volume), block)
}

/// As [`blocks`] for what one block of the volume answers for.
pub fn parts(volume: Shape, of: &Block, block: Shape) -> Vec<Block> {
    let block = block.map(|extent| extent.max(1).next_multiple_of(ALIGNMENT));
    let end = [0, 1, 2].map(|axis| of.start[axis] + of.shape[axis]);
    let starts = |axis: usize| (of.start[axis]..end[axis]).step_by(block[axis]);
    let mut found = Vec::new();
    for z in starts(0) {
        for y in starts(1) {
            found.extend(starts(2).map(|x| with_halo(volume, [z, y, x], block, end)));
        }
    }
    found
}

fn with_halo(volume: Shape, start: Shape, block: Shape, end: Shape) -> Block {
    let axes = [0, 1, 2];
    let end = axes.map(|axis| (start[axis] + block[axis]).min(end[axis]));
    let read_start = start.map(|first| first.saturating_sub(HALO_BEFORE));
    let read_end = axes.map(|axis| (end[axis] + HALO_AFTER).min(volume[axis]));
    Block {
        start,
        shape: axes.map(|axis| end[axis] - start[axis]),
        read_start,
        read_shape: axes.map(|axis| read_end[axis] - read_start[axis]),
    }
}

/// Half of a block, along its longest axis; `None` where it is one of the least.
pub fn halved(block: Shape) -> Option<Shape> {
    let axis = (0..3).max_by_key(|axis| block[*axis])?;
    let mut half = block;
    half[axis] = (block[axis] / 2).next_multiple_of(ALIGNMENT);
    (half[axis] < block[axis]).then_some(half)
}

/// The extent of cubic blocks whose network fits `bytes` of memory, given what the network takes per voxel.
pub fn block_for_memory(volume: Shape, bytes: u64, bytes_per_voxel: u64) -> Shape {
    let fits = |extent: usize| {
        let read = volume.map(|n| (extent + HALO_BEFORE + HALO_AFTER).min(n) as u64);
        read.iter().product::<u64>().saturating_mul(bytes_per_voxel) <= bytes
    };
    let longest = volume.iter().copied().max().unwrap_or(1).next_multiple_of(ALIGNMENT);
    let extent = (ALIGNMENT..=longest).rev().step_by(ALIGNMENT).find(|extent| fits(*extent));
    [extent.unwrap_or(ALIGNMENT); 3]
}

/// Blocks of at most `block` voxels with which `devices` devices have done the volume as soon as may be: of all cuts into at most
/// two parts for each device that with which the busiest device reads the fewest voxels, in slabs where others are no better.
pub fn shared_block(volume: Shape, block: Shape, devices: usize) -> Shape {
    let most = 2 * devices;
    let mut best = block;
    let mut least = busiest(&blocks(volume, block), devices);
    for [x, y, z] in cuts(most) {
        let extent = |axis: usize, parts: usize| match parts {
            1 => block[axis],
            _ => block[axis].min(volume[axis].div_ceil(parts)),
        };
        let cut = [extent(0, z), extent(1, y), extent(2, x)];
        let reads = busiest(&blocks(volume, cut), devices);
        if reads < least {
            (best, least) = (cut, reads);
        }
    }
    best
}

/// All ways to cut x, y and z into at most `most` parts in all, z first.
fn cuts(most: usize) -> impl Iterator<Item = Shape> {
    let x = 1..=most;
    x.flat_map(move |x| (1..=most / x).flat_map(move |y| (1..=most / (x * y)).map(move |z| [x, y, z])))
}

/// How many voxels the busiest of the devices reads where each takes the next block when it has read the fewest.
fn busiest(blocks: &[Block], devices: usize) -> u64 {
    let mut reads = vec![0; devices];
    for block in blocks {
        let voxels: u64 = block.read_shape.iter().map(|&extent| extent as u64).product();
        if let Some(least) = reads.iter_mut().min() {
            *least += voxels;
        }
    }
    reads.into_iter().max().unwrap_or(0)
}

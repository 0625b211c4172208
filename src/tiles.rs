//! Blocks with a halo: what the network has to see of a volume to give a part of it the probabilities that it
//! would have in the whole.
//!
//! An output voxel depends on at most 37 voxels before it and 30 after it on each axis: by how many depends on its place in the
//! grid that is halved three times. The first voxel of a block, at a multiple of 8, looks back at 30, and the last one, before a
//! multiple of 8, ahead at 23. A block that is read from 32 voxels before to 32 after it (clipped at the volume's faces, where the
//! network's own zero padding applies) therefore gives the bits of the whole volume: nothing is averaged, nothing depends on the
//! size of the blocks. Of the voxels after it 24 would do, were it not for the rounding of Winograd's algorithm
//! ([`HALVE`](crate::ops::winograd::HALVE)), which looks one voxel further on each of the three grids, at up to 30 in all.
use crate::volume::{Ranges, Shape};

/// The network halves the grid three times: blocks begin at multiples of this.
pub const ALIGNMENT: usize = 8;
/// Voxels read before a block, and after it.
pub const HALO: usize = 32;

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

    /// How far what it answers for lies behind what it reads.
    pub fn margin(&self) -> Shape {
        [0, 1, 2].map(|axis| self.start[axis] - self.read_start[axis])
    }

    /// What it answers for, in what it reads.
    pub fn part(&self) -> Ranges {
        let margin = self.margin();
        [0, 1, 2].map(|axis| margin[axis]..margin[axis] + self.shape[axis])
    }

    /// The rows of `planes`, `[z][y][x]`, of what the block answers for.
    pub fn rows_of<'a, T>(&self, planes: &'a [T]) -> Rows<'a, T> {
        Rows { values: planes, width: self.shape[2] }
    }
}

/// The rows of some planes that a block answers for.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a, T> {
    values: &'a [T],
    width: usize,
}

impl<'a, T> Rows<'a, T> {
    /// Row `y`, counted from the first plane's first on.
    pub fn row(&self, y: usize) -> &'a [T] {
        &self.values[y * self.width..][..self.width]
    }

    /// All rows, plane after plane.
    pub fn iter(&self) -> impl Iterator<Item = &'a [T]> {
        self.values.chunks_exact(self.width.max(1))
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
    let read_start = start.map(|first| first.saturating_sub(HALO));
    let read_end = axes.map(|axis| (end[axis] + HALO).min(volume[axis]));
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

/// The blocks of which none reads more than `most` voxels and with which `devices` devices, each taking the next one, have done the
/// volume soonest: those that read the fewest voxels in all, several devices having as much to do each as may be, slabs before others. The
/// least ones where all others read more.
pub fn best_block(volume: Shape, most: u64, devices: usize) -> Shape {
    let [along_z, along_y, along_x] = volume.map(cuts);
    let mut best = ([ALIGNMENT; 3], u64::MAX);
    for x in &along_x {
        for y in &along_y {
            for z in &along_z {
                let fits = z.longest * y.longest * x.longest <= most;
                let rounds = (z.parts * y.parts * x.parts).div_ceil(devices as u64);
                // The busiest device's voxels, were all blocks as large as the mean of them.
                let reads = z.read * y.read * x.read * rounds / (z.parts * y.parts * x.parts);
                if fits && reads < best.1 {
                    best = ([z.extent, y.extent, x.extent], reads);
                }
            }
        }
    }
    best.0
}

/// One way to cut an axis into parts of equal extent.
struct Cut {
    extent: usize,
    parts: u64,
    /// Voxels that the parts read in all.
    read: u64,
    /// And the one that reads the most.
    longest: u64,
}

/// All ways to cut an axis of `len` voxels, into a single part first.
fn cuts(len: usize) -> Vec<Cut> {
    let mut extents: Vec<_> =
        (1..=len.div_ceil(ALIGNMENT)).map(|parts| len.div_ceil(parts).next_multiple_of(ALIGNMENT)).collect();
    extents.dedup();
    let cut = |extent| {
        let parts = blocks([len, 1, 1], [extent, 1, 1]);
        let reads = || parts.iter().map(|part| part.read_shape[0] as u64);
        let longest = reads().max().unwrap_or(0);
        Cut { extent, parts: parts.len() as u64, read: reads().sum(), longest }
    };
    extents.into_iter().map(cut).collect()
}

//! A volume cut into blocks that several threads may write at once.
use ndarray::{ArrayView3, ArrayViewMut3, Axis};

use crate::error::{Error, Result};
use crate::volume::Shape;

/// A volume's division into blocks, numbered in raster order; the last ones of each axis may be smaller.
#[derive(Clone, Copy, Debug)]
pub struct Grid {
    volume: Shape,
    block: Shape,
}

impl Grid {
    /// Blocks of `block` voxels; an edge longer than the volume's is cut to it.
    ///
    /// Fails where an edge is 0 or where voxels of a block could not be numbered with 31 bits.
    pub fn new(volume: Shape, block: Shape) -> Result<Self> {
        if block.contains(&0) {
            return Err(Error::invalid(format!("block of {block:?} voxels: every edge must be at least 1")));
        }
        let block = [0, 1, 2].map(|axis| block[axis].min(volume[axis].max(1)));
        let padded = block.iter().try_fold(1usize, |product, edge| product.checked_mul(edge + 2));
        match padded {
            Some(voxels) if voxels < 1 << 31 => Ok(Self { volume, block }),
            _ => {
                Err(Error::invalid(format!("block of {block:?} voxels: at most 2^31 voxels fit in a block")))
            }
        }
    }

    /// Number of blocks along each axis.
    pub fn counts(&self) -> Shape {
        [0, 1, 2].map(|axis| self.volume[axis].div_ceil(self.block[axis]))
    }

    /// Number of blocks.
    pub fn len(&self) -> usize {
        self.counts().iter().product()
    }

    /// Whether the volume has no voxel.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// First voxel of block `number`.
    pub fn origin(&self, number: usize) -> Shape {
        let place = coordinates(number, self.counts());
        [0, 1, 2].map(|axis| place[axis] * self.block[axis])
    }

    /// Number of the block that holds a voxel.
    pub fn block_of(&self, voxel: Shape) -> usize {
        linear([0, 1, 2].map(|axis| voxel[axis] / self.block[axis]), self.counts())
    }

    /// All blocks of a volume of this grid's shape, in the order of their numbers.
    pub fn split<'a, T>(&self, volume: ArrayViewMut3<'a, T>) -> Vec<ArrayViewMut3<'a, T>> {
        assert_eq!(volume.shape(), self.volume, "the grid is for another shape");
        if volume.is_empty() {
            return Vec::new();
        }
        (0..3).fold(vec![volume], |parts, axis| {
            parts.into_iter().flat_map(|part| cut(part, Axis(axis), self.block[axis])).collect()
        })
    }
}

fn cut<T>(mut rest: ArrayViewMut3<'_, T>, axis: Axis, step: usize) -> Vec<ArrayViewMut3<'_, T>> {
    let mut parts = Vec::with_capacity(rest.len_of(axis).div_ceil(step));
    while rest.len_of(axis) > step {
        let (part, tail) = rest.split_at(axis, step);
        parts.push(part);
        rest = tail;
    }
    parts.push(rest);
    parts
}

/// Voxel coordinates (z, y, x) of a linear index, x fastest.
pub fn coordinates(index: usize, shape: Shape) -> Shape {
    [index / (shape[1] * shape[2]), index / shape[2] % shape[1], index % shape[2]]
}

/// Linear index of voxel coordinates, x fastest.
pub fn linear([z, y, x]: Shape, shape: Shape) -> usize {
    (z * shape[1] + y) * shape[2] + x
}

/// The rows of a volume in standard layout as slices.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a, T> {
    voxels: &'a [T],
    shape: Shape,
}

impl<'a, T> Rows<'a, T> {
    pub(super) fn new(volume: ArrayView3<'a, T>) -> Self {
        let shape = volume.dim().into();
        Self { voxels: volume.to_slice().expect("the volume is in standard layout"), shape }
    }

    pub(super) fn shape(&self) -> Shape {
        self.shape
    }

    pub(super) fn at(&self, z: usize, y: usize) -> &'a [T] {
        &self.voxels[linear([z, y, 0], self.shape)..][..self.shape[2]]
    }
}

//! Activations: channels-last, with a border of zeros.
//!
//! Memory is `[n][z + border][y + border][x + border][channel]`, all f32. The border is the zero padding of
//! the convolutions: one voxel before, and one after (two where the extent is odd, so that the partner of a
//! stride-2 operation may look at the plane that the crop dropped). No loop of the network has an edge case.
use std::ops::Range;

use bytemuck::{Pod, Zeroable};
use rayon::prelude::*;

use crate::volume::Shape;

/// A cache line, so that every voxel of 16 or more channels begins on one.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([f32; 16]);

/// A batch of `n` channels-last volumes with a border of zeros.
#[derive(Clone)]
pub struct Activations {
    /// Volumes in the batch.
    pub n: usize,
    /// Extent of one volume without its border: z, y, x.
    pub shape: Shape,
    /// Channels per voxel.
    pub channels: usize,
    lines: Vec<Line>,
}

/// Place of a row in a batch: volume, z, y, without border.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowIndex {
    /// Volume in the batch.
    pub n: usize,
    /// Plane.
    pub z: usize,
    /// Row in the plane.
    pub y: usize,
}

impl Activations {
    /// All zeros.
    pub fn zeros(n: usize, shape: Shape, channels: usize) -> Self {
        let mut activations = Activations { n, shape, channels, lines: Vec::new() };
        activations.lines = bytemuck::allocation::zeroed_vec(activations.len().div_ceil(16));
        activations
    }

    /// Extent of one volume with its border.
    pub fn padded(&self) -> Shape {
        self.shape.map(|extent| extent + 2 + extent % 2)
    }

    /// Floats, border included.
    pub fn len(&self) -> usize {
        self.n * self.padded().iter().product::<usize>() * self.channels
    }

    /// Whether there is no voxel at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Floats of one padded row.
    pub fn row_len(&self) -> usize {
        self.padded()[2] * self.channels
    }

    /// Floats of one padded plane.
    pub fn plane_len(&self) -> usize {
        self.padded()[1] * self.row_len()
    }

    /// All floats, border included.
    pub fn as_slice(&self) -> &[f32] {
        &bytemuck::cast_slice(&self.lines)[..self.len()]
    }

    /// All floats, border included.
    pub fn as_mut_slice(&mut self) -> &mut [f32] {
        let len = self.len();
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..len]
    }

    /// Where the voxel `[z, y, x]` of volume `n` begins, border coordinates: the first voxel inside is
    /// `[1, 1, 1]`.
    pub fn offset(&self, n: usize, [z, y, x]: Shape) -> usize {
        let [planes, rows, columns] = self.padded();
        (((n * planes + z) * rows + y) * columns + x) * self.channels
    }

    /// The voxels of one row, without border.
    pub fn row(&self, at: RowIndex) -> &[f32] {
        let start = self.offset(at.n, [at.z + 1, at.y + 1, 1]);
        &self.as_slice()[start..start + self.shape[2] * self.channels]
    }

    /// Every row in parallel, without border: `work(state, row index, voxels)`; `state` is made once per
    /// thread.
    pub fn par_rows_mut<S: Send>(
        &mut self,
        state: impl Fn() -> S + Sync + Send,
        work: impl Fn(&mut S, RowIndex, &mut [f32]) + Sync + Send,
    ) {
        let (row_len, channels, shape) = (self.row_len(), self.channels, self.shape);
        let inside = Inside::of(self);
        self.as_mut_slice().par_chunks_mut(row_len).enumerate().for_each_init(state, |state, (i, row)| {
            if let Some(at) = inside.row(i) {
                work(state, at, &mut row[channels..channels * (shape[2] + 1)]);
            }
        });
    }

    /// As [`par_rows_mut`](Self::par_rows_mut), over the same rows of two activations of equal shape.
    pub fn par_rows_mut_with<S: Send>(
        &mut self,
        other: &mut Activations,
        state: impl Fn() -> S + Sync + Send,
        work: impl Fn(&mut S, RowIndex, &mut [f32], &mut [f32]) + Sync + Send,
    ) {
        assert_eq!((self.n, self.shape), (other.n, other.shape), "shapes differ");
        let inside = Inside::of(self);
        let range = |a: &Activations| a.channels..a.channels * (a.shape[2] + 1);
        let (one, two) = (range(self), range(other));
        let (row_len, other_len) = (self.row_len(), other.row_len());
        let rows = self.as_mut_slice().par_chunks_mut(row_len);
        let others = other.as_mut_slice().par_chunks_mut(other_len);
        rows.zip(others).enumerate().for_each_init(state, |state, (i, (row, other))| {
            if let Some(at) = inside.row(i) {
                work(state, at, &mut row[one.clone()], &mut other[two.clone()]);
            }
        });
    }

    /// The rows of a range of planes in parallel, of the first volume, borders of y and x left out. Planes are
    /// counted with the border, for buffers that hold a slab of a larger volume.
    pub fn par_slab_rows_mut<S: Send>(
        &mut self,
        planes: Range<usize>,
        state: impl Fn() -> S + Sync + Send,
        work: impl Fn(&mut S, usize, usize, &mut [f32]) + Sync + Send,
    ) {
        let (row_len, plane_len, [_, rows, _]) = (self.row_len(), self.plane_len(), self.shape);
        let voxels = self.channels..self.channels * (self.shape[2] + 1);
        let padded_rows = self.padded()[1];
        let slab = &mut self.as_mut_slice()[planes.start * plane_len..planes.end * plane_len];
        slab.par_chunks_mut(row_len).enumerate().for_each_init(state, |state, (i, row)| {
            let (plane, y) = (planes.start + i / padded_rows, i % padded_rows);
            if (1..=rows).contains(&y) {
                work(state, plane, y - 1, &mut row[voxels.clone()]);
            }
        });
    }

    /// Copies whole planes, border coordinates, of the first volume.
    pub fn copy_planes(&mut self, from: Range<usize>, to: usize) {
        let plane_len = self.plane_len();
        self.as_mut_slice().copy_within(from.start * plane_len..from.end * plane_len, to * plane_len);
    }

    /// Makes this buffer one of another shape, all zeros, and keeps its memory where it suffices.
    pub fn reshape(&mut self, n: usize, shape: Shape, channels: usize) {
        (self.n, self.shape, self.channels) = (n, shape, channels);
        let lines = self.len().div_ceil(16);
        if lines > self.lines.capacity() {
            *self = Activations::zeros(n, shape, channels);
        } else {
            self.lines.resize(lines, Line([0.0; 16]));
            self.lines.par_iter_mut().for_each(|line| *line = Line([0.0; 16]));
        }
    }

    /// Floats that fit without new memory.
    pub fn capacity(&self) -> usize {
        16 * self.lines.capacity()
    }

    /// The rows without border, in memory order.
    pub fn rows(&self) -> impl Iterator<Item = RowIndex> + use<> {
        let ([planes, rows, _], n) = (self.shape, self.n);
        (0..n).flat_map(move |n| (0..planes).flat_map(move |z| (0..rows).map(move |y| RowIndex { n, z, y })))
    }
}

/// Tells rows inside from rows of the border.
#[derive(Clone, Copy)]
struct Inside {
    shape: Shape,
    padded: Shape,
}

impl Inside {
    fn of(activations: &Activations) -> Self {
        Inside { shape: activations.shape, padded: activations.padded() }
    }

    fn row(&self, i: usize) -> Option<RowIndex> {
        let (plane, y) = (i / self.padded[1], i % self.padded[1]);
        let (n, z) = (plane / self.padded[0], plane % self.padded[0]);
        let inside = (1..=self.shape[0]).contains(&z) && (1..=self.shape[1]).contains(&y);
        inside.then(|| RowIndex { n, z: z - 1, y: y - 1 })
    }
}

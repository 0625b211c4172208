//! A volume inside the bytes of a larger array, or in another order than z, y, x.
use ndarray::parallel::prelude::*;
use rayon::slice::ParallelSliceMut;

use super::axes::Cut;
use crate::volume::{Bytes, Shape, Store};

/// Where the voxels of a volume lie in a run of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Strided {
    /// The first voxel's byte.
    pub(super) start: usize,
    pub(super) shape: Shape,
    /// Bytes from one voxel to the next along z, y and x.
    steps: [usize; 3],
    /// Bytes of a voxel.
    size: usize,
}

impl Strided {
    /// The volume `cut` of an array of `extents` whose last axis is the fastest (the first, in Fortran order) and whose
    /// first element lies at byte `start`. The bytes of the whole array have to be countable.
    pub(super) fn of(start: usize, extents: &[u64], cut: &Cut, size: usize, fortran: bool) -> Self {
        let mut steps = vec![size; extents.len()];
        let mut step = size;
        for place in 0..extents.len() {
            let axis = if fortran { place } else { extents.len() - 1 - place };
            steps[axis] = step;
            step *= extents[axis] as usize;
        }
        let before: usize = cut.position.iter().zip(&steps).map(|(&at, step)| at as usize * step).sum();
        let shape = cut.zyx.map(|axis| extents[axis] as usize);
        Strided { start: start + before, shape, steps: cut.zyx.map(|axis| steps[axis]), size }
    }

    /// The first voxels along each axis, `shape` of them; no more than there are.
    pub(super) fn cropped(self, shape: Shape) -> Self {
        Strided { shape, ..self }
    }

    /// Whether the voxels lie one behind the other, x fastest; a step along an extent of 1 does not count.
    pub(super) fn is_contiguous(&self) -> bool {
        let [_, rows, columns] = self.shape;
        let wanted = [rows * columns * self.size, columns * self.size, self.size];
        (0..3).all(|axis| self.shape[axis] == 1 || self.steps[axis] == wanted[axis])
    }

    /// Whether the values along x lie one behind the other, so that rows can be read where they are.
    pub(super) fn has_whole_rows(&self) -> bool {
        self.shape[2] == 1 || self.steps[2] == self.size
    }

    /// The rows where they lie in `bytes`, which have whole rows.
    pub(super) fn rows(&self, bytes: Bytes, swapped: bool) -> Store {
        let [planes, rows, columns] = self.shape;
        let together = rows == 1 || self.steps[1] == columns * self.size;
        let rows_per_run = if together { rows } else { 1 };
        let begins = (0..planes).flat_map(|z| (0..rows).step_by(rows_per_run).map(move |y| (z, y)));
        let runs = begins.map(|(z, y)| self.row(z, y)).collect();
        Store { bytes, runs, rows_per_run, swapped }
    }

    /// The first byte of a row.
    fn row(&self, z: usize, y: usize) -> usize {
        self.start + z * self.steps[0] + y * self.steps[1]
    }

    /// Bytes of all voxels.
    pub(super) fn len(&self) -> usize {
        self.shape.iter().product::<usize>() * self.size
    }

    /// The voxels' bytes one behind the other, x fastest.
    pub(super) fn gather(&self, bytes: &[u8]) -> Vec<u8> {
        let [_, rows, columns] = self.shape;
        let mut gathered = vec![0; self.len()];
        let planes = gathered.par_chunks_exact_mut(rows * columns * self.size).enumerate();
        planes.for_each(|(z, plane)| {
            for (y, row) in plane.chunks_exact_mut(columns * self.size).enumerate() {
                self.copy_row(bytes, self.row(z, y), row);
            }
        });
        gathered
    }

    fn copy_row(&self, bytes: &[u8], start: usize, row: &mut [u8]) {
        if self.steps[2] == self.size {
            return row.copy_from_slice(&bytes[start..start + row.len()]);
        }
        for (x, voxel) in row.chunks_exact_mut(self.size).enumerate() {
            let at = start + x * self.steps[2];
            voxel.copy_from_slice(&bytes[at..at + self.size]);
        }
    }
}

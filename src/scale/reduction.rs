//! Mean over boxes: a volume `[z, y, x]` as the network sees it at a scale, `[ceil(z/fz), ceil(y/fy), ceil(x/fx)]`.
//!
//! Nothing is stored: a region is computed from the volume's voxels when it is read, one plane of boxes at a time.
//! Sums are f64 in memory order, so that a mean depends on its box alone.
use ndarray::parallel::prelude::*;
use ndarray::{Array3, ArrayView3, ArrayViewMut2, Axis};

use super::reduced_shape;
use crate::grey::Stored;
use crate::volume::{Shape, Volume};

/// A volume, reduced by whole factors.
pub struct Reduced<'a> {
    volume: &'a Volume,
    factors: Shape,
}

impl<'a> Reduced<'a> {
    /// The volume, reduced by `factors` (z, y, x; from 1 on).
    pub fn new(volume: &'a Volume, factors: Shape) -> Self {
        Reduced { volume, factors }
    }

    /// Extent in boxes, z, y, x.
    pub fn shape(&self) -> Shape {
        reduced_shape(self.volume.shape(), self.factors)
    }

    /// The means of the `shape` boxes from box `start` on.
    ///
    /// # Panics
    /// Where the block is not inside the reduced volume.
    pub fn read_f32(&self, start: Shape, shape: Shape) -> Array3<f32> {
        if self.factors == [1; 3] {
            return self.volume.read_f32(start, shape);
        }
        let mut means = Array3::zeros(shape);
        means.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(z, plane)| {
            let first = [start[0] + z, start[1], start[2]];
            self.plane(first, [1, shape[1], shape[2]], plane);
        });
        means
    }

    /// As [`read_f32`](Self::read_f32), but where a box is one voxel, the voxels as they are stored.
    ///
    /// # Panics
    /// Where the block is not inside the reduced volume.
    pub fn read(&self, start: Shape, shape: Shape) -> Stored {
        match self.factors {
            [1, 1, 1] => self.volume.read_stored(start, shape),
            _ => Stored::F32(self.read_f32(start, shape)),
        }
    }

    /// One plane of boxes.
    fn plane(&self, start: Shape, shape: Shape, mut means: ArrayViewMut2<f32>) {
        let axes = [0, 1, 2];
        let first = axes.map(|a| start[a] * self.factors[a]);
        let end = axes.map(|a| ((start[a] + shape[a]) * self.factors[a]).min(self.volume.shape()[a]));
        let voxels = self.volume.read_f32(first, axes.map(|a| end[a] - first[a]));
        let [_, fy, fx] = self.factors;
        for (mut means, rows) in means.outer_iter_mut().zip(voxels.axis_chunks_iter(Axis(1), fy)) {
            for (mean, voxels) in means.iter_mut().zip(rows.axis_chunks_iter(Axis(2), fx)) {
                *mean = mean_of(voxels);
            }
        }
    }
}

fn mean_of(voxels: ArrayView3<f32>) -> f32 {
    let sum: f64 = voxels.iter().map(|&voxel| f64::from(voxel)).sum();
    (sum / voxels.len() as f64) as f32
}

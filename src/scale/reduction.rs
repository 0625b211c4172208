//! Mean over boxes: a volume `[z, y, x]` as the network sees it at a scale, `[ceil(z/fz), ceil(y/fy), ceil(x/fx)]`.
//!
//! Nothing is stored: a region is computed from the volume's voxels when it is read, one row of boxes at a time. A mean depends
//! on its box alone: sums are exact in integers, else f64 in memory order.
use std::ops::Range;

use ndarray::Array3;
use rayon::prelude::*;

use super::reduced_shape;
use crate::grey::{Grey, Stored};
use crate::intensity::Scaling;
use crate::volume::{Dtype, Ranges, Sample, Shape, Volume, for_dtype};

/// Rows of a box in which the sum of a column of 16-bit numbers has at most 32 bits.
const MOST_ROWS: usize = 1 << 16;

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
        let [fz, fy, _] = self.factors;
        match self.volume.dtype() {
            _ if self.factors == [1; 3] => self.volume.read_f32(start, shape),
            Dtype::U8 if fz * fy <= MOST_ROWS => self.means(start, shape, |row, sums, means| {
                self.integer_means::<u8>(row, sums, means);
            }),
            Dtype::U16 if fz * fy <= MOST_ROWS => self.means(start, shape, |row, sums, means| {
                self.integer_means::<u16>(row, sums, means);
            }),
            dtype => for_dtype!(dtype, S => self.means(start, shape, |row, sums, means| {
                self.float_means::<S>(row, sums, means);
            })),
        }
    }

    /// The means of the `shape` boxes from box `start` on, `scaling` being yet to be applied to them; voxels as they
    /// are stored where a box is one voxel.
    ///
    /// # Panics
    /// Where the block is not inside the reduced volume.
    pub fn grey(&self, start: Shape, shape: Shape, scaling: Scaling) -> Grey<'a> {
        match self.factors {
            [1, 1, 1] => Grey::of_block(self.volume, start, shape, scaling),
            _ => Grey::new(Stored::F32(self.read_f32(start, shape)), scaling),
        }
    }

    /// Rows of boxes in parallel. `row` gets the voxels of one, memory for sums, and the means.
    fn means<T: Default>(
        &self,
        start: Shape,
        shape: Shape,
        row: impl Fn(Ranges, &mut T, &mut [f32]) + Sync,
    ) -> Array3<f32> {
        let [_, height, width] = shape;
        let voxels = |axis: usize, boxes: Range<usize>| {
            let factor = self.factors[axis];
            boxes.start * factor..(boxes.end * factor).min(self.volume.shape()[axis])
        };
        let mut means = vec![0.0; shape.iter().product()];
        let rows = means.par_chunks_mut(width.max(1)).enumerate();
        rows.for_each_init(T::default, |sums, (number, means)| {
            let (z, y) = (start[0] + number / height, start[1] + number % height);
            let region = [voxels(0, z..z + 1), voxels(1, y..y + 1), voxels(2, start[2]..start[2] + width)];
            row(region, sums, means);
        });
        Array3::from_shape_vec(shape, means).expect("as many as there are boxes")
    }

    /// Adds the rows of voxels up, then the columns of each box.
    fn integer_means<S: Sample + Into<u32>>(
        &self,
        [z, y, x]: Ranges,
        columns: &mut Vec<u32>,
        means: &mut [f32],
    ) {
        columns.clear();
        columns.resize(x.len(), 0);
        for (z, y) in z.clone().flat_map(|z| y.clone().map(move |y| (z, y))) {
            let row = self.volume.row::<S>(z, y, x.start, x.len());
            columns.iter_mut().zip(row).for_each(|(sum, voxel)| *sum += voxel.into());
        }
        let rows = z.len() * y.len();
        for (mean, columns) in means.iter_mut().zip(columns.chunks(self.factors[2])) {
            let sum: u64 = columns.iter().copied().map(u64::from).sum();
            *mean = (sum as f64 / (rows * columns.len()) as f64) as f32;
        }
    }

    /// Adds the voxels of each box up, in memory order.
    fn float_means<S: Sample>(
        &self,
        [z, y, x]: Ranges,
        (sums, greys): &mut (Vec<f64>, Vec<f32>),
        means: &mut [f32],
    ) {
        let factor = self.factors[2];
        sums.clear();
        sums.resize(means.len(), -0.0);
        for (z, y) in z.clone().flat_map(|z| y.clone().map(move |y| (z, y))) {
            greys.clear();
            greys.extend(self.volume.row::<S>(z, y, x.start, x.len()).map(S::grey));
            match factor {
                2 => add_boxes::<2>(sums, greys),
                3 => add_boxes::<3>(sums, greys),
                4 => add_boxes::<4>(sums, greys),
                _ => add(sums, greys.chunks(factor)),
            }
        }
        for (i, (mean, sum)) in means.iter_mut().zip(sums).enumerate() {
            let columns = factor.min(x.len() - i * factor);
            *mean = (*sum / (z.len() * y.len() * columns) as f64) as f32;
        }
    }
}

/// Adds a row of voxels to the sums of its boxes of `N`, the last of which may be cut off.
fn add_boxes<const N: usize>(sums: &mut [f64], row: &[f32]) {
    let (boxes, rest) = row.as_chunks::<N>();
    let (whole, last) = sums.split_at_mut(boxes.len());
    add(whole, boxes.iter());
    add(last, [rest].into_iter());
}

/// Adds voxels of each box to its sum, one after the other.
fn add<'a>(sums: &mut [f64], boxes: impl Iterator<Item = impl IntoIterator<Item = &'a f32>>) {
    for (sum, voxels) in sums.iter_mut().zip(boxes) {
        voxels.into_iter().for_each(|voxel| *sum += f64::from(*voxel));
    }
}

//! A volume `[z, y, x]` on the grid on which the network sees it: means over boxes of whole voxels, or what
//! [`Taps`] say for other steps.
//!
//! Nothing is stored: a region is computed from the volume's voxels when it is read, one row of points at a time. A point depends
//! on its own voxels alone: sums are exact in integers, else f64 in memory order.
use std::ops::Range;

use ndarray::Array3;
use rayon::prelude::*;

use super::sampling::Sampling;
use super::taps::Taps;
use crate::grey::{Grey, Stored};
use crate::intensity::Scaling;
use crate::volume::{Dtype, Ranges, Sample, Shape, Volume, for_dtype};

/// Rows of a box in which the sum of a column of 16-bit numbers has at most 32 bits.
const MOST_ROWS: usize = 1 << 16;

/// A volume on a grid.
pub struct Sampled<'a> {
    volume: &'a Volume,
    sampling: Sampling,
}

impl<'a> Sampled<'a> {
    /// The volume on this grid.
    pub fn new(volume: &'a Volume, sampling: Sampling) -> Self {
        Sampled { volume, sampling }
    }

    /// Extent in points, z, y, x.
    pub fn shape(&self) -> Shape {
        self.sampling.shape(self.volume.shape())
    }

    /// The `shape` points from point `start` on.
    ///
    /// # Panics
    /// Where the block is not inside the grid.
    pub fn read_f32(&self, start: Shape, shape: Shape) -> Array3<f32> {
        match self.sampling.as_whole() {
            Some([1, 1, 1]) => self.volume.read_f32(start, shape),
            Some(factors) => Boxes { volume: self.volume, factors }.read(start, shape),
            None => for_dtype!(self.volume.dtype(), S => self.read_points::<S>(start, shape)),
        }
    }

    /// The `shape` points from point `start` on, `scaling` being yet to be applied to them; voxels as they are stored where
    /// each has a point.
    ///
    /// # Panics
    /// Where the block is not inside the grid.
    pub fn grey(&self, start: Shape, shape: Shape, scaling: Scaling) -> Grey<'a> {
        match self.sampling {
            Sampling::STORED => Grey::of_block(self.volume, start, shape, scaling),
            _ => Grey::new(Stored::F32(self.read_f32(start, shape)), scaling),
        }
    }

    /// Rows of points in parallel: the rows of voxels that a row is made of are added up, then the columns of each point.
    fn read_points<S: Sample>(&self, start: Shape, shape: Shape) -> Array3<f32> {
        let [_, height, width] = shape;
        let [along_z, along_y, along_x] = [0, 1, 2].map(|axis| {
            let (step, extent) = (self.sampling.0[axis], self.volume.shape()[axis]);
            (start[axis]..start[axis] + shape[axis]).map(|i| Taps::new(step, i, extent)).collect::<Vec<_>>()
        });
        let mut points = vec![0.0; shape.iter().product()];
        let (Some(first), Some(last)) = (along_x.first(), along_x.last()) else {
            return Array3::zeros(shape);
        };
        let (first, last) = (first.first, last.end());
        let rows = points.par_chunks_mut(width).enumerate();
        rows.for_each_init(Vec::new, |columns: &mut Vec<f64>, (number, points)| {
            let (z, y) = (&along_z[number / height], &along_y[number % height]);
            columns.clear();
            columns.resize(last - first, 0.0);
            for ((z, in_z), (y, in_y)) in z.iter().flat_map(|z| y.iter().map(move |y| (z, y))) {
                let weight = f64::from(in_z * in_y);
                let row = self.volume.row::<S>(z, y, first, last - first);
                columns.iter_mut().zip(row).for_each(|(sum, voxel)| *sum += weight * f64::from(voxel.grey()));
            }
            let total = f64::from(z.total()) * f64::from(y.total());
            for (point, x) in points.iter_mut().zip(&along_x) {
                let sum: f64 = x.iter().map(|(x, in_x)| f64::from(in_x) * columns[x - first]).sum();
                *point = (sum / (total * f64::from(x.total()))) as f32;
            }
        });
        Array3::from_shape_vec(shape, points).expect("as many as there are points")
    }
}

/// A volume in boxes of whole voxels.
struct Boxes<'a> {
    volume: &'a Volume,
    factors: Shape,
}

impl Boxes<'_> {
    /// The means of the `shape` boxes from box `start` on.
    fn read(&self, start: Shape, shape: Shape) -> Array3<f32> {
        let [fz, fy, _] = self.factors;
        match self.volume.dtype() {
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

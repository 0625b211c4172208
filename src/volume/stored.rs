//! Copies of a block's grey values in the type in which the network's first kernel reads them: 8 and 16 bits without a
//! sign as they are stored, all else as `f32`. Several threads may copy parts of a block at once.
use bytemuck::Pod;

use super::{Dtype, Sample, Shape, Volume, for_dtype};

impl Volume {
    /// Bytes of a grey value in a copy.
    pub fn stored_size(&self) -> usize {
        match self.dtype {
            Dtype::U8 | Dtype::U16 => self.dtype.size(),
            _ => size_of::<f32>(),
        }
    }

    /// Copies values of the block of extent `shape` that begins at voxel `start`: from the block's value number `first`
    /// on, x fastest, as many as `target` has bytes for.
    ///
    /// # Panics
    /// Where the block is not inside the volume or has fewer values.
    pub fn copy_stored(&self, start: Shape, shape: Shape, mut first: usize, target: &mut [u8]) {
        self.check(start, shape);
        let [depth, height, width] = shape;
        let size = self.stored_size();
        assert!(first + target.len() / size <= depth * height * width, "values of a block of {shape:?}");
        let mut rest = target;
        while !rest.is_empty() {
            let (row, x) = (first / width, first % width);
            let (z, y) = (start[0] + row / height, start[1] + row % height);
            // Rows of the volume's own width lie one behind the other.
            let rows = if width == self.shape[2] { self.rows_from(y, start[1] + height) } else { 1 };
            let values = (rows * width - x).min(rest.len() / size);
            let (values_here, behind) = rest.split_at_mut(values * size);
            self.copy_values([z, y, start[2] + x], values, values_here);
            (first, rest) = (first + values, behind);
        }
    }

    /// How many rows from row `y` on, before row `end`, lie one behind the other.
    fn rows_from(&self, y: usize, end: usize) -> usize {
        let per_run = self.store.rows_per_run;
        (per_run - y % per_run).min(end - y)
    }

    /// Copies values that lie one behind the other from voxel `at` on.
    fn copy_values(&self, at: Shape, values: usize, target: &mut [u8]) {
        match self.dtype {
            // A single byte has no order.
            Dtype::U8 => target.copy_from_slice(self.bytes_from(at, values, 1)),
            Dtype::U16 | Dtype::F32 if !self.store.swapped => {
                target.copy_from_slice(self.bytes_from(at, values, self.dtype.size()));
            }
            Dtype::U16 => self.copy_converted(at, values, target, |value: u16| value),
            dtype => for_dtype!(dtype, S => self.copy_converted(at, values, target, S::grey)),
        }
    }

    fn copy_converted<S: Sample, T: Pod>(
        &self,
        [z, y, x]: Shape,
        values: usize,
        target: &mut [u8],
        convert: impl Fn(S) -> T,
    ) {
        let places = target.chunks_exact_mut(size_of::<T>());
        let converted = self.row::<S>(z, y, x, values).map(convert);
        places.zip(converted).for_each(|(place, value)| place.copy_from_slice(bytemuck::bytes_of(&value)));
    }
}

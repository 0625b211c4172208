//! Random volumes that a plain loop can check, and loops over their voxels.
use std::ops::Range;

use ndarray::Array3;
use proptest::prelude::*;
use tascan::Shape;

/// Extents from 1 to `most`.
pub fn shapes(most: usize) -> impl Strategy<Value = Shape> {
    [1..=most, 1..=most, 1..=most]
}

/// Volumes of numbers from a range.
pub fn volumes<T>(most: usize, values: Range<T>) -> impl Strategy<Value = Array3<T>>
where
    Range<T>: Strategy<Value = T> + Clone,
    T: Clone + std::fmt::Debug,
{
    shapes(most).prop_flat_map(move |shape| {
        let voxels = proptest::collection::vec(values.clone(), shape.iter().product::<usize>());
        voxels.prop_map(move |voxels| Array3::from_shape_vec(shape, voxels).unwrap())
    })
}

/// Classes in which the foreground prevails, so that several voxels hang together.
pub fn classes(most: usize) -> impl Strategy<Value = Array3<u8>> {
    volumes(most, 0..12u8).prop_map(|volume| volume.mapv(|value| value.min(2)))
}

/// All voxels in raster order.
pub fn voxels(shape: Shape) -> impl Iterator<Item = Shape> {
    let [depth, height, width] = shape;
    (0..depth).flat_map(move |z| (0..height).flat_map(move |y| (0..width).map(move |x| [z, y, x])))
}

/// The voxel at `at + step`, unless it is beyond a face.
pub fn stepped(at: Shape, step: [isize; 3], shape: Shape) -> Option<Shape> {
    let [z, y, x] =
        [0, 1, 2].map(|axis| at[axis].checked_add_signed(step[axis]).filter(|&p| p < shape[axis]));
    Some([z?, y?, x?])
}

/// The steps to the 26 neighbours, in raster order.
pub fn steps_26() -> impl Iterator<Item = [isize; 3]> {
    voxels([3; 3]).map(|place| place.map(|p| p as isize - 1)).filter(|step| *step != [0; 3])
}

/// The steps to the 6 neighbours, in raster order.
pub fn steps_6() -> impl Iterator<Item = [isize; 3]> {
    steps_26().filter(|step| step.iter().map(|s| s.abs()).sum::<isize>() == 1)
}

/// Squared distance of two voxels.
pub fn squared_distance(a: Shape, b: Shape, step: [u32; 3]) -> u32 {
    (0..3).map(|axis| step[axis] * (a[axis].abs_diff(b[axis]) as u32).pow(2)).sum()
}

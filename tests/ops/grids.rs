//! Activations for tests: noise in, poison out, f64 as the reference.
use tascan::ops::activations::Activations;

use crate::compare;

/// Repeatable values in [-1, 1).
pub fn noise(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    std::iter::repeat_with(next).take(len).collect()
}

/// Activations filled with noise; the border stays zero.
pub fn noisy(n: usize, shape: [usize; 3], channels: usize, seed: u64) -> Activations {
    let mut grid = Activations::zeros(n, shape, channels);
    let values = noise(n * shape.iter().product::<usize>() * channels, seed);
    let row_len = shape[2] * channels;
    grid.par_rows_mut(
        || (),
        |(), at, row| {
            let start = ((at.n * shape[0] + at.z) * shape[1] + at.y) * row_len;
            row.copy_from_slice(&values[start..start + row_len]);
        },
    );
    grid
}

/// Activations whose voxels are NaN: whatever an operation leaves unwritten shows.
pub fn poisoned(n: usize, shape: [usize; 3], channels: usize) -> Activations {
    let mut grid = Activations::zeros(n, shape, channels);
    grid.par_rows_mut(|| (), |(), _, row| row.fill(f32::NAN));
    grid
}

/// One element, without border; zero outside.
pub fn at(grid: &Activations, n: usize, [z, y, x]: [isize; 3], channel: usize) -> f64 {
    let place = [z, y, x];
    let outside = |axis: usize| place[axis] < 0 || place[axis] >= grid.shape[axis] as isize;
    if (0..3).any(outside) {
        return 0.0;
    }
    let start = grid.offset(n, place.map(|i| i as usize + 1));
    f64::from(grid.as_slice()[start + channel])
}

/// Every voxel with its volume, z, y, x.
pub fn voxels(n: usize, shape: [usize; 3]) -> impl Iterator<Item = (usize, [isize; 3])> {
    let [planes, rows, columns] = shape.map(|extent| extent as isize);
    (0..n).flat_map(move |n| {
        (0..planes).flat_map(move |z| (0..rows).flat_map(move |y| (0..columns).map(move |x| (n, [z, y, x]))))
    })
}

/// Positions of a cubic kernel.
pub fn positions(size: usize) -> impl Iterator<Item = [usize; 3]> {
    (0..size.pow(3)).map(move |k| [k / (size * size), k / size % size, k % size])
}

/// Panics unless every voxel is within `tolerance` of what `expected` says, and the border is zero.
#[track_caller]
pub fn assert_grid(grid: &Activations, expected: impl Fn(usize, [isize; 3], usize) -> f64, tolerance: f64) {
    for (n, place) in voxels(grid.n, grid.shape) {
        for channel in 0..grid.channels {
            compare::assert_close_f64(at(grid, n, place, channel), expected(n, place, channel), tolerance);
        }
    }
    let inside: f64 = grid.rows().flat_map(|row| grid.row(row)).map(|value| f64::from(value.abs())).sum();
    let all: f64 = grid.as_slice().iter().map(|value| f64::from(value.abs())).sum();
    compare::assert_relative(all, inside, 1e-12);
}

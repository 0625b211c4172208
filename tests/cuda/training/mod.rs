//! The parts of a training step on a GPU against those of the CPU.
mod adam;
mod batch_norm;
mod convolution;
mod loss;
mod program;
mod steps;

use std::sync::Arc;

use tascan::device::Precision;
use tascan::device::cuda::Gpu;
use tascan::device::cuda::training::{Batch, Parameters};
use tascan::network::layout;
use tascan::ops::activations::Activations;
use tascan::ops::adam::Adam;
use tascan::weights::Weights;

use crate::ops::grids;
use crate::recipe;

/// Volumes and their extent: one voxel, odd sizes, two volumes, more voxels than a block of threads adds up.
const SHAPES: [(usize, [usize; 3]); 4] = [(1, [1, 1, 1]), (1, [3, 5, 9]), (2, [2, 7, 3]), (2, [9, 8, 10])];

fn weights() -> Weights {
    recipe::cellsegnet_weights(3)
}

fn parameters(gpu: &Arc<Gpu>) -> Parameters {
    Parameters::new(gpu, &weights().values, &Adam::new(layout::trainable_len())).unwrap()
}

/// `[n][z][y][x][channel]`, without border.
fn values(grid: &Activations) -> Vec<f32> {
    grid.rows().flat_map(|at| grid.row(at).to_vec()).collect()
}

fn upload(gpu: &Arc<Gpu>, precision: Precision, grid: &Activations) -> Batch {
    Batch::upload(gpu, precision, grid.n, grid.shape, &values(grid)).unwrap()
}

/// Those of training that the GPU has.
fn precisions(gpu: &Gpu) -> impl Iterator<Item = Precision> {
    Precision::OF_TRAINING.into_iter().filter(|precision| gpu.check_precision(*precision).is_ok())
}

/// Noise of numbers that the precision has.
fn noisy(precision: Precision, n: usize, shape: [usize; 3], channels: usize, seed: u64) -> Activations {
    let mut grid = grids::noisy(n, shape, channels, seed);
    grid.par_rows_mut(|| (), |(), _, row| row.copy_from_slice(&precision.decode(&precision.encode(row))));
    grid
}

/// As [`assert_near`], of values that were rounded to the precision in the end.
#[track_caller]
fn assert_rounded(what: &str, found: &Batch, expected: &[f32], tolerance: f32) {
    let what = format!("{what} {} {:?}", found.precision, found.shape);
    let values = found.download().unwrap();
    if found.precision == Precision::F32 {
        return assert_near(&what, &values, expected, tolerance);
    }
    assert_eq!(values.len(), expected.len(), "{what}");
    let off =
        tolerance * expected.iter().fold(f32::MIN_POSITIVE, |greatest, value| greatest.max(value.abs()));
    let bounds = |off: f32| {
        let values: Vec<f32> = expected.iter().map(|value| value + off).collect();
        found.precision.decode(&found.precision.encode(&values))
    };
    for ((found, least), most) in values.iter().zip(bounds(-off)).zip(bounds(off)) {
        assert!((least..=most).contains(found), "{what}: {found} is not between {least} and {most}");
    }
}

/// The greatest difference over the greatest expected value.
#[track_caller]
fn assert_near(what: &str, found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    let greatest = expected.iter().fold(f32::MIN_POSITIVE, |greatest, value| greatest.max(value.abs()));
    println!("{what}: worst difference {:e} of {greatest:e}", worst / greatest);
    crate::compare::assert_close(found, expected, tolerance * greatest);
}

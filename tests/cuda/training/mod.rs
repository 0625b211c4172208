//! The parts of a training step on a GPU against those of the CPU.
mod adam;
mod batch_norm;
mod convolution;
mod loss;
mod program;
mod steps;
mod weight_gradient_bf16;

use std::sync::Arc;

use tascan::device::Precision;
use tascan::device::cuda::Gpu;
use tascan::device::cuda::training::{Batch, Parameters};
use tascan::network::layout;
use tascan::ops::activations::Activations;
use tascan::ops::adam::Adam;
use tascan::weights::Weights;

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

fn upload(gpu: &Arc<Gpu>, grid: &Activations) -> Batch {
    Batch::upload(gpu, Precision::F32, grid.n, grid.shape, &values(grid)).unwrap()
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

//! What is done to every voxel or parameter alone, at the size of a training step: 7 cuboids of 64^3 voxels; the
//! normalisation of local contrast and the enlargement of logits.
use ndarray::Array3;
use rayon::prelude::*;
use tascan::Shape;
use tascan::network::layout;
use tascan::ops::activations::Activations;
use tascan::ops::adam::Adam;
use tascan::ops::batch_norm::{self, Affine, Moments};
use tascan::ops::contrast::Contrast;
use tascan::ops::enlargement::{self, Enlargement};
use tascan::ops::loss::{CLASSES, Loss, Truth};
use tascan::ops::softmax;
use tascan::scale::Sampling;
use tascan::volume::all;

use crate::convolutions::Grid;
use crate::harness::{Harness, Name, Work};

const VOXELS: usize = 7 * 64 * 64 * 64;

/// All rows of this file.
pub fn rows(harness: &mut Harness) {
    batch_norm_rows(harness);
    softmax_rows(harness);
    loss_row(harness);
    adam_row(harness);
    contrast_row(harness);
    enlargement_row(harness);
}

/// The largest batch norm of the network: 32 channels at full resolution.
fn batch_norm_rows(harness: &mut Harness) {
    let grid = Grid::training(0, 32);
    let values = grid.bytes() / 4.0;
    let mut row = |part: &str, operations: f64, passes: f64, run: &dyn Fn(&mut State)| {
        let name = Name { operation: &format!("batch_norm {part}"), shape: "7x64x64x64x32", dtype: "f32" };
        let work = Work { operations: operations * values, bytes: passes * grid.bytes() };
        harness.row(name, work, || State::new(grid), run);
    };
    row("moments", 3.0, 1.0, &|state| state.moments = Moments::of(&state.y));
    row("relu", 3.0, 2.0, &|State { affine, y, a, .. }| {
        a.par_rows_mut(|| (), |(), at, row| affine.relu(y.row(at), row));
    });
    // Reads y and da twice, writes y.
    row("backward", 16.0, 5.0, &|State { affine, moments, y, a }| {
        std::hint::black_box(batch_norm::backward(affine, moments, y, a, None));
    });
}

/// What a batch norm works on.
struct State {
    affine: Affine,
    moments: Moments,
    y: Activations,
    a: Activations,
}

impl State {
    fn new(grid: Grid) -> Self {
        let y = grid.filled();
        let moments = Moments::of(&y);
        let affine = Affine::new(&vec![1.1; grid.channels], &vec![0.1; grid.channels], &moments);
        State { affine, moments, y, a: grid.filled() }
    }
}

/// Some 40 operations a voxel forward, most of them in three exponentials, and 8 backward.
fn softmax_rows(harness: &mut Harness) {
    let (shape, voxels) = ("7x64x64x64x3", VOXELS as f64);
    let set_up = || vec![[0.1_f32, 0.5, -0.2]; VOXELS];
    let name = Name { operation: "softmax", shape, dtype: "f32" };
    harness.row(name, Work { operations: 40.0 * voxels, bytes: 24.0 * voxels }, set_up, |p| {
        p.par_iter_mut().for_each(|p| *p = softmax::softmax(*p));
    });
    let name = Name { operation: "softmax backward", shape, dtype: "f32" };
    let set_up = || (vec![[0.1_f32, 0.5, 0.4]; VOXELS], vec![[0.3_f32, 0.2, -0.1]; VOXELS]);
    harness.row(name, Work { operations: 8.0 * voxels, bytes: 36.0 * voxels }, set_up, |(p, dp)| {
        p.par_iter().zip(dp).for_each(|(p, dp)| *dp = softmax::backward(*p, *dp));
    });
}

/// Some 20 operations and 40 bytes a voxel.
fn loss_row(harness: &mut Harness) {
    let name = Name { operation: "loss", shape: "7x64x64x64x3", dtype: "f32" };
    let work = Work { operations: 20.0 * VOXELS as f64, bytes: 40.0 * VOXELS as f64 };
    let set_up = || {
        let probabilities: Vec<f32> =
            (0..VOXELS).flat_map(|i| [0.2, 0.3, 0.5].map(|p| p + 1e-3 * (i % 7) as f32)).collect();
        let class: Vec<u8> = (0..VOXELS).map(|i| (i / 5 % CLASSES) as u8).collect();
        (probabilities, class, vec![0.7; VOXELS], vec![0.0; VOXELS * CLASSES])
    };
    harness.row(name, work, set_up, |(probabilities, class, weight, gradient)| {
        let truth = Truth { class, weight };
        std::hint::black_box(Loss::default().of(probabilities, truth, gradient));
    });
}

/// Some 12 operations and 28 bytes a parameter.
fn adam_row(harness: &mut Harness) {
    let parameters = layout::trainable_len();
    let name = Name { operation: "adam", shape: &parameters.to_string(), dtype: "f32" };
    let work = Work { operations: 12.0 * parameters as f64, bytes: 28.0 * parameters as f64 };
    let set_up = || (Adam::new(parameters), vec![0.5; parameters], vec![1e-3; parameters]);
    harness.row(name, work, set_up, |(adam, values, gradient)| adam.step(values, gradient, 1e-4));
}

/// Of 128^3 voxels: two sums along each axis, to which a value is added and from which one is taken away, the last ones by
/// prefixes, and ten operations on the sums of a voxel; a voxel in, a voxel out.
fn contrast_row(harness: &mut Harness) {
    const SHAPE: Shape = [128; 3];
    let voxels = SHAPE.iter().product::<usize>() as f64;
    let name = Name { operation: "contrast", shape: "128^3", dtype: "f32" };
    let work = Work { operations: 24.0 * voxels, bytes: 8.0 * voxels };
    let set_up =
        || Array3::from_shape_fn(SHAPE, |(z, y, x)| ((31 * z + 17 * y + 7 * x) % 101) as f32 / 100.0);
    harness.row(name, work, set_up, |fitted| {
        std::hint::black_box(Contrast::default().normalise(fitted.view(), &all(SHAPE)));
    });
}

/// To 128^3 voxels from boxes of 2x2x2.
fn enlargement_row(harness: &mut Harness) {
    const EDGE: usize = 128;
    let (operations, bytes) = enlargement::cost((EDGE / 2).pow(3), EDGE.pow(3));
    let name = Name { operation: "enlargement", shape: "64^3 to 128^3", dtype: "f32" };
    let work = Work { operations: operations as f64, bytes: bytes as f64 };
    let set_up = || Array3::from_shape_fn([EDGE / 2; 3], |(z, y, x)| [z, y, x].map(|i| i as f32));
    harness.row(name, work, set_up, |logits| {
        let enlargement = Enlargement::new([EDGE; 3], Sampling::whole([2; 3]));
        (0..EDGE).for_each(|z| drop(std::hint::black_box(enlargement.plane(logits, z))));
    });
}

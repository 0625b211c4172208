//! The loss and the optimiser, at the size of a training step: 7 cuboids of 64^3 voxels.
use tascan::network::layout;
use tascan::ops::adam::Adam;
use tascan::ops::loss::{CLASSES, Truth, Variant, loss};

use crate::harness::{Harness, Name, Work};

const VOXELS: usize = 7 * 64 * 64 * 64;

/// All rows of this file.
pub fn rows(harness: &mut Harness) {
    loss_row(harness);
    adam_row(harness);
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
        std::hint::black_box(loss(Variant::WeightedRatio, probabilities, truth, gradient));
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

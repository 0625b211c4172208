//! The whole network: a volume of 128^3 voxels, and a training step of 7 cuboids of 64^3.
use ndarray::Array3;
use tascan::network::{Network, TrainingNetwork, layout, multiply_adds};
use tascan::ops::adam::Adam;
use tascan::ops::loss::{Loss, Truth};
use tascan::volume::all;
use tascan::weights::Weights;

use crate::convolutions::Grid;
use crate::harness::{Harness, Name, Work};

/// All rows of this file.
pub fn rows(harness: &mut Harness) {
    forward_row(harness);
    step_row(harness);
}

fn forward_row(harness: &mut Harness) {
    let grid = Grid::inference(0, 1);
    let work = Work { operations: 2.0 * multiply_adds() * grid.voxels() as f64, bytes: 4.0 * grid.bytes() };
    let name = Name { operation: "network", shape: "1x128x128x128", dtype: "f32" };
    let shape = [grid.edge; 3];
    let set_up = || (Network::new(&Weights::initial(1)), Array3::from_elem(shape, 0.3));
    harness.row(name, work, set_up, |(network, volume)| {
        network.logits(volume.view(), &all(shape), &mut |_, plane| {
            std::hint::black_box(plane);
        });
    });
}

/// The gradients to inputs and to weights cost as much as the forward pass each.
fn step_row(harness: &mut Harness) {
    let grid = Grid::training(0, 1);
    let work =
        Work { operations: 3.0 * 2.0 * multiply_adds() * grid.voxels() as f64, bytes: 4.0 * grid.bytes() };
    let name = Name { operation: "training step", shape: "7x64x64x64", dtype: "f32" };
    let set_up = || {
        let batch: Vec<f32> = (0..grid.voxels()).map(|i| (i % 97) as f32 / 97.0).collect();
        (TrainingNetwork::new(Weights::initial(1)), Adam::new(layout::trainable_len()), batch)
    };
    harness.row(name, work, set_up, |(network, adam, batch)| step(network, adam, batch, grid));
}

fn step(network: &mut TrainingNetwork, adam: &mut Adam, batch: &[f32], grid: Grid) {
    let class: Vec<u8> = (0..batch.len()).map(|i| (i / 5 % 3) as u8).collect();
    let weight = vec![0.7; batch.len()];
    let mut gradient = vec![0.0; 3 * batch.len()];
    let probabilities = network.forward(batch, grid.n, [grid.edge; 3]);
    let truth = Truth { class: &class, weight: &weight };
    std::hint::black_box(Loss::default().of(probabilities, truth, &mut gradient));
    network.backward(&gradient);
    let (weights, gradient) = network.weights_and_gradient();
    adam.step(&mut weights.values[..gradient.len()], gradient, 1e-4);
}

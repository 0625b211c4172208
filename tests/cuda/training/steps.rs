//! Whole training steps.
use std::sync::Arc;

use tascan::device::cuda::Gpu;
use tascan::device::{Device, Precision};
use tascan::network::layout;
use tascan::network::trainer::Trainer;
use tascan::ops::adam::Adam;
use tascan::ops::loss::{Loss, Truth};

use super::super::driver::emulated;
use super::{assert_near, weights};
use crate::compare::assert_relative;
use crate::ops::grids::noise;

const VOLUMES: usize = 2;
/// On the coarsest grid 1x2x1 voxels: with one, the two values of each batch norm there would have no gradient but rounding.
const SHAPE: [usize; 3] = [8, 9, 8];
const STEPS: u64 = 3;
const RATE: f64 = 1e-4;
/// Worst seen: 6e-8.
const LOSS_TOLERANCE: f64 = 1e-4;
/// Worst seen: 2e-5. Rounding moves some values across the ReLU's corner.
const GRADIENT_TOLERANCE: f32 = 1e-3;

/// Losses of a few steps, and the weights behind them.
fn learn(device: &Device) -> (Vec<f64>, Vec<f32>, Adam) {
    let mut trainer = Trainer::new(device, weights(), Adam::new(layout::trainable_len())).unwrap();
    let voxels = VOLUMES * SHAPE.iter().product::<usize>();
    let loss = Loss { cross_entropy: 0.1, ..Loss::default() };
    let mut losses = Vec::new();
    for step in 0..STEPS {
        let raw = noise(voxels, 3 * step + 1);
        let class: Vec<u8> = raw.iter().map(|x| (1.5 * (x + 1.0)) as u8).collect();
        let weight: Vec<f32> = noise(voxels, 3 * step + 2).iter().map(|x| x + 1.5).collect();
        let truth = Truth { class: &class, weight: &weight };
        losses.push(trainer.loss(&raw, VOLUMES, SHAPE, truth, &loss).unwrap());
        trainer.update(RATE).unwrap();
    }
    (losses, trainer.weights().values.clone(), trainer.adam().unwrap())
}

fn on(gpu: &Arc<Gpu>) -> Device {
    Device::cuda(gpu.clone(), Precision::F32)
}

#[test]
fn three_steps_equal_those_of_the_cpu_and_are_repeated_to_the_bit() {
    emulated(
        "cuda::training::steps::three_steps_equal_those_of_the_cpu_and_are_repeated_to_the_bit",
        |gpu| {
            let (expected, _, adam) = learn(&Device::Cpu);
            let first = learn(&on(gpu));
            for (found, expected) in first.0.iter().zip(&expected) {
                println!("loss {found}, relative difference {:e}", (found - expected).abs() / expected);
                assert_relative(*found, *expected, LOSS_TOLERANCE);
            }
            // The mean gradient, tensor by tensor, of tensors that a batch norm does not make useless.
            for (parameter, range) in layout::tensors().take(layout::TRAINABLE.len()) {
                if !WITHOUT_EFFECT.contains(&parameter.name) {
                    assert_near(
                        parameter.name,
                        &first.2.first[range.clone()],
                        &adam.first[range],
                        GRADIENT_TOLERANCE,
                    );
                }
            }
            let again = learn(&on(gpu));
            assert!(again == first, "another run gave other bits");
        },
    );
}

/// The gradients of these biases are zero but for rounding: a batch norm follows them and takes every constant away.
const WITHOUT_EFFECT: [&str; 4] = ["conv2.bias", "deconv1.bias", "deconv2.bias", "deconv3.bias"];

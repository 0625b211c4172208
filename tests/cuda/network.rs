//! The whole network: the CPU's probabilities, whatever the size, and the same bits in blocks.
use std::sync::Arc;

use ndarray::{Array3, s};
use tascan::device::cuda::Gpu;
use tascan::device::{Device, Precision};
use tascan::network::engine::Engine;
use tascan::network::prediction::{Prediction, Predictor};
use tascan::ops::softmax::softmax;

use super::driver::emulated;
use crate::ops::grids;
use crate::{compare, recipe};

/// Worst seen: 6e-7 in f32, 3e-4 in f16.
const TOLERANCES: [(Precision, f32); 2] = [(Precision::F32, 1e-5), (Precision::F16, 5e-3)];

fn noise(shape: [usize; 3]) -> Array3<f32> {
    Array3::from_shape_vec(shape, grids::noise(shape.iter().product(), 1)).unwrap()
}

fn probabilities(engine: &Engine, volume: &Array3<f32>) -> Vec<f32> {
    let mut found = Vec::new();
    let mut sink = |_, plane: &[[f32; 3]]| found.extend(plane.iter().flat_map(|logits| softmax(*logits)));
    engine.logits(volume.view(), &mut sink).unwrap();
    found
}

fn on(gpu: &Arc<Gpu>, precision: Precision) -> Device {
    Device::Cuda { gpu: gpu.clone(), precision }
}

fn equals_the_cpu(gpu: &Arc<Gpu>, shapes: &[[usize; 3]]) {
    let weights = recipe::cellsegnet_weights(3);
    let cpu = Engine::new(&Device::Cpu, &weights).unwrap();
    for (precision, tolerance) in TOLERANCES {
        let cuda = Engine::new(&on(gpu, precision), &weights).unwrap();
        for shape in shapes {
            let volume = noise(*shape);
            let [expected, found] = [&cpu, &cuda].map(|engine| probabilities(engine, &volume));
            println!("{precision} {shape:?}: worst difference {:e}", worst(&found, &expected));
            compare::assert_close(&found, &expected, tolerance);
        }
    }
}

fn worst(found: &[f32], expected: &[f32]) -> f32 {
    found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn probabilities_equal_those_of_the_cpu() {
    emulated("cuda::network::probabilities_equal_those_of_the_cpu", |gpu| {
        equals_the_cpu(gpu, &[[1, 1, 1], [2, 1, 3], [7, 15, 1], [9, 10, 11], [16, 16, 24]]);
    });
}

fn predict(predictor: &Predictor, volume: &Array3<f32>, block: [usize; 3]) -> Prediction {
    let mut read = |start: [usize; 3], shape: [usize; 3]| {
        let [z, y, x] = start;
        Ok(volume.slice(s![z..z + shape[0], y..y + shape[1], x..x + shape[2]]).to_owned())
    };
    predictor.predict(volume.dim().into(), block, &mut read, &mut |_| ()).unwrap()
}

#[test]
fn blocks_give_the_bits_of_the_whole_volume() {
    emulated("cuda::network::blocks_give_the_bits_of_the_whole_volume", |gpu| {
        for precision in [Precision::F32, Precision::F16] {
            let device = on(gpu, precision);
            let mut predictor = Predictor::on(&device, &recipe::cellsegnet_weights(3), false).unwrap();
            predictor.keep_probabilities = true;
            let volume = noise([3, 5, 99]);
            let [whole, blocks] = [[1000; 3], [8, 8, 48]].map(|block| predict(&predictor, &volume, block));
            assert!(blocks.classes == whole.classes);
            assert!(blocks.probabilities == whole.probabilities);
        }
    });
}

//! The whole network: the CPU's probabilities, whatever the size, and the same bits in blocks.
use std::sync::Arc;

use ndarray::{Array3, s};
use tascan::Shape;
use tascan::device::cuda::Gpu;
use tascan::device::cuda::convolution::Grid;
use tascan::device::{Device, Precision};
use tascan::error::{Error, Result};
use tascan::grey::{Grey, Stored};
use tascan::intensity::Scaling;
use tascan::network::engine::Engine;
use tascan::network::prediction::{Prediction, Predictor};
use tascan::ops::class_conv::{self, Part};
use tascan::ops::cuda::places::Target;
use tascan::ops::softmax::softmax;

use super::driver::{emulated, emulated_in_orders, emulated_with};
use crate::ops::grids;
use crate::{compare, recipe};

/// Worst seen: 6e-7 in f32, 3e-4 in f16, 2.8e-3 in bf16, whose roundings are 8 times as large.
pub(super) const TOLERANCES: [(Precision, f32); 3] =
    [(Precision::F32, 1e-5), (Precision::F16, 5e-3), (Precision::Bf16, 4e-2)];

pub(super) fn noise(shape: [usize; 3]) -> Array3<f32> {
    Array3::from_shape_vec(shape, grids::noise(shape.iter().product(), 1)).unwrap()
}

fn probabilities(engine: &Engine, volume: &Array3<f32>) -> Vec<f32> {
    engine.logits(&volume.clone().into()).unwrap().into_iter().flat_map(softmax).collect()
}

pub(super) fn on(gpu: &Arc<Gpu>, precision: Precision) -> Device {
    Device::cuda(gpu.clone(), precision)
}

fn equals_the_cpu(gpu: &Arc<Gpu>, shapes: &[[usize; 3]]) {
    let weights = recipe::cellsegnet_weights(3);
    let cpu = Engine::new(&Device::Cpu, &weights).unwrap();
    for (precision, tolerance) in TOLERANCES.into_iter().filter(|(p, _)| gpu.check_precision(*p).is_ok()) {
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
        // The last is longer than what one block of threads goes through, along each axis.
        equals_the_cpu(gpu, &[[1, 1, 1], [2, 1, 3], [7, 15, 1], [9, 10, 11], [16, 16, 24], [26, 17, 18]]);
    });
}

pub(super) fn predict(predictor: &Predictor, volume: &Array3<f32>, block: [usize; 3]) -> Prediction {
    predict_all(predictor, volume, block).unwrap()
}

/// The voxels of a region, as blocks are given them.
pub(super) fn region(volume: &Array3<f32>, [z, y, x]: Shape, [depth, rows, columns]: Shape) -> Grey<'_> {
    volume.slice(s![z..z + depth, y..y + rows, x..x + columns]).into()
}

fn predict_all(predictor: &Predictor, volume: &Array3<f32>, block: [usize; 3]) -> Result<Prediction> {
    let mut read = |start, shape| Ok(region(volume, start, shape));
    predictor.predict(volume.dim().into(), block, &mut read, &mut |_| ())
}

#[test]
fn blocks_give_the_bits_of_the_whole_volume() {
    emulated("cuda::network::blocks_give_the_bits_of_the_whole_volume", |gpu| {
        for precision in Precision::ALL.into_iter().filter(|p| gpu.check_precision(*p).is_ok()) {
            let device = on(gpu, precision);
            let mut predictor = Predictor::on(&device, &recipe::cellsegnet_weights(3), false).unwrap();
            predictor.keep_probabilities = true;
            // Blocks with a halo along each axis, some of them a single plane; and with whole halos along x or z.
            for (shape, block) in [([9, 10, 11], [8; 3]), ([3, 5, 99], [8, 8, 48]), ([75, 3, 5], [40, 8, 8])]
            {
                let volume = noise(shape);
                let [whole, blocks] = [[1000; 3], block].map(|block| predict(&predictor, &volume, block));
                assert!(blocks.classes == whole.classes, "{precision} {shape:?}");
                assert!(blocks.probabilities == whole.probabilities, "{precision} {shape:?}");
            }
        }
    });
}

/// Reads the blocks of a volume one after the other and says how often the driver had been asked for memory before each.
fn allocations(predictor: &Predictor, gpu: &Gpu, volume: &Array3<f32>) -> (Prediction, Vec<u64>) {
    let mut counts = Vec::new();
    let mut read = |start, shape| {
        counts.push(gpu.allocations());
        Ok(region(volume, start, shape))
    };
    let prediction = predictor.predict(volume.dim().into(), [8, 8, 16], &mut read, &mut |_| ()).unwrap();
    counts.push(gpu.allocations());
    (prediction, counts)
}

#[test]
fn blocks_in_flight_give_the_same_bits_without_new_memory() {
    let test = "cuda::network::blocks_in_flight_give_the_same_bits_without_new_memory";
    emulated(test, |gpu| {
        let volume = noise([2, 3, 160]);
        for keep_probabilities in [false, true] {
            let (device, weights) = (on(gpu, Precision::F16), recipe::cellsegnet_weights(3));
            let mut predictor = Predictor::on(&device, &weights, false).unwrap();
            predictor.keep_probabilities = keep_probabilities;
            let whole = predict(&predictor, &volume, [1000; 3]);
            let (found, counts) = allocations(&predictor, gpu, &volume);
            assert!(found.classes == whole.classes);
            assert!(found.probabilities == whole.probabilities);
            println!("allocations before each block and in the end: {counts:?}");
            // Blocks 3 to 7 of 10 read a whole halo, and there are two of them at a time from block 4 on.
            assert_eq!(counts.len(), 11);
            assert!(counts[5..=8].iter().all(|count| *count == counts[5]), "{counts:?}");
        }
    });
}

#[test]
fn blocks_give_the_same_bits_in_whatever_order_streams_run() {
    let test = "cuda::network::blocks_give_the_same_bits_in_whatever_order_streams_run";
    emulated_in_orders(test, 4, |gpu| {
        let volume = noise([2, 3, 160]);
        let mut predictor =
            Predictor::on(&on(gpu, Precision::F16), &recipe::cellsegnet_weights(3), false).unwrap();
        for keep_probabilities in [false, true] {
            predictor.keep_probabilities = keep_probabilities;
            let whole = predict(&predictor, &volume, [1000; 3]);
            let found = predict(&predictor, &volume, [8, 8, 16]);
            assert!(found.classes == whole.classes);
            assert!(found.probabilities == whole.probabilities);
        }
    });
}

#[test]
fn blocks_that_exceed_the_memory_are_halved() {
    let test = "cuda::network::blocks_that_exceed_the_memory_are_halved";
    emulated_with(test, &[("CUDA_EMULATOR_MEMORY", "64000000")], |gpu| {
        let (device, weights) = (on(gpu, Precision::F16), recipe::cellsegnet_weights(3));
        let predictor = Predictor::on(&device, &weights, false).unwrap();
        let engine = Engine::new(&device, &weights).unwrap();
        let volume = noise([3, 5, 160]);
        let whole = predict(&predictor, &volume, [1000; 3]);
        // The whole volume takes 340 kB.
        let _others = gpu.buffer(gpu.free_memory().unwrap() as usize - 250_000).unwrap();
        let error = engine.logits(&volume.clone().into()).unwrap_err();
        assert!(matches!(error, Error::DeviceMemory(_)), "{error}");
        assert!(predict(&predictor, &volume, [1000; 3]).classes == whole.classes);
        let _rest = gpu.buffer(gpu.free_memory().unwrap() as usize - 50_000).unwrap();
        let error = predict_all(&predictor, &volume, [1000; 3]).err().unwrap().to_string();
        assert!(error.contains("the least block is too large") && error.contains("out of memory"), "{error}");
    });
}

#[test]
fn classes_stay_on_the_gpu() {
    emulated("cuda::network::classes_stay_on_the_gpu", |gpu| {
        let device = on(gpu, Precision::F16);
        let volume = noise([3, 5, 99]);
        for (transposes, keep_probabilities) in [(false, false), (false, true), (true, false)] {
            let weights = recipe::cellsegnet_weights(3);
            let mut predictor = Predictor::on(&device, &weights, transposes).unwrap();
            predictor.keep_probabilities = keep_probabilities;
            assert!(predict(&predictor, &volume, [8, 8, 48]).on_gpu.is_none());
            predictor.keep_on_gpu = true;
            let found = predict(&predictor, &volume, [8, 8, 48]);
            assert!((0..3).all(|class| found.classes.iter().any(|found| *found == class)));
            assert_eq!(found.on_gpu.unwrap().download(gpu).unwrap(), found.classes);
        }
    });
}

#[test]
fn stored_numbers_are_normalised_as_on_the_cpu() {
    emulated("cuda::network::stored_numbers_are_normalised_as_on_the_cpu", |gpu| {
        let weights = recipe::cellsegnet_weights(3);
        let engine = Engine::new(&on(gpu, Precision::F32), &weights).unwrap();
        let scaling = Scaling { offset: 301.7, scale: 1.0 / 12345.6 };
        let numbers = noise([2, 3, 41]).mapv(|x| x.abs() * 250.0);
        let wide = numbers.mapv(|x| (x * 256.0) as u16);
        for stored in [Stored::U8(numbers.mapv(|x| x as u8)), Stored::U16(wide), Stored::F32(numbers)] {
            let grey = Grey::new(stored, scaling);
            let normalised = grey.clone().into_normalised().into();
            assert_eq!(engine.logits(&grey).unwrap(), engine.logits(&normalised).unwrap());
        }
    });
}

#[test]
fn nothing_comes_of_nothing() {
    emulated("cuda::network::nothing_comes_of_nothing", |gpu| {
        let device = on(gpu, Precision::F16);
        let predictor = Predictor::on(&device, &recipe::cellsegnet_weights(3), false).unwrap();
        for shape in [[0, 0, 0], [0, 5, 7], [3, 0, 7], [3, 5, 0]] {
            assert_eq!(predict(&predictor, &noise(shape), [0; 3]).classes.dim(), shape.into());
            let empty = || Grid::new(gpu, shape, 1, 4).unwrap();
            assert!(empty().download::<f32>(gpu).unwrap().is_empty());
            let conv = class_conv::on_gpu(gpu, Precision::F32, &[0.0; 3 * 32 * 27], &[0.0; 3]).unwrap();
            conv.run(&empty(), &Part::all(shape, Target::Logits(&empty()))).unwrap();
        }
    });
}

//! The network's end in probabilities: what the kernels write against the softmax of their own logits, and predictions against the
//! CPU's.
use std::sync::Arc;

use ndarray::{Array3, Array4, s};
use tascan::Shape;
use tascan::device::Precision;
use tascan::device::cuda::Gpu;
use tascan::device::cuda::convolution::Grid;
use tascan::device::cuda::volume::DeviceVolume;
use tascan::network::prediction::{Prediction, Predictor};
use tascan::ops::class_conv::{self, CIN, CLASSES, Part};
use tascan::ops::cuda::enlargement::Enlargement as OnGpu;
use tascan::ops::cuda::places::{Places, Target};
use tascan::ops::enlargement::Enlargement;
use tascan::ops::softmax::{class, softmax};
use tascan::scale::Sampling;

use super::driver::emulated;
use super::enlargement;
use super::network::{TOLERANCES, noise as grey, on, region};
use super::outer_layers::{SHAPES, Value, sixteenths};
use crate::ops::enlargement::logits;
use crate::ops::grids::noise;
use crate::scale::grid;
use crate::{compare, recipe};

/// Of the three of a voxel: each is rounded once, and what they are divided by twice. Worst seen: 1.4e-7.
const SUM_TOLERANCE: f64 = 3.0 / (1 << 25) as f64 + 2.0 / (1 << 24) as f64;
/// A value and a class that no kernel writes.
const POISON: (f32, u8) = (f32::NAN, 9);

/// Logits far apart, of which `exp` alone would be infinite or nothing.
const FAR_APART: [f32; CLASSES] = [80.0, -80.0, 79.0];

/// A volume on the GPU for probabilities and classes, with others around them.
struct Around {
    probabilities: Grid,
    classes: DeviceVolume<u8>,
    /// What all voxels had.
    class: u8,
    shape: Shape,
}

impl Around {
    /// Voxels before and behind.
    const FIRST: Shape = [1, 2, 3];
    const BEHIND: usize = 2;

    /// With room for a part of this shape, and this class everywhere.
    fn new(gpu: &Arc<Gpu>, part: Shape, class: u8) -> Self {
        let shape = [0, 1, 2].map(|axis| Self::FIRST[axis] + part[axis] + Self::BEHIND);
        let voxels: usize = shape.iter().product();
        Around {
            probabilities: Grid::upload(gpu, shape, &vec![POISON.0; CLASSES * voxels]).unwrap(),
            classes: DeviceVolume::upload(gpu, Array3::from_elem(shape, class).view()).unwrap(),
            class,
            shape: part,
        }
    }

    fn target(&self) -> (Target<'_>, Shape) {
        (Target::Probabilities(&self.probabilities, &self.classes), Self::FIRST)
    }

    /// The part's own. The others have to be as they were.
    fn part(&self, gpu: &Gpu) -> (Vec<f32>, Vec<u8>) {
        let [z, y, x] = [0, 1, 2].map(|axis| Self::FIRST[axis]..Self::FIRST[axis] + self.shape[axis]);
        let classes = self.classes.download(gpu).unwrap();
        let [depth, height, width] = self.classes.shape;
        let values = self.probabilities.download::<f32>(gpu).unwrap();
        let values = Array4::from_shape_vec([depth, height, width, CLASSES], values).unwrap();
        let voxels: usize = self.shape.iter().product();
        assert_eq!(values.iter().filter(|value| !value.is_nan()).count(), CLASSES * voxels);
        let mut around = classes.clone();
        around.slice_mut(s![z.clone(), y.clone(), x.clone()]).fill(self.class);
        assert!(around.iter().all(|class| *class == self.class), "classes around the part");
        (
            values.slice(s![z.clone(), y.clone(), x.clone(), ..]).iter().copied().collect(),
            classes.slice(s![z, y, x]).iter().copied().collect(),
        )
    }
}

/// Panics unless these are the softmax of the logits, and the classes theirs.
#[track_caller]
fn assert_softmax(what: &str, logits: &[f32], (probabilities, classes): (Vec<f32>, Vec<u8>)) {
    let (logits, _) = logits.as_chunks::<CLASSES>();
    let expected: Vec<f32> = logits.iter().flat_map(|logits| softmax(*logits)).collect();
    let sum = |p: &[f32; CLASSES]| p.iter().map(|p| f64::from(*p)).sum::<f64>();
    let sums: Vec<f64> = probabilities.as_chunks().0.iter().map(sum).collect();
    let off = sums.iter().map(|sum| (sum - 1.0).abs()).fold(0.0, f64::max);
    println!("{what}: sums off by {off:e}");
    assert!(probabilities == expected, "other bits than the host's softmax: {what}");
    sums.into_iter().for_each(|sum| compare::assert_close_f64(sum, 1.0, SUM_TOLERANCE));
    assert!(logits.iter().map(|logits| class(*logits)).eq(classes), "classes: {what}");
}

fn last_layer<V: Value>(gpu: &Arc<Gpu>) {
    let weight = noise(CLASSES * CIN * 27, 1);
    let near: Vec<f32> = weight.iter().map(|value| value / 8.0).collect();
    for (weight, bias) in [(near, noise(CLASSES, 2)), (weight, FAR_APART.to_vec())] {
        let conv = class_conv::on_gpu(gpu, V::PRECISION, &weight, &bias).unwrap();
        for shape in SHAPES {
            let x = sixteenths(shape);
            let values: Vec<V> = x.rows().flat_map(|at| x.row(at)).map(|value| V::of(*value)).collect();
            let input = Grid::upload(gpu, shape, &values).unwrap();
            for first in [[0; 3], shape.map(|extent| extent / 2)] {
                let shape = [0, 1, 2].map(|axis| shape[axis] - first[axis]);
                let what = format!("last layer {shape:?} in {} with {bias:?}", V::PRECISION);
                let around = Around::new(gpu, shape, POISON.1);
                let logits = Grid::new(gpu, shape, CLASSES, size_of::<f32>()).unwrap();
                let (alone, whole) = (Target::Logits(&logits), around.target());
                let places = Places { alone, whole, keeps_lowest: false };
                conv.run(&input, &Part { first, shape, places }).unwrap();
                let logits = logits.download::<f32>(gpu).unwrap();
                let found = around.part(gpu);
                // By themselves, beside classes of which lower ones stay.
                let lowest = Around::new(gpu, shape, 1);
                let probabilities = Grid::new(gpu, shape, CLASSES, size_of::<f32>()).unwrap();
                let classes = DeviceVolume::new(gpu, shape).unwrap();
                let target = Target::Probabilities(&probabilities, &classes);
                let places = Places { alone: target, whole: lowest.target(), keeps_lowest: true };
                conv.run(&input, &Part { first, shape, places }).unwrap();
                let by_themselves = (
                    probabilities.download::<f32>(gpu).unwrap(),
                    classes.download(gpu).unwrap().into_raw_vec_and_offset().0,
                );
                assert!(by_themselves == found, "{what}");
                let lower: Vec<u8> = found.1.iter().map(|class| *class.min(&1)).collect();
                assert!(lowest.part(gpu) == (by_themselves.0, lower), "{what}");
                assert_softmax(&what, &logits, found);
            }
        }
    }
}

#[test]
fn the_last_layer_ends_in_softmax() {
    emulated("cuda::probabilities::the_last_layer_ends_in_softmax", |gpu| {
        last_layer::<f32>(gpu);
        last_layer::<half::f16>(gpu);
        if gpu.check_precision(Precision::Bf16).is_ok() {
            last_layer::<half::bf16>(gpu);
        }
    });
}

#[test]
fn the_enlargement_ends_in_softmax() {
    emulated("cuda::probabilities::the_enlargement_ends_in_softmax", |gpu| {
        for (shape, sampling) in enlargement::CASES.map(|(shape, text)| (shape, grid(text))) {
            for (order, spread) in [1.0, 80.0].into_iter().enumerate() {
                let cpu = Enlargement::new(shape, sampling);
                let on_gpu = OnGpu::new(gpu, &cpu).unwrap();
                let small = logits(sampling.shape(shape), order as u64 + 1)
                    .mapv(|logits| logits.map(|logit| spread * logit));
                let sent = on_gpu.upload(&small).unwrap();
                let first = shape[0] / 3;
                let part = [shape[0] - first, shape[1], shape[2]];
                let (expected, _) = enlargement::on_cpu(&cpu, &small, shape);
                let expected = &expected[first * shape[1] * shape[2] * CLASSES..];
                let around = Around::new(gpu, part, POISON.1);
                let alone = Grid::new(gpu, part, CLASSES, size_of::<f32>()).unwrap();
                let places =
                    Places { alone: Target::Logits(&alone), whole: around.target(), keeps_lowest: false };
                on_gpu.run(&sent, first..shape[0], &places).unwrap();
                assert_eq!(alone.download::<f32>(gpu).unwrap(), expected, "{shape:?} by {sampling}");
                let what = format!("enlargement to {shape:?} by {sampling}, logits up to {spread}");
                assert_softmax(&what, expected, around.part(gpu));
            }
        }
    });
}

/// A volume, which the network sees on a grid of its own, in small blocks; all points have to be told as done.
fn predict(mut predictor: Predictor, shape: Shape, sampling: Sampling) -> Prediction {
    predictor.keep_probabilities = true;
    let small = sampling.shape(shape);
    let volume = grey(small);
    let (mut told, block) = (0, [8, 8, 16]);
    let mut read = |start, shape| Ok(region(&volume, start, shape));
    let mut progress = |voxels| told = voxels;
    let found = match sampling {
        Sampling::STORED => predictor.predict(shape, block, &mut read, &mut progress),
        _ => predictor.predict_sampled(shape, sampling, block, &mut read, &mut progress),
    };
    assert_eq!(told, small.iter().product::<usize>());
    found.unwrap()
}

#[test]
fn predictions_equal_those_of_the_cpu() {
    emulated("cuda::probabilities::predictions_equal_those_of_the_cpu", |gpu| {
        let weights = recipe::cellsegnet_weights(3);
        for (shape, sampling) in [([5, 6, 19], Sampling::STORED), ([9, 6, 35], grid("2,2,2"))] {
            for transposes in [false, true] {
                let expected = predict(Predictor::new(&weights, transposes), shape, sampling);
                // bf16 is f16 with other conversions.
                for (precision, tolerance) in TOLERANCES.into_iter().filter(|(p, _)| *p != Precision::Bf16) {
                    let predictor = Predictor::on(&on(gpu, precision), &weights, transposes).unwrap();
                    let found = predict(predictor, shape, sampling);
                    let [p, q] = [&found, &expected]
                        .map(|prediction| prediction.probabilities.as_ref().unwrap().as_slice().unwrap());
                    let worst = p.iter().zip(q).map(|(p, q)| (p - q).abs()).fold(0.0, f32::max);
                    println!("{precision} {shape:?} by {sampling}, all orders {transposes}: {worst:e}");
                    compare::assert_close(p, q, tolerance);
                    assert!(precision != Precision::F32 || found.classes == expected.classes);
                }
            }
        }
    });
}

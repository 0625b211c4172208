//! Softmax, the loss, and the gradient of both.
use tascan::device::Precision;
use tascan::device::cuda::training::Batch;
use tascan::device::cuda::training::loss::BatchLoss;
use tascan::ops::loss::{CLASSES, Loss, NOT_COUNTED, Truth, Variant};
use tascan::ops::softmax;

use super::super::driver::emulated;
use super::{SHAPES, assert_near};
use crate::compare::assert_relative;
use crate::ops::grids::noise;
use crate::ops::loss::{counted, spread};

#[test]
fn all_variants_equal_those_of_the_cpu() {
    emulated("cuda::training::loss::all_variants_equal_those_of_the_cpu", |gpu| {
        let variants = [Variant::WeightedRatio, Variant::Weighted, Variant::Ratio, Variant::Plain];
        for (variant, cross_entropy) in variants.into_iter().flat_map(|v| [(v, 0.0), (v, 0.7)]) {
            let loss = Loss { variant, cross_entropy };
            for (n, shape) in SHAPES {
                let voxels = n * shape.iter().product::<usize>();
                // Some logits so far apart that probabilities become zero.
                let logits: Vec<f32> =
                    noise(3 * voxels, 5).iter().map(|x| 3.0 * x + 90.0 * x.powi(9)).collect();
                let class: Vec<u8> = noise(voxels, 6).iter().map(|x| (1.5 * (x + 1.0)) as u8).collect();
                let weight: Vec<f32> = noise(voxels, 7).iter().map(|x| x + 1.5).collect();
                let truth = Truth { class: &class, weight: &weight };

                let voxel_wise = logits.as_chunks::<3>().0.iter();
                let p: Vec<f32> = voxel_wise.flat_map(|logits| softmax::softmax(*logits)).collect();
                let mut dp = vec![f32::NAN; p.len()];
                let value = loss.of(&p, truth, &mut dp);
                let pairs = p.as_chunks::<3>().0.iter().zip(dp.as_chunks::<3>().0);
                let expected: Vec<f32> = pairs.flat_map(|(p, dp)| softmax::backward(*p, *dp)).collect();

                let found = BatchLoss::of(
                    &loss,
                    Batch::upload(gpu, Precision::F32, n, shape, &logits).unwrap(),
                    truth,
                )
                .unwrap();
                assert_relative(found.value, value, 1e-6);
                assert!(found.probabilities().download().unwrap() == p, "other bits than the host's softmax");
                let gradient = found.gradient().unwrap().download().unwrap();
                assert_near(&format!("{variant:?} {cross_entropy}"), &gradient, &expected, 1e-5);
            }
        }
    });
}

/// The CPU's loss of logits and its gradient to them.
fn on_cpu(loss: &Loss, logits: &[f32], truth: Truth) -> (f64, Vec<f32>) {
    let voxel_wise = logits.as_chunks::<CLASSES>().0.iter();
    let p: Vec<f32> = voxel_wise.flat_map(|logits| softmax::softmax(*logits)).collect();
    let mut dp = vec![f32::NAN; p.len()];
    let value = loss.of(&p, truth, &mut dp);
    let pairs = p.as_chunks::<CLASSES>().0.iter().zip(dp.as_chunks::<CLASSES>().0);
    (value, pairs.flat_map(|(p, dp)| softmax::backward(*p, *dp)).collect())
}

#[test]
fn voxels_left_out_have_no_part_in_the_loss() {
    emulated("cuda::training::loss::voxels_left_out_have_no_part_in_the_loss", |gpu| {
        let variants = [Variant::WeightedRatio, Variant::Weighted, Variant::Ratio, Variant::Plain];
        for (variant, (n, shape)) in variants.into_iter().flat_map(|v| SHAPES.map(|shape| (v, shape))) {
            let loss = Loss { variant, cross_entropy: 0.7 };
            let voxels = n * shape.iter().product::<usize>();
            let logits: Vec<f32> = noise(3 * voxels, 5).iter().map(|x| 3.0 * x).collect();
            let codes = [0, 1, 2, NOT_COUNTED];
            let class: Vec<u8> =
                noise(voxels, 6).iter().map(|x| codes[(2.0 * (x + 1.0)) as usize % 4]).collect();
            let weight: Vec<f32> = noise(voxels, 7).iter().map(|x| x + 1.5).collect();

            let (counts, own) = (counted(&class, 1, &class), counted(&weight, 1, &class));
            let alone = counted(&logits, CLASSES, &class);
            let truth = Truth { class: &counts, weight: &own };
            let (value, expected) = spread(on_cpu(&loss, &alone, truth), &class);

            let logits = Batch::upload(gpu, Precision::F32, n, shape, &logits).unwrap();
            let found = BatchLoss::of(&loss, logits, Truth { class: &class, weight: &weight }).unwrap();
            assert_relative(found.value, value, 1e-6);
            let gradient = found.gradient().unwrap().download().unwrap();
            assert_near(&format!("{variant:?}"), &gradient, &expected, 1e-5);
            let at_left_out = gradient.chunks(CLASSES).zip(&class).filter(|(_, c)| **c == NOT_COUNTED);
            assert!(at_left_out.flat_map(|(gradient, _)| gradient).all(|&g| g == 0.0), "{variant:?}");
        }
    });
}

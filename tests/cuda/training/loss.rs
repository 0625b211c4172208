//! Softmax, the loss, and the gradient of both.
use tascan::device::Precision;
use tascan::device::cuda::training::Batch;
use tascan::device::cuda::training::loss::BatchLoss;
use tascan::ops::loss::{Loss, Truth, Variant};
use tascan::ops::softmax;

use super::super::driver::emulated;
use super::{SHAPES, assert_near};
use crate::compare::assert_relative;
use crate::ops::grids::noise;

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

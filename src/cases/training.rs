//! Training: the losses of some steps, in which every operation of forward and backward pass has a part.
use std::cell::OnceCell;
use std::sync::Arc;

use super::network::noise;
use super::{About, Case, Pipe, Visit, Work, has, worst};
use crate::device::cuda::Gpu;
use crate::device::{Device, Precision};
use crate::error::Result;
use crate::network::trainer::Trainer;
use crate::network::{layout, multiply_adds};
use crate::ops::adam::Adam;
use crate::ops::loss::{Loss, Truth};
use crate::weights::Weights;

/// Volumes of a batch.
const BATCH: usize = 2;
const STEPS: usize = 3;
/// The paper's learning rate. Ten times that makes three steps magnify a change of the input by 1e-7 to 4e-5 of the loss,
/// as Adam's first steps go as far along a gradient that is rounding as along any other.
const RATE: f64 = 1e-4;
/// The precisions, what their products are made by, and how far a loss may be off, relatively, after steps that magnify the
/// rounding of those before.
const PRECISIONS: [(Precision, Pipe, f64); 2] =
    [(Precision::F32, Pipe::Scalar, 1e-4), (Precision::Bf16, Pipe::Tensor, 5e-3)];

/// Batches of cubes of half the edge, in each precision.
pub(super) fn visit_all(gpu: Option<&Arc<Gpu>>, edge: usize, visit: Visit) -> Result<()> {
    let edge = edge.div_ceil(2);
    let voxels = BATCH * edge.pow(3);
    let batch = noise(1, voxels, 1.0);
    // Slabs of one class, five voxels thick.
    let class: Vec<u8> = (0..voxels).map(|voxel| (voxel / (5 * edge * edge) % 3) as u8).collect();
    let weight: Vec<f32> = noise(2, voxels, 0.5).into_iter().map(|weight| 1.0 + weight).collect();
    let losses = |device: &Device| -> Result<Vec<f64>> {
        let adam = Adam::new(layout::trainable_len());
        let mut trainer = Trainer::new(device, Weights::initial(1), adam)?;
        let loss = Loss { cross_entropy: 0.5, ..Loss::default() };
        let truth = Truth { class: &class, weight: &weight };
        let step = |_| {
            let value = trainer.loss(&batch, BATCH, [edge; 3], truth, &loss)?;
            trainer.update(RATE)?;
            Ok(value)
        };
        (0..STEPS).map(step).collect()
    };
    let losses = &losses;
    let expected = OnceCell::new();
    let on_cpu = || expected.get_or_init(|| losses(&Device::Cpu));
    for (precision, pipe, tolerance) in PRECISIONS.into_iter().filter(|(p, ..)| has(gpu, *p)) {
        let about = About {
            operation: "training steps",
            shape: format!("{STEPS} of {BATCH}x{edge}^3"),
            dtype: precision.name(),
            work: Work {
                // The gradients to inputs and to weights cost as much as the forward pass each.
                operations: (3 * STEPS * voxels) as f64 * 2.0 * multiply_adds(),
                bytes: (16 * STEPS * voxels) as f64,
            },
            pipe,
            tolerance,
        };
        let on_gpu = gpu.map(|gpu| {
            let device = Device::cuda(gpu.clone(), precision);
            move || losses(&device)
        });
        let compare = |expected: &&Result<Vec<f64>>, found: &Vec<f64>| {
            let Ok(expected) = expected else { return Ok(f64::NAN) };
            let deviation = |(expected, found): (&f64, &f64)| ((found - expected) / expected).abs();
            Ok(worst(expected.iter().zip(found).map(deviation)))
        };
        visit(&Case::new(about, on_cpu, on_gpu, compare))?;
    }
    Ok(())
}

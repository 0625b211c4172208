//! Softmax, the loss and the gradient of both: kernels/loss.cu. The mathematics are in [`crate::ops::loss`].
use cudarc::driver::DeviceRepr;

use super::Batch;
use crate::device::cuda::kernels::Launch;
use crate::device::cuda::memory::Buffer;
use crate::error::Result;
use crate::ops::loss::{Loss, Truth, Variant};

const THREADS: u32 = 256;
/// Voxels whose sums one block of threads forms.
const CHUNK: usize = 1024;
/// Sums of a chunk.
const SUMS: usize = 7;
/// Values that the gradient needs, the loss first.
const RESULTS: usize = 6;

/// `Loss` of kernels/loss.cu.
#[derive(Clone, Copy)]
#[repr(C)]
struct Arguments {
    values: u64,
    truth: u64,
    weight: u64,
    partial: u64,
    result: u64,
    voxels: i64,
    cross_entropy: f64,
    is_ratio: i32,
    is_weighted: i32,
    chunks: i32,
    unused: i32,
}

// SAFETY: numbers alone, without padding, in the layout of the kernels' parameter.
unsafe impl DeviceRepr for Arguments {}

/// The loss of a batch, of which the gradient is still to be formed.
pub struct BatchLoss {
    /// The loss.
    pub value: f64,
    loss: Loss,
    values: Batch,
    class: Buffer,
    weight: Buffer,
    partial: Buffer,
    result: Buffer,
}

impl BatchLoss {
    /// The loss of a batch of logits (`[k][3]`), which become probabilities.
    ///
    /// # Errors
    /// Where the GPU has too little memory, or anything launched before failed.
    ///
    /// # Panics
    /// Where the truth has not one class and one weight a voxel.
    pub fn of(loss: &Loss, logits: Batch, truth: Truth) -> Result<Self> {
        assert_eq!(truth.class.len(), logits.voxels(), "one class a voxel");
        assert_eq!(truth.weight.len(), logits.voxels(), "one weight a voxel");
        let gpu = logits.gpu.clone();
        let mut found = BatchLoss {
            value: 0.0,
            loss: *loss,
            class: gpu.upload(truth.class)?,
            weight: gpu.upload(truth.weight)?,
            partial: gpu.buffer(chunks(&logits) * SUMS * size_of::<f64>())?,
            result: gpu.buffer(RESULTS * size_of::<f64>())?,
            values: logits,
        };
        found.run("loss_sums", Launch { grid: [chunks(&found.values) as u32, 1, 1], threads: THREADS })?;
        found.run("loss_finish", Launch { grid: [1; 3], threads: THREADS })?;
        gpu.download(&found.result, std::slice::from_mut(&mut found.value))?;
        Ok(found)
    }

    /// `[k][3]`
    pub fn probabilities(&self) -> &Batch {
        &self.values
    }

    /// The gradient to the logits, `[k][3]`.
    ///
    /// # Errors
    /// Where the driver refuses the launch.
    pub fn gradient(self) -> Result<Batch> {
        self.run("loss_gradient", Launch::over(self.values.voxels(), THREADS))?;
        Ok(self.values)
    }

    fn run(&self, kernel: &'static str, shape: Launch) -> Result<()> {
        let variant = self.loss.variant;
        let arguments = Arguments {
            values: self.values.address(),
            truth: self.class.address(),
            weight: self.weight.address(),
            partial: self.partial.address(),
            result: self.result.address(),
            voxels: self.values.voxels() as i64,
            cross_entropy: self.loss.cross_entropy,
            is_ratio: matches!(variant, Variant::WeightedRatio | Variant::Ratio).into(),
            is_weighted: matches!(variant, Variant::WeightedRatio | Variant::Weighted).into(),
            chunks: chunks(&self.values) as i32,
            unused: 0,
        };
        // SAFETY: the arguments are those of all kernels of the file, and the buffers have the sizes that follow from the
        // number of voxels.
        unsafe { self.values.gpu.launch_named(["loss", kernel], shape, &arguments) }
    }
}

fn chunks(values: &Batch) -> usize {
    values.voxels().div_ceil(CHUNK)
}

//! Activations of several volumes on a GPU.
use std::sync::Arc;

use crate::device::Precision;
use crate::device::cuda::Gpu;
use crate::device::cuda::memory::Buffer;
use crate::error::Result;
use crate::volume::Shape;

/// A batch of `n` volumes on a GPU: `[n][z][y][x][channel]`.
#[derive(Debug)]
pub struct Batch {
    /// Where it lies.
    pub(super) gpu: Arc<Gpu>,
    /// Volumes.
    pub n: usize,
    /// Extent of one volume.
    pub shape: Shape,
    /// Channels a voxel.
    pub channels: usize,
    /// Of the values.
    pub precision: Precision,
    buffer: Buffer,
}

impl Batch {
    /// A batch whose values a kernel is going to write.
    ///
    /// # Errors
    /// Where the GPU has no memory for it.
    pub fn new(
        gpu: &Arc<Gpu>,
        precision: Precision,
        n: usize,
        shape: Shape,
        channels: usize,
    ) -> Result<Self> {
        let values = n * shape.iter().product::<usize>() * channels;
        let buffer = gpu.buffer(values * precision.size())?;
        Ok(Batch { gpu: gpu.clone(), n, shape, channels, precision, buffer })
    }

    /// A batch of the same shape, to be written.
    ///
    /// # Errors
    /// Where the GPU has no memory for it.
    pub fn like(&self) -> Result<Self> {
        Batch::new(&self.gpu, self.precision, self.n, self.shape, self.channels)
    }

    /// A batch of `n` volumes with `values`, `[n][z][y][x][channel]`, each rounded to `precision`.
    ///
    /// # Errors
    /// Where the GPU has no memory for it, or the copy fails.
    pub fn upload(
        gpu: &Arc<Gpu>,
        precision: Precision,
        n: usize,
        shape: Shape,
        values: &[f32],
    ) -> Result<Self> {
        let channels = values.len() / (n * shape.iter().product::<usize>()).max(1);
        let buffer = gpu.upload(&precision.encode(values))?;
        Ok(Batch { gpu: gpu.clone(), n, shape, channels, precision, buffer })
    }

    /// The values, `[n][z][y][x][channel]`.
    ///
    /// # Errors
    /// Where the copy or a kernel before it failed.
    pub fn download(&self) -> Result<Vec<f32>> {
        let mut bytes = vec![0; self.len() * self.precision.size()];
        self.gpu.download(&self.buffer, &mut bytes)?;
        Ok(self.precision.decode(&bytes))
    }

    /// Voxels of all volumes.
    pub fn voxels(&self) -> usize {
        self.n * self.shape.iter().product::<usize>()
    }

    /// Values.
    pub fn len(&self) -> usize {
        self.voxels() * self.channels
    }

    /// Whether there is no voxel.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn address(&self) -> u64 {
        self.buffer.address()
    }

    /// Where one of the volumes begins.
    pub(super) fn volume(&self, number: usize) -> u64 {
        self.address() + (number * self.len() / self.n.max(1) * self.precision.size()) as u64
    }
}

/// The kernel for the values of a batch, in f32 or in bf16.
///
/// # Panics
/// Where they are in f16, whose range is too small for training.
pub(super) fn kernel_of(batch: &Batch, [f32, bf16]: [&'static str; 2]) -> &'static str {
    match batch.precision {
        Precision::F32 => f32,
        Precision::Bf16 => bf16,
        Precision::F16 => panic!("training has no f16"),
    }
}

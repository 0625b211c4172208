//! The parameters of the network on a GPU in the order of [`layout`], their gradient, and the optimiser
//! ([`Adam`]).
use std::sync::Arc;

use cudarc::driver::DeviceRepr;

use crate::device::cuda::Gpu;
use crate::device::cuda::kernels::Launch;
use crate::device::cuda::memory::Buffer;
use crate::error::Result;
use crate::network::layout;
use crate::ops::adam::Adam;

const THREADS: u32 = 256;

/// Parameters, statistics, gradient and moments.
pub struct Parameters {
    pub(super) gpu: Arc<Gpu>,
    /// All values, the statistics of the batch norms included.
    values: Buffer,
    /// Of the trainable values.
    gradient: Buffer,
    first: Buffer,
    second: Buffer,
    steps: u64,
}

/// `Adam` of kernels/adam.cu.
#[derive(Clone, Copy)]
#[repr(C)]
struct Arguments {
    parameters: u64,
    gradient: u64,
    first: u64,
    second: u64,
    count: i64,
    rate: f32,
    root: f32,
}

// SAFETY: numbers alone, without padding, in the layout of the kernel's parameter.
unsafe impl DeviceRepr for Arguments {}

impl Parameters {
    /// Sends values in the order of [`layout`] and the optimiser's state to the GPU.
    ///
    /// # Errors
    /// Where the GPU has no memory for them, or the copy fails.
    pub fn new(gpu: &Arc<Gpu>, values: &[f32], adam: &Adam) -> Result<Self> {
        Ok(Parameters {
            gpu: gpu.clone(),
            values: gpu.upload(values)?,
            gradient: gpu.buffer(layout::trainable_len() * size_of::<f32>())?,
            first: gpu.upload(&adam.first)?,
            second: gpu.upload(&adam.second)?,
            steps: adam.steps,
        })
    }

    /// Puts another gradient in place of the last backward pass's.
    ///
    /// # Errors
    /// Where the GPU has no memory for it, or the copy fails.
    pub fn set_gradient(&mut self, gradient: &[f32]) -> Result<()> {
        self.gradient = self.gpu.upload(gradient)?;
        Ok(())
    }

    /// One step of the optimiser.
    ///
    /// # Errors
    /// Where the driver refuses the launch.
    pub fn step(&mut self, rate: f64) -> Result<()> {
        self.steps += 1;
        let (rate, root) = Adam::corrected(rate, self.steps);
        let arguments = Arguments {
            parameters: self.values.address(),
            gradient: self.gradient.address(),
            first: self.first.address(),
            second: self.second.address(),
            count: layout::trainable_len() as i64,
            rate,
            root,
        };
        let named = ["adam", "adam"];
        // SAFETY: the arguments are the kernel's, and each buffer has a value for every trainable parameter.
        unsafe { self.gpu.launch_named(named, Launch::over(layout::trainable_len(), THREADS), &arguments) }
    }

    /// All values as they are now.
    ///
    /// # Errors
    /// Where the copy or a kernel before it failed.
    pub fn download(&self, values: &mut [f32]) -> Result<()> {
        self.gpu.download(&self.values, values)
    }

    /// The gradient of the last backward pass.
    ///
    /// # Errors
    /// As [`download`](Self::download).
    pub fn gradient(&self) -> Result<Vec<f32>> {
        let mut gradient = vec![0.0; layout::trainable_len()];
        self.gpu.download(&self.gradient, &mut gradient)?;
        Ok(gradient)
    }

    /// The part of the gradient that belongs to one tensor.
    ///
    /// # Errors
    /// As [`download`](Self::download).
    pub fn gradient_of(&self, name: &str) -> Result<Vec<f32>> {
        let range = layout::range(name);
        let mut gradient = vec![0.0; range.len()];
        self.gpu.download_from(&self.gradient, range.start, &mut gradient)?;
        Ok(gradient)
    }

    /// The optimiser's state.
    ///
    /// # Errors
    /// As [`download`](Self::download).
    pub fn adam(&self) -> Result<Adam> {
        let mut adam = Adam { steps: self.steps, ..Adam::new(layout::trainable_len()) };
        self.gpu.download(&self.first, &mut adam.first)?;
        self.gpu.download(&self.second, &mut adam.second)?;
        Ok(adam)
    }

    /// Where the first parameter lies on the GPU.
    pub(super) fn start(&self) -> u64 {
        self.values.address()
    }

    /// Where its gradient does.
    pub(super) fn gradient_start(&self) -> u64 {
        self.gradient.address()
    }

    /// Where a tensor lies on the GPU.
    pub(super) fn value(&self, name: &str) -> u64 {
        within(&self.values, name)
    }

    /// Where a tensor's gradient lies on the GPU.
    pub(super) fn slot(&self, name: &str) -> u64 {
        within(&self.gradient, name)
    }
}

fn within(buffer: &Buffer, name: &str) -> u64 {
    buffer.address() + (layout::range(name).start * size_of::<f32>()) as u64
}

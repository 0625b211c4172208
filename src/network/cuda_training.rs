//! The network in training on a GPU: as [`training`](super::training), with parameters, activations, loss and optimiser all on
//! the device. A step sends a batch with its truth and fetches the loss and the new weights. Activations and the gradients to
//! them are in f32 or bf16, logits, weights and all sums in f32.
use std::sync::Arc;

use super::{DOWN, UP};
use crate::device::Precision;
use crate::device::cuda::Gpu;
use crate::device::cuda::training::batch_norm::{Norm, bias_gradient};
use crate::device::cuda::training::loss::BatchLoss;
use crate::device::cuda::training::packing::Packing;
use crate::device::cuda::training::{Batch, Parameters, convolution, weight_gradient};
use crate::error::{Error, Result};
use crate::ops::adam::Adam;
use crate::ops::loss::{Loss, Truth};
use crate::volume::Shape;
use crate::weights::Weights;

/// Weights, optimiser, and all that a forward pass leaves for its backward pass.
pub struct CudaTraining {
    gpu: Arc<Gpu>,
    parameters: Parameters,
    packing: Packing,
    tape: Option<Tape>,
    /// As they were after the last update.
    weights: Weights,
}

/// What a halving stage keeps: h, relu(batchnorm(h)), and h + conv of it.
struct DownTape {
    h: Batch,
    norm: Norm,
    a: Batch,
    out: Batch,
}

/// What a doubling stage keeps: the transposed convolution, and relu(batchnorm) of it plus the skip.
struct UpTape {
    y: Batch,
    norm: Norm,
    out: Batch,
}

struct Tape {
    x: Batch,
    y1: Batch,
    norm1: Norm,
    c1: Batch,
    down: Vec<DownTape>,
    up: Vec<UpTape>,
    loss: BatchLoss,
}

impl CudaTraining {
    /// A network that starts from these weights, and its optimiser from this state; activations are in `precision`.
    ///
    /// # Errors
    /// Where the GPU does not compute in this precision or it is f16, and where the GPU has no memory for the network.
    pub fn new(gpu: &Arc<Gpu>, precision: Precision, weights: Weights, adam: &Adam) -> Result<Self> {
        gpu.check_precision(precision)?;
        if !Precision::OF_TRAINING.contains(&precision) {
            return Err(Error::invalid(
                "training in f16: its range is too small for gradients; use f32 or bf16",
            ));
        }
        Ok(CudaTraining {
            gpu: gpu.clone(),
            parameters: Parameters::new(gpu, &weights.values, adam)?,
            packing: Packing::new(gpu, precision)?,
            tape: None,
            weights,
        })
    }

    /// The weights after the last update.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// The optimiser's state.
    ///
    /// # Errors
    /// Where the copy or anything launched before failed.
    pub fn adam(&self) -> Result<Adam> {
        self.parameters.adam()
    }

    /// The gradient of the last backward pass to all trainable parameters.
    ///
    /// # Errors
    /// As [`adam`](Self::adam).
    pub fn gradient(&self) -> Result<Vec<f32>> {
        self.parameters.gradient()
    }

    /// The loss of a batch of `n` volumes, `[n][z][y][x]`; moves the running statistics.
    ///
    /// # Errors
    /// Where the GPU has too little memory or fails.
    ///
    /// # Panics
    /// Where `batch` or the truth does not hold `n * shape` voxels.
    pub fn loss(&mut self, batch: &[f32], n: usize, shape: Shape, truth: Truth, loss: &Loss) -> Result<f64> {
        assert_eq!(batch.len(), n * shape.iter().product::<usize>(), "{n} volumes of {shape:?} voxels");
        // Its memory serves this pass.
        self.tape = None;
        let tape = self.forward(Batch::upload(&self.gpu, Precision::F32, n, shape, batch)?, truth, loss)?;
        Ok(self.tape.insert(tape).loss.value)
    }

    /// The gradient of the last loss, and a step of the optimiser along it.
    ///
    /// # Errors
    /// As [`loss`](Self::loss).
    ///
    /// # Panics
    /// Where no loss was computed before.
    pub fn update(&mut self, rate: f64) -> Result<()> {
        let tape = self.tape.take().expect("a forward pass before the backward pass");
        self.backward(tape)?;
        self.parameters.step(rate)?;
        self.parameters.download(&mut self.weights.values)
    }

    fn forward(&self, x: Batch, truth: Truth, loss: &Loss) -> Result<Tape> {
        let (parameters, packing) = (&self.parameters, &self.packing);
        packing.pack(parameters)?;
        let y1 = convolution::first(parameters, packing, &x)?;
        let norm1 = Norm::of(parameters, "bnorm1", &y1)?;
        let c1 = norm1.relu(&y1, None)?;
        let mut down: Vec<DownTape> = Vec::with_capacity(DOWN.len());
        for level in 0..DOWN.len() {
            let next = self.down_stage(level, down.last().map_or(&c1, |finer| &finer.out))?;
            down.push(next);
        }
        let mut up: Vec<UpTape> = Vec::with_capacity(UP.len());
        for level in 0..UP.len() {
            let coarse = up.last().map_or(&down[2].out, |coarser| &coarser.out);
            let skip = if level < 2 { &down[1 - level].out } else { &c1 };
            let next = self.up_stage(level, coarse, skip)?;
            up.push(next);
        }
        let logits = convolution::classes(parameters, packing, &up[2].out)?;
        let loss = BatchLoss::of(loss, logits, truth)?;
        Ok(Tape { x, y1, norm1, c1, down, up, loss })
    }

    fn down_stage(&self, level: usize, finer: &Batch) -> Result<DownTape> {
        let (name, _, module) = DOWN[level];
        let h = convolution::halve(&self.parameters, &self.packing, name, finer)?;
        let norm = Norm::of(&self.parameters, &format!("{module}.batchnorm_module"), &h)?;
        let a = norm.relu(&h, None)?;
        let residual = format!("{module}.conv_module");
        let out = convolution::residual(&self.parameters, &self.packing, &residual, &a, &h)?;
        Ok(DownTape { h, norm, a, out })
    }

    fn up_stage(&self, level: usize, coarse: &Batch, skip: &Batch) -> Result<UpTape> {
        let (name, _, bnorm) = UP[level];
        let y = convolution::double(&self.parameters, &self.packing, name, coarse, skip)?;
        let norm = Norm::of(&self.parameters, bnorm, &y)?;
        let out = norm.relu(&y, Some(skip))?;
        Ok(UpTape { y, norm, out })
    }

    fn backward(&self, tape: Tape) -> Result<()> {
        let (parameters, packing) = (&self.parameters, &self.packing);
        let Tape { x, y1, norm1, c1, mut down, mut up, loss } = tape;
        let d_logits = loss.gradient()?;
        bias_gradient(parameters, "conv6", &d_logits)?;
        weight_gradient::classes(parameters, packing, &up[2].out, &d_logits)?;
        let mut gradient = convolution::classes_to_input(packing, &d_logits)?;
        // What reaches c1, c2 and c3 through the skip connections, in this order.
        let mut skips = Vec::with_capacity(UP.len());
        while let Some(stage) = up.pop() {
            let coarse = up.last().map_or(&down[2].out, |coarser| &coarser.out);
            let d_coarse = self.up_backward(up.len(), &stage, &gradient, coarse)?;
            skips.push(std::mem::replace(&mut gradient, d_coarse));
        }
        while let (Some(stage), Some(skip)) = (down.pop(), skips.pop()) {
            let finer = down.last().map_or(&c1, |finer| &finer.out);
            gradient = self.down_backward(down.len(), &stage, &gradient, finer, &skip)?;
        }
        norm1.backward(parameters, "bnorm1", &y1, &gradient, None)?;
        bias_gradient(parameters, "conv2", &y1)?;
        weight_gradient::first(parameters, packing, &x, &y1)
    }

    /// The gradient to the coarse grid; the stage's y becomes its own gradient.
    fn up_backward(&self, level: usize, stage: &UpTape, d_out: &Batch, coarse: &Batch) -> Result<Batch> {
        let ((name, _, bnorm), UpTape { y, norm, .. }) = (UP[level], stage);
        norm.backward(&self.parameters, bnorm, y, d_out, None)?;
        bias_gradient(&self.parameters, name, y)?;
        weight_gradient::double(&self.parameters, &self.packing, name, coarse, y)?;
        convolution::double_to_input(&self.packing, name, y, coarse)
    }

    /// The gradient to the finer grid, plus `skip`; the stage's h becomes its own gradient.
    fn down_backward(
        &self,
        level: usize,
        stage: &DownTape,
        d_out: &Batch,
        finer: &Batch,
        skip: &Batch,
    ) -> Result<Batch> {
        let (parameters, packing) = (&self.parameters, &self.packing);
        let ((name, _, module), DownTape { h, norm, a, .. }) = (DOWN[level], stage);
        let residual = format!("{module}.conv_module");
        bias_gradient(parameters, &residual, d_out)?;
        weight_gradient::residual(parameters, packing, &residual, a, d_out)?;
        let da = convolution::residual_to_input(packing, &residual, d_out)?;
        norm.backward(parameters, &format!("{module}.batchnorm_module"), h, &da, Some(d_out))?;
        bias_gradient(parameters, name, h)?;
        weight_gradient::halve(parameters, packing, name, finer, h)?;
        convolution::halve_to_input(packing, name, h, skip)
    }
}

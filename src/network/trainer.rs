//! A network in training with its loss and its optimiser, on whichever device there is.
use super::cuda_training::CudaTraining;
use super::layout;
use super::training::TrainingNetwork;
use crate::device::Device;
use crate::error::Result;
use crate::ops::adam::Adam;
use crate::ops::loss::{Loss, Truth};
use crate::volume::Shape;
use crate::weights::Weights;

/// A network that learns on its device.
pub enum Trainer {
    /// On the CPU.
    Cpu(Box<CpuTraining>),
    /// On a GPU.
    Cuda(Box<CudaTraining>),
}

/// The parts of a step on the CPU.
pub struct CpuTraining {
    network: TrainingNetwork,
    adam: Adam,
    d_probabilities: Vec<f32>,
}

impl Trainer {
    /// A network that starts from these weights, and its optimiser from this state.
    ///
    /// # Errors
    /// Those of [`CudaTraining::new`].
    pub fn new(device: &Device, weights: Weights, adam: Adam) -> Result<Self> {
        Ok(match device {
            Device::Cpu => Trainer::Cpu(Box::new(CpuTraining {
                network: TrainingNetwork::new(weights),
                adam,
                d_probabilities: Vec::new(),
            })),
            Device::Cuda { gpu, precision, .. } => {
                Trainer::Cuda(Box::new(CudaTraining::new(gpu, *precision, weights, &adam)?))
            }
        })
    }

    /// The loss of a batch of `n` volumes, `[n][z][y][x]`; moves the running statistics.
    ///
    /// # Errors
    /// Where a GPU has too little memory or fails.
    ///
    /// # Panics
    /// Where `batch` or the truth does not hold `n * shape` voxels.
    pub fn loss(&mut self, batch: &[f32], n: usize, shape: Shape, truth: Truth, loss: &Loss) -> Result<f64> {
        match self {
            Trainer::Cpu(cpu) => {
                let probabilities = cpu.network.forward(batch, n, shape);
                cpu.d_probabilities.resize(probabilities.len(), 0.0);
                Ok(loss.of(probabilities, truth, &mut cpu.d_probabilities))
            }
            Trainer::Cuda(cuda) => cuda.loss(batch, n, shape, truth, loss),
        }
    }

    /// The gradient of the last loss, and a step of the optimiser along it with learning rate `rate`.
    ///
    /// # Errors
    /// As [`loss`](Self::loss).
    ///
    /// # Panics
    /// Where no loss was computed before.
    pub fn update(&mut self, rate: f64) -> Result<()> {
        match self {
            Trainer::Cpu(cpu) => {
                cpu.network.backward(&cpu.d_probabilities);
                let (weights, gradient) = cpu.network.weights_and_gradient();
                cpu.adam.step(&mut weights.values[..layout::trainable_len()], gradient, rate);
                Ok(())
            }
            Trainer::Cuda(cuda) => cuda.update(rate),
        }
    }

    /// The weights after the last update.
    pub fn weights(&self) -> &Weights {
        match self {
            Trainer::Cpu(cpu) => cpu.network.weights(),
            Trainer::Cuda(cuda) => cuda.weights(),
        }
    }

    /// The optimiser's state.
    ///
    /// # Errors
    /// Where a GPU fails.
    pub fn adam(&self) -> Result<Adam> {
        match self {
            Trainer::Cpu(cpu) => Ok(cpu.adam.clone()),
            Trainer::Cuda(cuda) => cuda.adam(),
        }
    }
}

//! Where operations run.
pub mod choice;
pub mod cpu;
pub mod cuda;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use half::{bf16, f16};

/// A device that is ready to compute.
#[derive(Clone, Debug, Default)]
pub enum Device {
    /// All cores of the CPU, in f32.
    #[default]
    Cpu,
    /// A GPU, or several among which the blocks of a volume are spread.
    Cuda {
        /// The first one, which does alone what is not done in blocks.
        gpu: Arc<cuda::Gpu>,
        /// The further ones.
        others: Vec<Arc<cuda::Gpu>>,
        /// How they compute.
        precision: Precision,
    },
}

impl Device {
    /// One GPU.
    pub fn cuda(gpu: Arc<cuda::Gpu>, precision: Precision) -> Self {
        Device::Cuda { gpu, others: Vec::new(), precision }
    }

    /// The devices that it is made of: the CPU, or one GPU each.
    pub fn each(&self) -> Vec<Device> {
        match self {
            Device::Cpu => vec![Device::Cpu],
            Device::Cuda { gpu, others, precision } => {
                std::iter::once(gpu).chain(others).map(|gpu| Device::cuda(gpu.clone(), *precision)).collect()
            }
        }
    }
}

/// How a GPU keeps weights and activations, in training activations alone; sums are f32 in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Precision {
    /// As the CPU does.
    F32,
    /// On tensor cores, with half of the memory.
    #[default]
    F16,
    /// As f16, with the range of f32 and three bits less of precision.
    Bf16,
}

impl Precision {
    /// All of them.
    pub const ALL: [Precision; 3] = [Precision::F32, Precision::F16, Precision::Bf16];

    /// Those of training: the range of f16 is too small for gradients.
    pub const OF_TRAINING: [Precision; 2] = [Precision::F32, Precision::Bf16];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::F16 => "f16",
            Precision::Bf16 => "bf16",
        }
    }

    /// Bytes of a value.
    pub fn size(self) -> usize {
        match self {
            Precision::F32 => 4,
            Precision::F16 | Precision::Bf16 => 2,
        }
    }

    /// The bytes of values, each rounded to the nearest one that the precision has.
    pub fn encode(self, values: &[f32]) -> Cow<'_, [u8]> {
        let halves = |round: fn(f32) -> [u8; 2]| values.iter().flat_map(|value| round(*value)).collect();
        match self {
            Precision::F32 => Cow::Borrowed(bytemuck::cast_slice(values)),
            Precision::F16 => Cow::Owned(halves(|value| f16::from_f32(value).to_ne_bytes())),
            Precision::Bf16 => Cow::Owned(halves(|value| bf16::from_f32(value).to_ne_bytes())),
        }
    }

    /// The values of bytes.
    pub fn decode(self, bytes: &[u8]) -> Vec<f32> {
        let halves = |value: fn([u8; 2]) -> f32| bytes.as_chunks().0.iter().copied().map(value).collect();
        match self {
            Precision::F32 => bytemuck::pod_collect_to_vec(bytes),
            Precision::F16 => halves(|bytes| f16::from_ne_bytes(bytes).to_f32()),
            Precision::Bf16 => halves(|bytes| bf16::from_ne_bytes(bytes).to_f32()),
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Device::Cpu => f.write_str("cpu"),
            Device::Cuda { gpu, others, precision } => {
                write!(f, "{gpu}")?;
                others.iter().try_for_each(|other| write!(f, ", {other}"))?;
                write!(f, " in {precision}")
            }
        }
    }
}

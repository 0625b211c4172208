//! Where operations run.
pub mod choice;
pub mod cpu;
pub mod cuda;

use std::fmt;
use std::sync::Arc;

/// A device that is ready to compute.
#[derive(Clone, Debug, Default)]
pub enum Device {
    /// All cores of the CPU.
    #[default]
    Cpu,
    /// A GPU.
    Cuda(Arc<cuda::Gpu>),
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Device::Cpu => f.write_str("cpu"),
            Device::Cuda(gpu) => gpu.fmt(f),
        }
    }
}

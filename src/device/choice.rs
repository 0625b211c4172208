//! The device that a user asks for.
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::cuda::Gpu;
use super::{Device, Precision};
use crate::error::{Error, Result};

/// The value of `--device`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// The first GPU that can be used, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The CUDA device of this number.
    Cuda(usize),
    /// All CUDA devices that can be used.
    CudaAll,
}

impl FromStr for Choice {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let number = |text: &str| text.parse().ok().map(Choice::Cuda);
        let choice = match name {
            "auto" => Some(Choice::Auto),
            "cpu" => Some(Choice::Cpu),
            "cuda" => Some(Choice::Cuda(0)),
            "cuda:all" => Some(Choice::CudaAll),
            _ => name.strip_prefix("cuda:").and_then(number),
        };
        choice.ok_or_else(|| {
            Error::invalid(format!("no device {name:?}: expected auto, cpu, cuda, cuda:NUMBER or cuda:all"))
        })
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Choice::Auto => f.write_str("auto"),
            Choice::Cpu => f.write_str("cpu"),
            Choice::Cuda(number) => write!(f, "cuda:{number}"),
            Choice::CudaAll => f.write_str("cuda:all"),
        }
    }
}

impl Choice {
    /// Makes the device ready; a GPU computes in `precision`. `auto` is the first GPU that can be used, or else the CPU;
    /// an emulated GPU, which computes on the CPU, is used only where it is asked for.
    ///
    /// # Errors
    /// Where a GPU is asked for by its number and cannot be used, with the reason, where the GPU does not compute in
    /// `precision`, and where all GPUs are asked for and none can be used.
    pub fn open(self, precision: Precision) -> Result<Device> {
        let found = match self {
            Choice::Cpu => None,
            Choice::Auto => {
                let none = |reason: &Error| {
                    tracing::debug!("the network runs on the CPU, for there is no GPU to use: {reason}");
                };
                first_gpu().inspect_err(none).ok()
            }
            Choice::Cuda(number) => Some(Gpu::open(number).map_err(|error| self.unavailable(&error))?),
            Choice::CudaAll => return all_gpus(precision).map_err(|error| self.unavailable(&error)),
        };
        let Some(gpu) = found else { return Ok(Device::Cpu) };
        gpu.check_precision(precision)?;
        Ok(Device::cuda(gpu, precision))
    }

    /// As [`open`](Self::open), for work that is not spread over several GPUs.
    ///
    /// # Errors
    /// Those of `open`, and where several GPUs are asked for.
    pub fn open_one(self, precision: Precision) -> Result<Device> {
        match self {
            Choice::CudaAll => Err(Error::invalid(
                "cuda:all is for segment: this runs on one device. Use --device cuda or --device cuda:NUMBER",
            )),
            _ => self.open(precision),
        }
    }

    fn unavailable(self, reason: &Error) -> Error {
        Error::invalid(format!("{self} is not available: {reason}. Use --device cpu or --device auto"))
    }
}

/// All GPUs that can be used, with a warning for each of the others.
///
/// # Errors
/// Where there is none: what is the matter with each.
fn all_gpus(precision: Precision) -> Result<Device> {
    let (mut gpus, mut reasons) = (Vec::new(), Vec::new());
    for number in 0..Gpu::count()? {
        match ready(number, precision) {
            Ok(gpu) => gpus.push(gpu),
            Err(reason) => reasons.push(reason.to_string()),
        }
    }
    let mut gpus = gpus.into_iter();
    let Some(gpu) = gpus.next() else { return Err(none(&reasons)) };
    for reason in reasons {
        tracing::warn!("a GPU is left out: {reason}");
    }
    Ok(Device::Cuda { gpu, others: gpus.collect(), precision })
}

fn ready(number: usize, precision: Precision) -> Result<Arc<Gpu>> {
    let gpu = Gpu::open(number)?;
    gpu.check_precision(precision)?;
    gpu.check_kernels()?;
    Ok(gpu)
}

/// The first GPU that can be used.
///
/// # Errors
/// What is the matter with each.
fn first_gpu() -> Result<Arc<Gpu>> {
    let mut reasons = Vec::new();
    for number in 0..Gpu::count()? {
        match usable(number) {
            Ok(gpu) => return Ok(gpu),
            Err(reason) => reasons.push(reason.to_string()),
        }
    }
    Err(none(&reasons))
}

/// There is no GPU, for these reasons.
fn none(reasons: &[String]) -> Error {
    Error::invalid(if reasons.is_empty() { "the driver finds none".to_owned() } else { reasons.join("; ") })
}

fn usable(number: usize) -> Result<Arc<Gpu>> {
    let gpu = Gpu::open(number)?;
    if gpu.is_emulated() {
        return Err(Error::invalid(format!("{gpu} is used on request alone")));
    }
    gpu.check_kernels()?;
    Ok(gpu)
}

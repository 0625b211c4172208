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
}

impl FromStr for Choice {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let number = |text: &str| text.parse().ok().map(Choice::Cuda);
        let choice = match name {
            "auto" => Some(Choice::Auto),
            "cpu" => Some(Choice::Cpu),
            "cuda" => Some(Choice::Cuda(0)),
            _ => name.strip_prefix("cuda:").and_then(number),
        };
        choice.ok_or_else(|| {
            Error::invalid(format!("no device {name:?}: expected auto, cpu, cuda or cuda:NUMBER"))
        })
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Choice::Auto => f.write_str("auto"),
            Choice::Cpu => f.write_str("cpu"),
            Choice::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

impl Choice {
    /// Makes the device ready; a GPU computes in `precision`. `auto` is the first GPU that can be used, or else the CPU;
    /// an emulated GPU, which computes on the CPU, is used only where it is asked for.
    ///
    /// # Errors
    /// Where a GPU is asked for by its number and cannot be used, with the reason, and where the GPU does not compute in
    /// `precision`.
    pub fn open(self, precision: Precision) -> Result<Device> {
        let found = match self {
            Choice::Cpu => None,
            Choice::Auto => {
                let none = |reason: &Error| {
                    tracing::debug!("the network runs on the CPU, for there is no GPU to use: {reason}");
                };
                first_gpu().inspect_err(none).ok()
            }
            Choice::Cuda(number) => Some(Gpu::open(number).map_err(|error| {
                Error::invalid(format!("{self} is not available: {error}. Use --device cpu or --device auto"))
            })?),
        };
        let Some(gpu) = found else { return Ok(Device::Cpu) };
        gpu.check_precision(precision)?;
        Ok(Device::Cuda { gpu, precision })
    }
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
    Err(Error::invalid(if reasons.is_empty() {
        "the driver finds none".to_owned()
    } else {
        reasons.join("; ")
    }))
}

fn usable(number: usize) -> Result<Arc<Gpu>> {
    let gpu = Gpu::open(number)?;
    if gpu.is_emulated() {
        return Err(Error::invalid(format!("{gpu} is used on request alone")));
    }
    gpu.check_kernels()?;
    Ok(gpu)
}

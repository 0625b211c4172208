//! The device that a user asks for.
use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// The value of `--device`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// The best device that can be used.
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
    /// Checks that the device can be used.
    ///
    /// # Errors
    /// Where it cannot, with the reason.
    pub fn check(self) -> Result<()> {
        match self {
            Choice::Auto | Choice::Cpu => Ok(()),
            Choice::Cuda(_) => Err(Error::invalid(format!(
                "{self} is not available: this build has no CUDA kernels. Use --device cpu or --device auto"
            ))),
        }
    }
}

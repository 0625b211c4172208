//! The scale at which the network sees a volume.
//!
//! The network sees 37 voxels to each side and finds cells best that are some 15 to 30 wide. So it sees the volume on a
//! grid of its own, a [`Sampling`]: coarser than the stored one where cells are wide, finer along an axis whose voxels are
//! far apart, as nearly cubes as simple fractions allow. Its logits are interpolated at the stored voxels
//! ([`crate::ops::enlargement`]).
pub mod choice;
mod sampled;
mod sampling;
mod taps;

use std::fmt;
use std::str::FromStr;

pub use sampled::Sampled;
pub use sampling::{FINEST_ALONG_X, Sampling, Step};

use crate::error::{Error, Result};
use crate::volume::Spacing;

/// On which grid the network sees a volume.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Scale {
    /// As the size of the cells asks for: see [`choice`].
    #[default]
    Auto,
    /// Points that are so many of the smallest voxel edges apart, along other axes as nearly as simple fractions allow.
    Cubes(f64),
    /// These steps.
    Steps(Sampling),
}

impl Scale {
    /// The grid for a volume with voxels of this size, where it does not depend on the volume's cells.
    pub fn sampling(self, spacing: Option<Spacing>) -> Option<Sampling> {
        match self {
            Scale::Auto => None,
            Scale::Cubes(width) => Some(Sampling::cubes(width, spacing)),
            Scale::Steps(sampling) => Some(sampling),
        }
    }
}

impl fmt::Display for Scale {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Scale::Auto => f.write_str("auto"),
            Scale::Cubes(width) => write!(f, "{width}"),
            Scale::Steps(Sampling([z, y, x])) => write!(f, "{z},{y},{x}"),
        }
    }
}

impl FromStr for Scale {
    type Err = Error;

    /// `auto`, a number of voxels, or three with commas between: z, y, x.
    fn from_str(text: &str) -> Result<Self> {
        let wrong = |what: &dyn fmt::Display| {
            Error::invalid(format!("scale {text:?}: {what}; expected auto, a number, or Z,Y,X"))
        };
        if text == "auto" {
            return Ok(Scale::Auto);
        }
        let steps: Vec<Step> =
            text.split(',').map(str::parse).collect::<Result<_>>().map_err(|error| wrong(&error))?;
        match steps[..] {
            [step] => Ok(Scale::Cubes(step.voxels())),
            [z, y, x] if x.voxels() >= FINEST_ALONG_X => Ok(Scale::Steps(Sampling([z, y, x]))),
            [_, _, x] => Err(wrong(&format_args!("{x} along x is finer than {FINEST_ALONG_X}"))),
            _ => Err(wrong(&format_args!("{} numbers", steps.len()))),
        }
    }
}

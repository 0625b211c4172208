//! The scale at which the network sees a volume.
//!
//! The network sees 37 voxels to each side, so that cells much wider than that are shredded. Such a volume is
//! reduced by whole factors (mean over boxes), the network runs on the small grid, and its logits are enlarged
//! back to the volume's ([`crate::ops::enlargement`]). A scale f reduces the axis of the smallest voxel edge f times and the others so that the
//! voxels of the small grid are as nearly cubes as whole factors allow.
pub mod choice;
mod reduction;

use std::fmt;
use std::str::FromStr;

pub use reduction::Reduced;

use crate::error::{Error, Result};
use crate::volume::{Shape, Spacing};

/// The greatest scale that a user may ask for: the means of more voxels show no membrane.
const GREATEST: usize = 64;

/// How many times a volume is reduced before the network sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scale {
    /// As the size of the cells asks for: see [`choice`].
    #[default]
    Auto,
    /// This many times, from 1 on, along the axis of the smallest voxel edge.
    Fixed(usize),
}

impl fmt::Display for Scale {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Scale::Auto => f.write_str("auto"),
            Scale::Fixed(factor) => write!(f, "{factor}"),
        }
    }
}

impl FromStr for Scale {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let fixed = || text.parse().ok().filter(|factor| (1..=GREATEST).contains(factor)).map(Scale::Fixed);
        let scale = if text == "auto" { Some(Scale::Auto) } else { fixed() };
        scale.ok_or_else(|| {
            Error::invalid(format!("scale {text:?}: expected auto or a whole number from 1 to {GREATEST}"))
        })
    }
}

/// The factor of each axis (z, y, x) at this scale; the same for all where no voxel size is known.
pub fn factors(scale: usize, spacing: Option<Spacing>) -> Shape {
    let edges = spacing.map_or([1.0; 3], |Spacing(edges)| edges);
    let finest = edges.iter().copied().fold(f64::INFINITY, f64::min);
    edges.map(|edge| ((scale as f64 * finest / edge).round() as usize).max(1))
}

/// Extent of the small grid: boxes of `factors` voxels, the last of which may be cut off.
pub fn reduced_shape(shape: Shape, factors: Shape) -> Shape {
    [0, 1, 2].map(|axis| shape[axis].div_ceil(factors[axis]))
}

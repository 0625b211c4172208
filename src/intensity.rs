//! Normalisation of grey values.
//!
//! A model states the [`Normalization`] that it was trained with. Fitted to a whole volume it gives a
//! [`Scaling`], one multiplication and one subtraction a voxel, so that nothing depends on how the volume is later
//! cut into blocks. Percentiles are exact, whatever the voxel type.
mod sorted;

use std::fmt;
use std::str::FromStr;

use ndarray::ArrayView3;

use crate::error::{Error, Result};
use crate::volume::Volume;

/// How grey values become the network's input. The names are those of `--normalize` and of model metadata.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Normalization {
    /// Percentile 1 becomes 0 and percentile 99.8 becomes 1; a few hot or dead voxels change nothing.
    #[default]
    Robust,
    /// The minimum becomes 0, the maximum 1.
    #[value(name = "minmax")]
    MinMax,
    /// The minimum becomes 0, percentile 99 of what remains 255 (the authors' `Normalization_np`).
    Authors,
    /// Grey values as they are, as the authors' shipped code trains.
    None,
}

impl fmt::Display for Normalization {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Normalization::Robust => "robust",
            Normalization::MinMax => "minmax",
            Normalization::Authors => "authors",
            Normalization::None => "none",
        })
    }
}

impl FromStr for Normalization {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let all = [Self::Robust, Self::MinMax, Self::Authors, Self::None];
        all.into_iter().find(|one| one.to_string() == name).ok_or_else(|| {
            Error::invalid(format!(
                "unknown normalisation {name:?}: expected robust, minmax, authors or none"
            ))
        })
    }
}

/// A fitted normalisation: x becomes (x - offset) * scale.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scaling {
    /// The grey value that becomes 0.
    pub offset: f32,
    /// 1 over the grey values that a step of 1 spans.
    pub scale: f32,
}

impl Scaling {
    /// Leaves every value as it is.
    pub const IDENTITY: Scaling = Scaling { offset: 0.0, scale: 1.0 };

    /// The network's input for the grey value `x`.
    #[inline]
    pub fn apply(&self, x: f32) -> f32 {
        (x - self.offset) * self.scale
    }
}

impl Normalization {
    /// The scaling of this volume (z, y, x).
    ///
    /// # Errors
    /// Where the volume is empty, where a voxel is NaN or infinite (the first one is named), and where all voxels are equal.
    pub fn fit(&self, voxels: ArrayView3<f32>) -> Result<Scaling> {
        self.fit_to(voxels.dim().into(), |positions| sorted::of_array(voxels, positions))
    }

    /// As [`fit`](Self::fit), reading the volume where it lies; errors name its file.
    pub fn fit_volume(&self, volume: &Volume) -> Result<Scaling> {
        self.fit_to(volume.shape(), |positions| sorted::of_volume(volume, positions))
            .map_err(|error| error.about(volume.name()))
    }

    /// As [`fit`](Self::fit) for a volume of `shape`; `sorted` gives the values at positions of the sorted voxels.
    fn fit_to(&self, shape: crate::Shape, sorted: impl Fn([f64; 5]) -> Result<[f64; 5]>) -> Result<Scaling> {
        let count: usize = shape.iter().product();
        if count == 0 {
            return Err(Error::invalid(format!("the volume is empty: {shape:?} voxels (z, y, x)")));
        }
        let at = |fraction: f64| fraction * (count - 1) as f64;
        let [min, p1, p99, p998, max] = sorted([0.0, at(0.01), at(0.99), at(0.998), at(1.0)])?;
        if min == max {
            return Err(Error::invalid(format!(
                "every voxel is {min}: there is nothing to see in this volume"
            )));
        }
        let (low, high, range) = match self {
            Normalization::Robust if p1 < p998 => (p1, p998, 1.0),
            Normalization::Robust | Normalization::MinMax => (min, max, 1.0),
            Normalization::Authors if min < p99 => (min, p99, 255.0),
            Normalization::Authors => (min, min + 1.0, 1.0),
            Normalization::None => return Ok(Scaling::IDENTITY),
        };
        let scaling = Scaling { offset: low as f32, scale: (range / (high - low)) as f32 };
        if !scaling.scale.is_normal() {
            return Err(Error::invalid(format!("grey values from {min} to {max} cannot be normalised")));
        }
        Ok(scaling)
    }
}

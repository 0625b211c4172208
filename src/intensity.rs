//! Normalisation of grey values.
//!
//! A model states the [`Normalization`] that it was trained with. Fitted to a whole volume it gives a
//! [`Scaling`], one multiplication and one subtraction a voxel, so that nothing depends on how the volume is later
//! cut into blocks. Percentiles are exact, whatever the voxel type.
mod sorted;
pub mod survey;

use std::fmt;
use std::str::FromStr;

use ndarray::{ArrayView3, s};

use crate::error::{Error, Result};
use crate::volume::{Shape, Volume};
use survey::Survey;

/// How grey values become the network's input. The names are those of `--normalize` and of model metadata.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Normalization {
    /// Percentile 1 becomes 0 and percentile 99.8 becomes 1; a few hot or dead voxels change nothing.
    #[default]
    Robust,
    /// Dark becomes 0 and the brightness of walls 1, as small tiles of the volume show them; then local contrast is
    /// normalised ([`Contrast`](crate::ops::contrast::Contrast)).
    Local,
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
            Normalization::Local => "local",
            Normalization::MinMax => "minmax",
            Normalization::Authors => "authors",
            Normalization::None => "none",
        })
    }
}

impl FromStr for Normalization {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let all = [Self::Robust, Self::Local, Self::MinMax, Self::Authors, Self::None];
        all.into_iter().find(|one| one.to_string() == name).ok_or_else(|| {
            Error::invalid(format!(
                "unknown normalisation {name:?}: expected robust, local, minmax, authors or none"
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

    /// The scaling that turns dark and bright around: 0 becomes 1 and 1 becomes 0.
    pub fn inverted(self) -> Scaling {
        Scaling { offset: self.offset + 1.0 / self.scale, scale: -self.scale }
    }

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
        let read = |[z, y, x]: Shape, [depth, height, width]: Shape| {
            voxels.slice(s![z..z + depth, y..y + height, x..x + width]).to_owned()
        };
        let shape = voxels.dim().into();
        let fit = Fit { normalization: *self, percentiles: None };
        fit.to(shape, |positions| sorted::of_array(voxels, positions), || Survey::with(shape, read).range())
    }

    /// As [`fit`](Self::fit), reading the volume where it lies; errors name its file.
    pub fn fit_volume(&self, volume: &Volume) -> Result<Scaling> {
        Fit { normalization: *self, percentiles: None }.volume(volume, &Survey::of(volume))
    }
}

/// A normalisation and the percentiles that become 0 and 1, where they are not its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// How intensities become the network's input.
    pub normalization: Normalization,
    /// Of all voxels; [`Normalization::Robust`] and [`Normalization::Local`] can do with others than their own.
    pub percentiles: Option<Percentiles>,
}

impl Fit {
    /// The scaling of a volume that was surveyed.
    ///
    /// # Errors
    /// Those of [`Normalization::fit`], which name the volume's file, and where the normalisation has no percentiles.
    pub fn volume(&self, volume: &Volume, survey: &Survey) -> Result<Scaling> {
        let sorted = |positions: [f64; 5]| sorted::of_volume(volume, positions);
        self.to(volume.shape(), sorted, || survey.range()).map_err(|error| error.about(volume.name()))
    }

    /// Fits to a volume of `shape`; `sorted` gives the values at positions of the sorted voxels, `walls` darkness and
    /// the brightness of walls.
    fn to(
        &self,
        shape: Shape,
        sorted: impl Fn([f64; 5]) -> Result<[f64; 5]>,
        walls: impl FnOnce() -> Option<[f64; 2]>,
    ) -> Result<Scaling> {
        let count: usize = shape.iter().product();
        if count == 0 {
            return Err(Error::invalid(format!("the volume is empty: {shape:?} voxels (z, y, x)")));
        }
        let at = |percentile: f64| percentile / 100.0 * (count - 1) as f64;
        let Percentiles([low, high]) = self.percentiles.unwrap_or(Percentiles::ROBUST);
        let [min, low, p99, high, max] = sorted([0.0, low, 99.0, high, 100.0].map(at))?;
        if min == max {
            return Err(Error::invalid(format!(
                "every voxel is {min}: there is nothing to see in this volume"
            )));
        }
        let (low, high, range) = match self.normalization {
            Normalization::Robust | Normalization::Local if self.percentiles.is_some() && low == high => {
                let Percentiles([p, q]) = self.percentiles.unwrap_or_default();
                return Err(Error::invalid(format!("percentiles {p} and {q} are both {low}: take others")));
            }
            Normalization::Local if self.percentiles.is_none() => match walls() {
                Some([low, high]) => (low, high, 1.0),
                None => (min, max, 1.0),
            },
            Normalization::Robust | Normalization::Local if low < high => (low, high, 1.0),
            _ if self.percentiles.is_some() => {
                return Err(Error::invalid(format!(
                    "normalisation {} has no percentiles: robust and local have",
                    self.normalization
                )));
            }
            Normalization::Authors if min < p99 => (min, p99, 255.0),
            Normalization::Authors => (min, min + 1.0, 1.0),
            Normalization::None => return Ok(Scaling::IDENTITY),
            _ => (min, max, 1.0),
        };
        let scaling = Scaling { offset: low as f32, scale: (range / (high - low)) as f32 };
        if !scaling.scale.is_normal() {
            return Err(Error::invalid(format!("intensities from {min} to {max} cannot be normalised")));
        }
        Ok(scaling)
    }
}

/// The percentiles of all voxels that become 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Percentiles(pub [f64; 2]);

impl Percentiles {
    /// Those of [`Normalization::Robust`].
    pub const ROBUST: Percentiles = Percentiles([1.0, 99.8]);
}

impl Default for Percentiles {
    fn default() -> Self {
        Percentiles::ROBUST
    }
}

impl FromStr for Percentiles {
    type Err = Error;

    /// Two numbers from 0 to 100 with a comma between, the lower one first.
    fn from_str(text: &str) -> Result<Self> {
        let numbers: Option<Vec<f64>> = text.split(',').map(|number| number.trim().parse().ok()).collect();
        match numbers.as_deref() {
            Some(&[low, high]) if 0.0 <= low && low < high && high <= 100.0 => Ok(Percentiles([low, high])),
            _ => Err(Error::invalid(format!(
                "percentiles {text:?}: expected LOW,HIGH, two numbers from 0 to 100, for example 1,99.8"
            ))),
        }
    }
}

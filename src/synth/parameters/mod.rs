//! What a synthetic tissue looks like and how it was stained and photographed, drawn at random from wide ranges.
//!
//! Lengths are in voxels of the x axis ("pixels") unless a field says otherwise; along z the voxel size ratio
//! `anisotropy` converts.
mod microscope;
mod stain;
mod tissue;

use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
pub use stain::StainParameters;
pub use tissue::{OutlineKind, TissueParameters};

/// Everything that a synthetic volume depends on besides its shape and seed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Parameters {
    /// The cells.
    pub tissue: TissueParameters,
    /// Their image.
    pub stain: StainParameters,
}

impl Parameters {
    /// A random tissue under a random stain.
    pub fn random(rng: &mut impl Rng) -> Self {
        Self::stained(TissueParameters::random(rng), rng)
    }

    /// A random stain for cells that exist already, of this mean volume in voxels.
    pub fn random_stain(anisotropy: f32, cell_volume: f32, rng: &mut impl Rng) -> Self {
        let diameter = libm::cbrtf(cell_volume * anisotropy / std::f32::consts::FRAC_PI_6);
        let mut parameters =
            Self::stained(TissueParameters { anisotropy, diameter, ..Default::default() }, rng);
        // The cells are the truth that was asked for: none of them is cut off.
        parameters.stain.padding = 0.0;
        parameters
    }

    pub(super) fn stained(tissue: TissueParameters, rng: &mut impl Rng) -> Self {
        let mut stain = StainParameters::random(rng);
        stain.resolve(&tissue, rng);
        Parameters { tissue, stain }
    }

    /// Whether all values make sense.
    ///
    /// # Errors
    /// Names the first value that does not, and its limits.
    pub fn check(&self) -> Result<()> {
        self.tissue.check()?;
        self.stain.check()
    }
}

fn within(name: &str, value: f32, low: f32, high: f32) -> Result<()> {
    match (low..=high).contains(&value) {
        true => Ok(()),
        false => Err(Error::invalid(format!("{name} = {value}: from {low} to {high} is possible"))),
    }
}

fn pick<'a, T>(rng: &mut impl Rng, choices: &'a [T]) -> &'a T {
    &choices[rng.next_u32() as usize % choices.len()]
}

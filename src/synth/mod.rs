//! Synthetic tissue: curved cells, rendered as a membrane stain, with their truth.
mod connected;
pub mod field;
mod outline;
pub mod parameters;
pub(crate) mod random;
mod seeds;
mod stain;
mod tissue;

use ndarray::Array3;

pub use parameters::{OutlineKind, Parameters, StainParameters, TissueParameters};
pub use stain::render;
pub use tissue::grow;

use crate::volume::{Shape, Spacing};

/// A synthetic volume and its truth.
pub struct Sample {
    /// Grey values: whole numbers up to 255 or 65535, as `parameters.stain.bits` says.
    pub raw: Array3<f32>,
    /// The cells, 1, 2, ...; 0 is background.
    pub labels: Array3<u32>,
    /// Voxel size.
    pub spacing: Spacing,
    /// What the volume was made from, besides the seed.
    pub parameters: Parameters,
}

/// Voxel size of a grown tissue, x and y being 0.2 micrometres.
pub fn spacing(tissue: &TissueParameters) -> Spacing {
    const PIXEL: f64 = 0.2;
    Spacing([PIXEL * f64::from(tissue.anisotropy), PIXEL, PIXEL])
}

/// Grows and renders a tissue.
pub fn sample_with(parameters: Parameters, shape: Shape, seed: u64) -> Sample {
    let spacing = spacing(&parameters.tissue);
    let labels = grow(&parameters.tissue, shape, seed);
    let raw = render(&labels, &parameters.stain, spacing, seed);
    Sample { raw, labels, spacing, parameters }
}

/// A random tissue under a random stain: what the shipped model learns from.
pub fn sample(seed: u64, shape: Shape) -> Sample {
    sample_with(Parameters::random(&mut random::stream(seed, 0)), shape, seed)
}

/// The tissue of the demonstration: 96 x 160 x 160, some 150 cells.
pub fn demo() -> Sample {
    sample_with(Parameters::default(), [96, 160, 160], 1)
}

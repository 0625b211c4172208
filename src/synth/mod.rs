//! Synthetic tissue: curved cells, rendered as a membrane stain, with their truth.
mod connected;
pub mod field;
pub mod manifest;
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
    let labels = grow(&parameters.tissue, shape, seed);
    finish(parameters, labels, seed)
}

/// The diameter at which about `count` cells fill a volume of this shape, by measuring a thinned grid of voxels.
pub fn diameter_for(tissue: &TissueParameters, shape: Shape, count: u32) -> f32 {
    let outline = outline::Outline::new(tissue, shape);
    let inside = outline.share_inside(shape, tissue.anisotropy).max(0.01);
    let volume = inside * shape.iter().product::<usize>() as f32 * tissue.anisotropy;
    let pieces = count.max(1) as f32 / (1.0 + tissue.division);
    libm::cbrtf(volume / pieces / std::f32::consts::FRAC_PI_6)
}

/// Draws of parameters until the tissue takes up enough of the volume.
const DRAWS: u64 = 20;
/// Share of the volume that is enough, in at least [`ENOUGH_CELLS`] cells.
const ENOUGH_TISSUE: f64 = 0.15;
const ENOUGH_CELLS: u32 = 4;

/// A random tissue under a random stain: what the shipped model learns from.
pub fn sample(seed: u64, shape: Shape) -> Sample {
    let (parameters, labels) = draw(seed, shape);
    finish(parameters, labels, seed)
}

/// Random parameters and the tissue grown from them.
///
/// Draws again where hardly any tissue lies in the volume; in a tiny volume the last draw stands.
pub fn draw(seed: u64, shape: Shape) -> (Parameters, Array3<u32>) {
    let mut number = 0;
    loop {
        let parameters = Parameters::random(&mut random::stream(seed, FIRST_DRAW + number));
        let labels = grow(&parameters.tissue, shape, seed);
        number += 1;
        if number == DRAWS || is_enough(&labels) {
            return (parameters, labels);
        }
    }
}

/// Renders a tissue that was grown from these parameters.
pub fn finish(parameters: Parameters, labels: Array3<u32>, seed: u64) -> Sample {
    let spacing = spacing(&parameters.tissue);
    let raw = render(&labels, &parameters.stain, spacing, seed);
    Sample { raw, labels, spacing, parameters }
}

/// Stream of the first draw of parameters, far from the streams of the stages.
const FIRST_DRAW: u64 = 1000;

fn is_enough(labels: &Array3<u32>) -> bool {
    let tissue = labels.iter().filter(|&&label| label != 0).count();
    let cells = labels.iter().max().copied().unwrap_or(0);
    tissue as f64 >= ENOUGH_TISSUE * labels.len() as f64 && cells >= ENOUGH_CELLS
}

/// The tissue of the demonstration: 96 x 160 x 160, some 150 cells.
pub fn demo() -> Sample {
    sample_with(Parameters::default(), [96, 160, 160], 1)
}

//! Synthetic tissue: curved cells, rendered as a membrane stain, with their truth.
mod connected;
pub mod field;
pub mod manifest;
mod outline;
pub mod parameters;
pub(crate) mod random;
mod seeds;
pub mod shapes;
mod stain;
mod tissue;

use ndarray::Array3;
use rand::Rng;

pub use parameters::{OutlineKind, Parameters, StainParameters, TissueParameters};
pub use stain::render;
pub use tissue::grow;

use crate::volume::{Shape, Spacing};

/// A synthetic volume and its truth.
pub struct Sample {
    /// Grey values: whole numbers up to 255, 4095 or 65535, as `parameters.stain.bits` says.
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

/// Draws of parameters until the tissue takes up as much of the volume as it should.
const DRAWS: u64 = 20;

/// How much of a volume is to be tissue.
#[derive(Clone, Copy, PartialEq)]
enum Filling {
    /// Nothing: noise, an uneven background and debris.
    Empty,
    /// A little.
    Sparse,
    /// 15 % or more, in at least four cells.
    Ample,
}

impl Filling {
    fn random(rng: &mut impl Rng) -> Self {
        match random::unit(rng) {
            0.0..0.035 => Filling::Empty,
            0.035..0.1 => Filling::Sparse,
            _ => Filling::Ample,
        }
    }

    fn applied(self, parameters: Parameters, rng: &mut impl Rng) -> Parameters {
        let Parameters { tissue, mut stain } = parameters;
        let tissue = match self {
            Filling::Empty => {
                // What would have been vesicles is debris.
                stain.debris = stain.debris.max(stain.spots);
                tissue.empty()
            }
            Filling::Sparse => tissue.sparse(rng),
            Filling::Ample => tissue,
        };
        Parameters { tissue, stain }
    }

    fn is_reached(self, labels: &Array3<u32>) -> bool {
        let share = labels.iter().filter(|&&label| label != 0).count() as f64 / labels.len() as f64;
        let cells = labels.iter().max().copied().unwrap_or(0);
        match self {
            Filling::Empty => true,
            Filling::Sparse => (0.003..0.2).contains(&share),
            Filling::Ample => share >= 0.15 && cells >= 4,
        }
    }
}

/// A random tissue under a random stain: what the shipped model learns from.
///
/// A few volumes hold no cell at all.
pub fn sample(seed: u64, shape: Shape) -> Sample {
    let (parameters, labels) = draw(seed, shape);
    finish(parameters, labels, seed)
}

/// Random parameters and the tissue grown from them.
///
/// Draws again where less tissue lies in the volume than was meant to; in a tiny volume the last draw stands.
pub fn draw(seed: u64, shape: Shape) -> (Parameters, Array3<u32>) {
    let filling = Filling::random(&mut random::stream(seed, FILLING));
    let mut number = 0;
    loop {
        let mut rng = random::stream(seed, FIRST_DRAW + number);
        let parameters = filling.applied(Parameters::random(&mut rng), &mut rng);
        let labels = grow(&parameters.tissue, shape, seed);
        number += 1;
        if number == DRAWS || filling.is_reached(&labels) {
            return (parameters, labels);
        }
    }
}

/// Renders a tissue that was grown from these parameters.
pub fn finish(parameters: Parameters, labels: Array3<u32>, seed: u64) -> Sample {
    let spacing = spacing(&parameters.tissue);
    photograph(parameters, labels, spacing, seed)
}

/// Renders cells with voxels of the given size; what was not photographed of them is not in the truth either.
fn photograph(parameters: Parameters, labels: Array3<u32>, spacing: Spacing, seed: u64) -> Sample {
    let raw = render(&labels, &parameters.stain, spacing, seed);
    let labels = stain::visible(&parameters.stain, labels, parameters.tissue.min_volume);
    Sample { raw, labels, spacing, parameters }
}

/// Streams of what is drawn for a whole volume, far from the streams of the stages.
const FIRST_DRAW: u64 = 1000;
const FILLING: u64 = 2000;
const SHAPES: u64 = 3000;

/// The tissue of the demonstration: 96 x 160 x 160, some 150 cells.
pub fn demo() -> Sample {
    sample_with(Parameters::default(), [96, 160, 160], 1)
}

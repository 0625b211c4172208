//! Renders labelled cells as a membrane stain under a confocal microscope.
//!
//! Walls are sheets between voxels of different labels; the light of walls and cell interiors passes through the
//! point spread function, is weakened with depth, counted in photons and stored as grey values.
mod camera;
mod interior;
mod optics;
mod padding;
mod walls;

use ndarray::Array3;

pub(super) use padding::visible;

use crate::synth::parameters::StainParameters;
use crate::volume::{Shape, Spacing};

/// Random streams of the stages, so that changing one leaves the random numbers of the others alone.
mod streams {
    pub(super) const WALLS: u64 = 100;
    pub(super) const INTERIOR: u64 = 200;
    pub(super) const OPTICS: u64 = 300;
    pub(super) const HOT_PIXELS: u64 = 400;
    /// One for each plane from here on.
    pub(super) const CAMERA: u64 = 1 << 32;
}

/// What all stages share.
struct Scene<'a> {
    labels: &'a Array3<u32>,
    stain: &'a StainParameters,
    /// Voxel size along z over that along x.
    anisotropy: f32,
    seed: u64,
}

impl Scene<'_> {
    fn shape(&self) -> Shape {
        self.labels.dim().into()
    }

    /// A true length in pixels as voxels along z, y and x.
    fn voxels(&self, length: f32) -> [f32; 3] {
        [length / self.anisotropy, length, length]
    }
}

/// Renders a label volume (0 is background) with voxels of the given size: grey values, whole numbers up to 255,
/// 4095 or 65535 as `stain.bits` says. The result depends on the arguments alone, not on the number of threads.
pub fn render(labels: &Array3<u32>, stain: &StainParameters, spacing: Spacing, seed: u64) -> Array3<f32> {
    let anisotropy = (spacing.0[0] / spacing.0[2]) as f32;
    let scene = Scene { labels, stain, anisotropy, seed };
    let walls = walls::draw(&scene);
    let light = optics::image(&scene, walls, interior::draw(&scene));
    let mut image = camera::expose(&scene, light);
    padding::blank(stain, &mut image);
    image
}

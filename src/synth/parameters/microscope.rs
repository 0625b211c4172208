//! Random stains under random microscopes: what the shipped model learns to see through.
use rand::Rng;

use super::pick;
use super::stain::StainParameters;
use super::tissue::TissueParameters;
use crate::synth::random::{chance, direction, log_uniform, uniform, unit};

/// Width in pixels from which on a cell counts as large.
const LARGE: f32 = 18.0;

impl StainParameters {
    /// A random stain under a random microscope.
    pub fn random(rng: &mut impl Rng) -> Self {
        let mut stain = Self::default();
        stain.random_walls(rng);
        stain.random_interior(rng);
        stain.random_nuclei(rng);
        stain.random_spots(rng);
        stain.random_light(rng);
        stain.random_camera(rng);
        stain.random_values(rng);
        match unit(rng) {
            0.0..0.3 => stain.under_light_sheet(rng),
            0.3..0.45 => stain.deep_confocal(rng),
            _ => {}
        }
        stain
    }

    /// Limits the width of the walls' image so that the tissue's cells can still be told apart: what nobody can see,
    /// nobody can learn.
    pub(super) fn resolve(&mut self, tissue: &TissueParameters, rng: &mut impl Rng) {
        let width = tissue.narrowest();
        if width > LARGE && chance(rng, 0.3) {
            self.fill_with_grains(rng);
        }
        self.thickness = self.thickness.min(if self.haze > 0.2 { 0.18 } else { 0.3 } * width);
        self.blur = self.blur.min(width * uniform(rng, 0.05, 0.12)).max(0.5);
        self.axial = self.axial.min((width * uniform(rng, 0.15, 0.35) / self.blur).max(1.0));
        self.texture_length = self.texture_length.max(0.5);
        self.separation = self.separation.min(0.25 * width);
        self.crosstalk_length = self.crosstalk_length.min(0.3 * width);
        self.plane_step = self.plane_step.min(0.3 * width / tissue.anisotropy).max(1.0);
        self.pixel_step = self.pixel_step.min(if self.haze > 0.2 { 0.08 } else { 0.12 } * width).max(1.0);
        self.blob_radius = self.blob_radius.min(0.6 * width);
    }

    /// Grainy, rather bright insides, as the yolk of early embryos makes them: grains are not walls.
    fn fill_with_grains(&mut self, rng: &mut impl Rng) {
        self.haze = uniform(rng, 0.06, 0.35);
        self.haze_spread = uniform(rng, 0.1, 0.5);
        self.texture = uniform(rng, 0.4, 1.0);
        self.texture_length = log_uniform(rng, 1.2, 6.0);
        self.patches = uniform(rng, 0.0, 0.3);
    }

    /// Wide-field light from a thin sheet: cells full of haze that is nearly as bright as the walls, halos, light of
    /// other planes, shadows, and brightness that changes by tens over the volume.
    fn under_light_sheet(&mut self, rng: &mut impl Rng) {
        self.wall_spread = uniform(rng, 0.2, 0.8);
        self.haze = log_uniform(rng, 0.2, 1.2);
        self.haze_spread = uniform(rng, 0.05, 0.35);
        self.texture = uniform(rng, 0.0, 0.15);
        self.patches = uniform(rng, 0.1, 0.5);
        self.patch_length = log_uniform(rng, 8.0, 40.0);
        self.background = self.haze * log_uniform(rng, 0.05, 1.0);
        self.uneven = uniform(rng, 0.2, 0.9);
        self.sideways = uniform(rng, -2.0, 2.0);
        self.scatter = uniform(rng, 0.1, 0.4);
        self.crosstalk = uniform(rng, 0.05, 0.4);
        self.crosstalk_length = log_uniform(rng, 3.0, 16.0);
        self.stripes = if chance(rng, 0.5) { uniform(rng, 0.02, 0.15) } else { 0.0 };
        self.blobs = if chance(rng, 0.5) { log_uniform(rng, 1.0, 6.0) } else { 0.0 };
        self.blob_brightness = log_uniform(rng, 1.0, 10.0);
        self.blob_radius = log_uniform(rng, 4.0, 14.0);
        self.gaps *= 0.5;
        self.nuclei = self.nuclei.min(0.8 * self.haze);
        // What the haze fills has no dark end to cut off, and few photons would hide the walls in it.
        self.offset = uniform(rng, -0.03, 0.12);
        self.photons = log_uniform(rng, 100.0, 4000.0);
        self.noise = log_uniform(rng, 0.001, 0.03);
    }

    /// A point scanner deep in the tissue: walls fade into the noise, the more so those that lie flat.
    fn deep_confocal(&mut self, rng: &mut impl Rng) {
        let loss = uniform(rng, 1.0, 2.5);
        self.attenuation = if chance(rng, 0.5) { loss } else { -loss };
        self.defocus = uniform(rng, 0.1, 0.6);
        self.scatter = uniform(rng, 0.0, 0.3);
        self.haze = log_uniform(rng, 0.01, 0.15);
        // Faint walls are not cut off: traces of them are left.
        self.offset = uniform(rng, -0.02, 0.12);
        self.photons = log_uniform(rng, 8.0, 200.0) * libm::expf(0.5 * loss);
        self.noise = log_uniform(rng, 0.001, 0.03);
    }

    fn random_walls(&mut self, rng: &mut impl Rng) {
        self.thickness = log_uniform(rng, 0.7, 7.0);
        self.thickness_spread = uniform(rng, 0.0, 0.7);
        self.separation = if chance(rng, 0.08) { uniform(rng, 2.0, 4.0) } else { 0.0 };
        self.wall_spread = uniform(rng, 0.05, 0.6);
        self.cell_spread = if chance(rng, 0.3) { uniform(rng, 0.1, 0.7) } else { 0.0 };
        self.vertices = if chance(rng, 0.3) { uniform(rng, 0.2, 1.5) } else { 0.0 };
        self.mottle = uniform(rng, 0.05, 0.5);
        self.mottle_length = log_uniform(rng, 2.0, 25.0);
        self.missing = if chance(rng, 0.3) { uniform(rng, 0.0, 0.03) } else { 0.0 };
        self.gaps = if chance(rng, 0.5) { uniform(rng, 0.0, 0.08) } else { 0.0 };
        self.gap_length = log_uniform(rng, 2.5, 9.0);
        self.outer = log_uniform(rng, 0.35, 2.0);
    }

    fn random_interior(&mut self, rng: &mut impl Rng) {
        // Often as dark as the background, which then shows only by lying outside all walls.
        self.haze = match unit(rng) {
            0.0..0.4 => log_uniform(rng, 0.001, 0.03),
            0.4..0.8 => log_uniform(rng, 0.03, 0.2),
            _ => uniform(rng, 0.15, 0.5),
        };
        // Bright insides that vary much would hide every wall.
        let calm = if self.haze > 0.15 { 0.5 } else { 1.0 };
        self.haze_spread = calm * uniform(rng, 0.1, 0.8);
        self.texture = calm * uniform(rng, 0.0, 0.9);
        self.texture_length = log_uniform(rng, 2.0, 12.0);
        self.patches = if chance(rng, 0.4) { calm * uniform(rng, 0.1, 0.7) } else { 0.0 };
        self.patch_length = log_uniform(rng, 8.0, 40.0);
    }

    fn random_nuclei(&mut self, rng: &mut impl Rng) {
        self.nuclei = match unit(rng) {
            0.0..0.25 => uniform(rng, 0.1, 0.9),
            0.25..0.3 => uniform(rng, 0.9, 1.6),
            _ => uniform(rng, -0.15, 0.1),
        };
        self.nuclei_share = unit(rng);
        self.nucleus_size = uniform(rng, 0.3, 0.65);
        self.nucleus_wander = uniform(rng, 0.0, 0.2);
        self.nucleus_rim = if chance(rng, 0.15) { uniform(rng, 0.1, 0.6) } else { 0.0 };
    }

    fn random_spots(&mut self, rng: &mut impl Rng) {
        self.spots = if chance(rng, 0.5) { log_uniform(rng, 0.01, 0.6) } else { 0.0 };
        self.debris = if chance(rng, 0.3) { log_uniform(rng, 0.001, 0.05) } else { 0.0 };
        self.spot_brightness = uniform(rng, 0.2, 1.5);
        self.spot_radius = log_uniform(rng, 0.7, 2.5);
        self.blobs = if chance(rng, 0.1) { log_uniform(rng, 1.0, 6.0) } else { 0.0 };
        self.blob_brightness = log_uniform(rng, 0.5, 5.0);
        self.blob_radius = log_uniform(rng, 4.0, 14.0);
    }

    fn random_light(&mut self, rng: &mut impl Rng) {
        self.blur = log_uniform(rng, 0.6, 3.0);
        self.axial = uniform(rng, 1.0, 5.0);
        self.defocus = if chance(rng, 0.4) { uniform(rng, 0.0, 0.5) } else { 0.0 };
        self.scatter = if chance(rng, 0.7) { uniform(rng, 0.0, 0.4) } else { 0.0 };
        self.scatter_length = log_uniform(rng, 4.0, 25.0);
        self.crosstalk = if chance(rng, 0.2) { uniform(rng, 0.0, 0.4) } else { 0.0 };
        self.crosstalk_length = log_uniform(rng, 3.0, 12.0);
        self.stripes = if chance(rng, 0.1) { uniform(rng, 0.0, 0.2) } else { 0.0 };
        self.background = log_uniform(rng, 0.001, 0.15);
        self.clouds = uniform(rng, 0.1, 0.8);
        self.cloud_length = log_uniform(rng, 15.0, 80.0);
        self.uneven = uniform(rng, 0.0, 0.5);
        self.uneven_length = uniform(rng, 30.0, 120.0);
        self.attenuation = uniform(rng, -1.0, 1.0);
        self.sideways = if chance(rng, 0.2) { uniform(rng, -1.0, 1.0) } else { 0.0 };
    }

    fn random_camera(&mut self, rng: &mut impl Rng) {
        self.smoothing = if chance(rng, 0.5) { uniform(rng, 0.3, 1.5) } else { 0.0 };
        // Smoothing by s averages some 4 pi s^2 voxels: a smoothed image may have been noisier. The brightest are
        // means of several pixels.
        self.photons = log_uniform(rng, 12.0, 2000.0) / (1.0 + 2.0 * self.smoothing * self.smoothing);
        self.noise = log_uniform(rng, 0.001, 0.07);
        self.flicker = if chance(rng, 0.3) { uniform(rng, 0.0, 0.12) } else { 0.0 };
        self.plane_step = if chance(rng, 0.6) { log_uniform(rng, 1.2, 6.0) } else { 1.0 };
        self.pixel_step = if chance(rng, 0.25) { uniform(rng, 1.1, 2.5) } else { 1.0 };
        self.hot = if chance(rng, 0.12) { log_uniform(rng, 1e-5, 5e-3) } else { 0.0 };
    }

    fn random_values(&mut self, rng: &mut impl Rng) {
        self.offset = if chance(rng, 0.2) { uniform(rng, -0.3, -0.1) } else { uniform(rng, -0.12, 0.12) };
        self.saturation = log_uniform(rng, 0.0005, 0.06);
        self.gamma = if chance(rng, 0.6) { log_uniform(rng, 0.6, 1.3) } else { 1.0 };
        self.bits = *pick(rng, &[8, 8, 8, 8, 8, 8, 12, 12, 16, 16]);
        self.exposure = if chance(rng, 0.3) { log_uniform(rng, 0.08, 1.0) } else { 1.0 };
        self.padding = if chance(rng, 0.1) { uniform(rng, 0.05, 0.4) } else { 0.0 };
        self.padding_axis = if chance(rng, 0.5) {
            direction(rng)
        } else {
            let sign = if chance(rng, 0.5) { 1.0 } else { -1.0 };
            *pick(rng, &[[sign, 0.0, 0.0], [0.0, sign, 0.0], [0.0, 0.0, sign]])
        };
        self.padding_value = if chance(rng, 0.7) { 0.0 } else { uniform(rng, 0.0, 0.3) };
    }
}

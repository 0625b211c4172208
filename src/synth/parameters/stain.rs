//! Stain, microscope and camera.
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::within;
use crate::error::{Error, Result};
use crate::synth::random::{chance, log_uniform, uniform, unit};

/// Width in pixels from which on a cell counts as large.
const LARGE: f32 = 18.0;

/// Stain, microscope and camera. The brightness of an average wall is 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StainParameters {
    /// Thickness of the walls.
    pub thickness: f32,
    /// The thinnest walls are this share thinner than `thickness`, the thickest as much thicker.
    pub thickness_spread: f32,
    /// Distance between the two membranes of a wall; 0: a single one.
    pub separation: f32,
    /// Standard deviation of the logarithm of the brightness from wall to wall.
    pub wall_spread: f32,
    /// The same along a wall.
    pub mottle: f32,
    /// Length of the variations along a wall.
    pub mottle_length: f32,
    /// Share of the walls that are nearly invisible.
    pub missing: f32,
    /// Share of the wall area that is nearly invisible, in holes.
    pub gaps: f32,
    /// Length of the holes.
    pub gap_length: f32,
    /// Brightness of walls that face the background over that of walls between cells.
    pub outer: f32,
    /// Brightness inside the cells.
    pub haze: f32,
    /// Standard deviation of its logarithm from cell to cell.
    pub haze_spread: f32,
    /// Standard deviation of its logarithm within a cell.
    pub texture: f32,
    /// Length of that texture.
    pub texture_length: f32,
    /// Brightness of nuclei on top of the haze; negative: darker.
    pub nuclei: f32,
    /// Share of the cells with a visible nucleus.
    pub nuclei_share: f32,
    /// Diameter of the nuclei in diameters of their cells.
    pub nucleus_size: f32,
    /// Bright spots per 1000 voxels inside the cells.
    pub spots: f32,
    /// The same outside.
    pub debris: f32,
    /// Brightness of the spots.
    pub spot_brightness: f32,
    /// Radius of the spots.
    pub spot_radius: f32,
    /// Standard deviation of the point spread function across z.
    pub blur: f32,
    /// The same along z, in multiples of `blur`, as a true length.
    pub axial: f32,
    /// Share of the light that is out of focus, with three times the blur, at the far end of the volume.
    pub defocus: f32,
    /// Share of the light that is scattered into a wide halo.
    pub scatter: f32,
    /// Standard deviation of that halo, at least 4.
    pub scatter_length: f32,
    /// Standard deviation of the logarithm of shadows that run along y, as in light-sheet images.
    pub stripes: f32,
    /// Brightness outside the cells.
    pub background: f32,
    /// Standard deviation of the logarithm of the staining over the volume.
    pub uneven: f32,
    /// Length of the uneven staining.
    pub uneven_length: f32,
    /// Logarithm of the loss of light from the first to the last plane (negative: from the last to the first).
    pub attenuation: f32,
    /// Photons a voxel of an average wall.
    pub photons: f32,
    /// Standard deviation of the noise of the camera.
    pub noise: f32,
    /// Standard deviation of the logarithm of the brightness from plane to plane.
    pub flicker: f32,
    /// Planes are photographed every so many voxels and the rest interpolated.
    pub plane_step: f32,
    /// Standard deviation of the smoothing of the photographed image.
    pub smoothing: f32,
    /// Grey value of darkness over the full range; negative: the dark end is cut off.
    pub offset: f32,
    /// Share of the voxels at the bright end of the range.
    pub saturation: f32,
    /// Grey values are brightness to this power.
    pub gamma: f32,
    /// Bits a voxel: 8 or 16.
    pub bits: u8,
}

impl Default for StainParameters {
    /// A decent confocal stack of plant tissue.
    fn default() -> Self {
        StainParameters {
            thickness: 1.5,
            thickness_spread: 0.3,
            separation: 0.0,
            wall_spread: 0.25,
            mottle: 0.25,
            mottle_length: 12.0,
            missing: 0.0,
            gaps: 0.01,
            gap_length: 5.0,
            outer: 1.1,
            haze: 0.08,
            haze_spread: 0.4,
            texture: 0.4,
            texture_length: 4.0,
            nuclei: 0.1,
            nuclei_share: 0.3,
            nucleus_size: 0.4,
            spots: 0.05,
            debris: 0.005,
            spot_brightness: 0.8,
            spot_radius: 1.2,
            blur: 1.0,
            axial: 2.5,
            defocus: 0.2,
            scatter: 0.1,
            scatter_length: 14.0,
            stripes: 0.0,
            background: 0.02,
            uneven: 0.2,
            uneven_length: 80.0,
            attenuation: 0.4,
            photons: 60.0,
            noise: 0.02,
            flicker: 0.02,
            plane_step: 1.0,
            smoothing: 0.3,
            offset: 0.02,
            saturation: 0.005,
            gamma: 1.0,
            bits: 8,
        }
    }
}

impl StainParameters {
    /// A random stain under a random microscope.
    pub fn random(rng: &mut impl Rng) -> Self {
        let mut stain = Self::default();
        stain.random_walls(rng);
        stain.random_interior(rng);
        stain.random_light(rng);
        stain.random_camera(rng);
        stain
    }

    /// Limits the width of the walls' image so that cells of the given width can still be told apart: what nobody
    /// can see, nobody can learn.
    pub(super) fn resolve(&mut self, width: f32, rng: &mut impl Rng) {
        self.thickness = self.thickness.min(0.3 * width);
        self.blur = self.blur.min(width * uniform(rng, 0.05, 0.12)).max(0.5);
        self.axial = self.axial.min((width * uniform(rng, 0.15, 0.3) / self.blur).max(1.0));
        self.texture_length = self.texture_length.max(0.5);
        self.separation = self.separation.min(0.25 * width);
        if width > LARGE && chance(rng, 0.5) {
            self.fill_with_grains(rng);
        }
    }

    /// Grainy, rather bright insides, as the yolk of early embryos makes them: grains are not walls.
    fn fill_with_grains(&mut self, rng: &mut impl Rng) {
        self.haze = uniform(rng, 0.06, 0.35);
        self.haze_spread = uniform(rng, 0.1, 0.5);
        self.texture = uniform(rng, 0.4, 1.0);
        self.texture_length = log_uniform(rng, 1.2, 6.0);
    }

    pub(super) fn check(&self) -> Result<()> {
        let lengths = [
            ("thickness", self.thickness),
            ("mottle_length", self.mottle_length),
            ("gap_length", self.gap_length),
            ("texture_length", self.texture_length),
            ("uneven_length", self.uneven_length),
            ("scatter_length", self.scatter_length),
            ("spot_radius", self.spot_radius),
            ("separation", self.separation),
            ("blur", self.blur),
            ("axial", self.axial),
            ("smoothing", self.smoothing),
            ("plane_step", self.plane_step),
        ];
        lengths.iter().try_for_each(|(name, value)| within(&format!("stain.{name}"), *value, 0.0, 1000.0))?;
        let strengths = [
            ("wall_spread", self.wall_spread),
            ("mottle", self.mottle),
            ("outer", self.outer),
            ("haze", self.haze),
            ("haze_spread", self.haze_spread),
            ("texture", self.texture),
            ("nucleus_size", self.nucleus_size),
            ("spot_brightness", self.spot_brightness),
            ("background", self.background),
            ("uneven", self.uneven),
            ("stripes", self.stripes),
            ("noise", self.noise),
            ("flicker", self.flicker),
        ];
        strengths.iter().try_for_each(|(name, value)| within(&format!("stain.{name}"), *value, 0.0, 3.0))?;
        let shares = [
            ("thickness_spread", self.thickness_spread),
            ("missing", self.missing),
            ("gaps", self.gaps),
            ("nuclei_share", self.nuclei_share),
            ("defocus", self.defocus),
            ("scatter", self.scatter),
            ("saturation", self.saturation),
        ];
        shares.iter().try_for_each(|(name, value)| within(&format!("stain.{name}"), *value, 0.0, 1.0))?;
        within("stain.nuclei", self.nuclei, -10.0, 10.0)?;
        within("stain.spots", self.spots, 0.0, 100.0)?;
        within("stain.debris", self.debris, 0.0, 100.0)?;
        within("stain.attenuation", self.attenuation, -20.0, 20.0)?;
        within("stain.photons", self.photons, 0.1, 1e6)?;
        within("stain.offset", self.offset, -1.0, 0.9)?;
        within("stain.gamma", self.gamma, 0.1, 10.0)?;
        match self.bits {
            8 | 16 => Ok(()),
            bits => Err(Error::invalid(format!("stain.bits = {bits}: 8 and 16 are possible"))),
        }
    }

    fn random_walls(&mut self, rng: &mut impl Rng) {
        self.thickness = log_uniform(rng, 0.7, 7.0);
        self.thickness_spread = uniform(rng, 0.0, 0.7);
        self.separation = if chance(rng, 0.06) { uniform(rng, 2.0, 4.0) } else { 0.0 };
        self.wall_spread = uniform(rng, 0.05, 0.5);
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
            _ => uniform(rng, 0.15, 0.4),
        };
        // Bright insides that vary much would hide every wall.
        let calm = if self.haze > 0.15 { 0.5 } else { 1.0 };
        self.haze_spread = calm * uniform(rng, 0.1, 0.8);
        self.texture = calm * uniform(rng, 0.0, 0.9);
        self.texture_length = log_uniform(rng, 2.0, 12.0);
        self.nuclei = if chance(rng, 0.25) { uniform(rng, 0.1, 0.9) } else { uniform(rng, -0.15, 0.1) };
        self.nuclei_share = uniform(rng, 0.0, 1.0);
        self.nucleus_size = uniform(rng, 0.3, 0.6);
        self.spots = if chance(rng, 0.5) { log_uniform(rng, 0.01, 0.6) } else { 0.0 };
        self.debris = if chance(rng, 0.3) { log_uniform(rng, 0.001, 0.05) } else { 0.0 };
        self.spot_brightness = uniform(rng, 0.2, 1.5);
        self.spot_radius = log_uniform(rng, 0.7, 2.5);
    }

    fn random_light(&mut self, rng: &mut impl Rng) {
        self.blur = log_uniform(rng, 0.6, 3.0);
        self.axial = uniform(rng, 1.0, 4.0);
        self.defocus = if chance(rng, 0.4) { uniform(rng, 0.0, 0.5) } else { 0.0 };
        self.scatter = if chance(rng, 0.7) { uniform(rng, 0.0, 0.4) } else { 0.0 };
        self.scatter_length = log_uniform(rng, 4.0, 25.0);
        self.stripes = if chance(rng, 0.15) { uniform(rng, 0.0, 0.2) } else { 0.0 };
        self.background = log_uniform(rng, 0.001, 0.15);
        self.uneven = uniform(rng, 0.0, 0.5);
        self.uneven_length = uniform(rng, 30.0, 120.0);
        self.attenuation = uniform(rng, -1.0, 1.0);
    }

    fn random_camera(&mut self, rng: &mut impl Rng) {
        self.smoothing = if chance(rng, 0.6) { uniform(rng, 0.3, 1.5) } else { 0.0 };
        // Smoothing by s averages some 4 pi s^2 voxels: a smoothed image may have been noisier.
        self.photons = log_uniform(rng, 12.0, 1000.0) / (1.0 + 2.0 * self.smoothing * self.smoothing);
        self.noise = log_uniform(rng, 0.001, 0.07);
        self.flicker = if chance(rng, 0.3) { uniform(rng, 0.0, 0.12) } else { 0.0 };
        self.plane_step = if chance(rng, 0.3) { uniform(rng, 1.2, 2.6) } else { 1.0 };
        self.offset = uniform(rng, -0.15, 0.12);
        self.saturation = log_uniform(rng, 0.0005, 0.06);
        self.gamma = log_uniform(rng, 0.6, 1.3);
        self.bits = if chance(rng, 0.7) { 8 } else { 16 };
    }
}

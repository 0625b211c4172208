//! What a synthetic tissue looks like and how it was stained and photographed, drawn at random from wide ranges.
//!
//! Lengths are in voxels of the x axis ("pixels") unless a field says otherwise; along z the voxel size ratio
//! `anisotropy` converts.
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::synth::random::{chance, direction, log_uniform, uniform};

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
        let tissue = TissueParameters::random(rng);
        let mut stain = StainParameters::random(rng);
        stain.resolve(tissue.narrowest(), rng);
        Parameters { tissue, stain }
    }
}

/// The region that the cells fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutlineKind {
    /// The whole volume: no background.
    Full,
    /// An ellipsoid.
    Ellipsoid,
    /// A layer between two parallel planes.
    Slab,
    /// A cylinder along `outline_axis`.
    Tube,
    /// A hollow ellipsoid.
    Shell,
}

/// Shapes and sizes of the cells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TissueParameters {
    /// Voxel size along z over that along x.
    pub anisotropy: f32,
    /// Diameter of the ball with the mean volume of a cell, in pixels.
    pub diameter: f32,
    /// Standard deviation of the logarithm of the diameter.
    pub spread: f32,
    /// Standard deviation of the logarithm of the diameter from region to region.
    pub gradient: f32,
    /// Share of the cells that are small.
    pub small_share: f32,
    /// Diameter of the small cells over that of the others.
    pub small_ratio: f32,
    /// Length of a cell over its width; below 1 the cells are flat.
    pub elongation: f32,
    /// Direction of elongated cells (z, y, x).
    pub axis: [f32; 3],
    /// 1: all cells lie along `axis`; 0: each in a direction of its own.
    pub alignment: f32,
    /// Thickness of the cell layers that follow the outline, in diameters; 0 without layers. Layered cells stand
    /// at right angles to the outline instead of along `axis`.
    pub layers: f32,
    /// Share of the cells that a straight wall divides in two.
    pub division: f32,
    /// How far the walls are bent, in diameters.
    pub warp: f32,
    /// Length of the bends, in diameters.
    pub warp_length: f32,
    /// How far cells reach from their centres, in diameters; what none reaches is background. Near 0.6 round cells
    /// with gaps between them, above 1.5 no effect.
    pub reach: f32,
    /// Share of the cells that are empty: background.
    pub cavities: f32,
    /// Smaller cells (in voxels) are joined to a neighbour.
    pub min_volume: usize,
    /// The region that the cells fill.
    pub outline: OutlineKind,
    /// Half axes (or half thickness, radius) of the outline over the half extents of the volume, z, y, x.
    pub outline_size: [f32; 3],
    /// Its centre relative to the volume's (-1 to 1, z, y, x).
    pub outline_centre: [f32; 3],
    /// Normal of a slab, direction of a tube.
    pub outline_axis: [f32; 3],
    /// Bumps of the outline, in diameters.
    pub outline_roughness: f32,
}

impl Default for TissueParameters {
    /// Plant-like cells in an irregular ellipsoid.
    fn default() -> Self {
        TissueParameters {
            anisotropy: 1.5,
            diameter: 28.0,
            spread: 0.15,
            gradient: 0.15,
            small_share: 0.0,
            small_ratio: 0.5,
            elongation: 1.2,
            axis: [0.0, 0.0, 1.0],
            alignment: 0.5,
            layers: 0.0,
            division: 0.3,
            warp: 0.12,
            warp_length: 1.5,
            reach: 2.0,
            cavities: 0.0,
            min_volume: 40,
            outline: OutlineKind::Ellipsoid,
            outline_size: [1.0, 0.95, 0.95],
            outline_centre: [0.0; 3],
            outline_axis: [1.0, 0.0, 0.0],
            outline_roughness: 0.3,
        }
    }
}

impl TissueParameters {
    /// Width of the narrow cells, in pixels.
    fn narrowest(&self) -> f32 {
        let small = if self.small_share > 0.0 { self.small_ratio } else { 1.0 };
        let slender = libm::powf(self.elongation, if self.elongation > 1.0 { -1.0 / 3.0 } else { 2.0 / 3.0 });
        let halved = 1.0 - 0.4 * self.division;
        self.diameter * small * slender * halved * (1.0 - self.spread - 0.5 * self.gradient)
    }

    /// A tissue of random morphology: compact plant tissue, files of elongated cells, layers along a surface,
    /// blastomeres of an embryo, sheets of flat or columnar cells.
    pub fn random(rng: &mut impl Rng) -> Self {
        let common = Self::random_common(rng);
        match rng.next_u32() % 12 {
            0..4 => common,
            4..6 => common.files(rng),
            6..8 => common.layered(rng),
            8..11 => common.embryo(rng),
            _ => common.sheet(rng),
        }
    }

    fn random_common(rng: &mut impl Rng) -> Self {
        let anisotropy = if chance(rng, 0.3) { 1.0 } else { log_uniform(rng, 1.0, 3.5) };
        let mixed = chance(rng, 0.2);
        TissueParameters {
            anisotropy,
            diameter: log_uniform(rng, 12.0, 50.0).max(7.0 * anisotropy),
            spread: uniform(rng, 0.0, 0.25),
            gradient: uniform(rng, 0.0, 0.3),
            small_share: if mixed { uniform(rng, 0.1, 0.6) } else { 0.0 },
            small_ratio: uniform(rng, 0.5, 0.75),
            elongation: log_uniform(rng, 0.8, 1.5),
            axis: direction(rng),
            alignment: uniform(rng, 0.0, 1.0),
            layers: 0.0,
            division: if chance(rng, 0.6) { uniform(rng, 0.0, 0.7) } else { 0.0 },
            warp: uniform(rng, 0.02, 0.25),
            warp_length: uniform(rng, 0.8, 2.5),
            reach: if chance(rng, 0.2) { uniform(rng, 0.62, 0.85) } else { 2.0 },
            cavities: if chance(rng, 0.2) { uniform(rng, 0.01, 0.12) } else { 0.0 },
            min_volume: 40,
            outline: *pick(
                rng,
                &[OutlineKind::Full, OutlineKind::Ellipsoid, OutlineKind::Slab, OutlineKind::Tube],
            ),
            outline_size: std::array::from_fn(|_| uniform(rng, 0.55, 1.3)),
            outline_centre: std::array::from_fn(|_| uniform(rng, -0.4, 0.4)),
            outline_axis: direction(rng),
            outline_roughness: uniform(rng, 0.0, 0.8),
        }
    }

    fn files(self, rng: &mut impl Rng) -> Self {
        TissueParameters {
            elongation: uniform(rng, 1.5, 3.5),
            alignment: uniform(rng, 0.8, 1.0),
            warp: uniform(rng, 0.02, 0.12),
            ..self
        }
    }

    fn layered(self, rng: &mut impl Rng) -> Self {
        TissueParameters {
            layers: uniform(rng, 0.6, 1.1),
            elongation: log_uniform(rng, 0.6, 1.6),
            outline: *pick(
                rng,
                &[OutlineKind::Ellipsoid, OutlineKind::Tube, OutlineKind::Slab, OutlineKind::Shell],
            ),
            outline_size: std::array::from_fn(|_| uniform(rng, 0.7, 1.6)),
            outline_roughness: uniform(rng, 0.0, 0.4),
            ..self
        }
    }

    fn embryo(self, rng: &mut impl Rng) -> Self {
        TissueParameters {
            diameter: log_uniform(rng, 22.0, 75.0).max(7.0 * self.anisotropy),
            spread: uniform(rng, 0.05, 0.25),
            division: if chance(rng, 0.3) { uniform(rng, 0.0, 0.3) } else { 0.0 },
            warp: uniform(rng, 0.02, 0.12),
            reach: uniform(rng, 0.6, 0.8),
            outline: *pick(rng, &[OutlineKind::Ellipsoid, OutlineKind::Ellipsoid, OutlineKind::Full]),
            outline_size: std::array::from_fn(|_| uniform(rng, 0.7, 1.1)),
            outline_centre: std::array::from_fn(|_| uniform(rng, -0.25, 0.25)),
            ..self
        }
    }

    fn sheet(self, rng: &mut impl Rng) -> Self {
        let tilt = direction(rng).map(|x| 0.25 * x);
        TissueParameters {
            layers: uniform(rng, 0.5, 1.5),
            elongation: log_uniform(rng, 0.4, 2.5),
            warp: uniform(rng, 0.02, 0.2),
            outline: OutlineKind::Slab,
            outline_size: std::array::from_fn(|_| uniform(rng, 0.3, 0.9)),
            outline_axis: [1.0 + tilt[0], tilt[1], tilt[2]],
            ..self
        }
    }
}

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
    /// Brightness of the background.
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
    fn resolve(&mut self, width: f32, rng: &mut impl Rng) {
        self.thickness = self.thickness.min(0.3 * width);
        self.blur = self.blur.min(width * uniform(rng, 0.06, 0.14)).max(0.5);
        self.axial = self.axial.min((width * uniform(rng, 0.15, 0.3) / self.blur).max(1.0));
        self.texture_length = self.texture_length.max(0.5);
        self.separation = self.separation.min(0.25 * width);
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
        self.haze = if chance(rng, 0.2) { uniform(rng, 0.15, 0.4) } else { log_uniform(rng, 0.005, 0.2) };
        self.haze_spread = uniform(rng, 0.1, 0.8);
        self.texture = uniform(rng, 0.0, 0.9);
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
        self.defocus = if chance(rng, 0.5) { uniform(rng, 0.0, 0.6) } else { 0.0 };
        self.scatter = if chance(rng, 0.6) { uniform(rng, 0.0, 0.35) } else { 0.0 };
        self.background = log_uniform(rng, 0.002, 0.15);
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
        self.saturation = log_uniform(rng, 0.0005, 0.08);
        self.gamma = log_uniform(rng, 0.6, 1.3);
        self.bits = if chance(rng, 0.7) { 8 } else { 16 };
    }
}

fn pick<'a, T>(rng: &mut impl Rng, choices: &'a [T]) -> &'a T {
    &choices[rng.next_u32() as usize % choices.len()]
}

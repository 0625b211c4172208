//! Shapes and sizes of the cells.
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::{pick, within};
use crate::error::Result;
use crate::synth::random::{chance, direction, log_uniform, uniform, unit};

/// The region that the cells fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
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
    /// Nothing: background alone.
    Empty,
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
    /// Smaller gaps between cells, in volumes of an average cell, are closed: nothing tells a walled gap from a
    /// dark cell.
    pub min_gap: f32,
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
            min_gap: 0.5,
            outline: OutlineKind::Ellipsoid,
            outline_size: [1.0, 0.95, 0.95],
            outline_centre: [0.0; 3],
            outline_axis: [1.0, 0.0, 0.0],
            outline_roughness: 0.3,
        }
    }
}

impl TissueParameters {
    pub(super) fn check(&self) -> Result<()> {
        within("tissue.anisotropy", self.anisotropy, 0.05, 50.0)?;
        within("tissue.diameter", self.diameter, 3.0, 10_000.0)?;
        within("tissue.spread", self.spread, 0.0, 1.0)?;
        within("tissue.gradient", self.gradient, 0.0, 1.0)?;
        within("tissue.small_share", self.small_share, 0.0, 1.0)?;
        within("tissue.small_ratio", self.small_ratio, 0.3, 1.0)?;
        within("tissue.elongation", self.elongation, 0.2, 6.0)?;
        within("tissue.alignment", self.alignment, 0.0, 1.0)?;
        within("tissue.layers", self.layers, 0.0, 100.0)?;
        within("tissue.division", self.division, 0.0, 1.0)?;
        within("tissue.warp", self.warp, 0.0, 2.0)?;
        within("tissue.warp_length", self.warp_length, 0.05, 100.0)?;
        within("tissue.reach", self.reach, 0.1, 100.0)?;
        within("tissue.cavities", self.cavities, 0.0, 1.0)?;
        within("tissue.min_gap", self.min_gap, 0.0, 1000.0)?;
        within("tissue.outline_roughness", self.outline_roughness, 0.0, 100.0)?;
        self.axis
            .iter()
            .chain(&self.outline_axis)
            .try_for_each(|&x| within("tissue: an axis", x, -1e3, 1e3))?;
        self.outline_size.iter().try_for_each(|&x| within("tissue.outline_size", x, 0.01, 100.0))?;
        self.outline_centre.iter().try_for_each(|&x| within("tissue.outline_centre", x, -100.0, 100.0))
    }

    /// Volume of an average cell in voxels.
    pub(crate) fn cell_volume(&self) -> f32 {
        let d = self.diameter;
        std::f32::consts::FRAC_PI_6 * d * d * d / self.anisotropy
    }

    /// Width of the narrow cells, in pixels.
    pub(super) fn narrowest(&self) -> f32 {
        let small = if self.small_share > 0.0 { self.small_ratio } else { 1.0 };
        let slender = libm::powf(self.elongation, if self.elongation > 1.0 { -1.0 / 3.0 } else { 2.0 / 3.0 });
        let halved = 1.0 - 0.4 * self.division;
        self.diameter * small * slender * halved * (1.0 - self.spread - 0.5 * self.gradient)
    }

    /// A tissue of random morphology: compact plant tissue, files of elongated cells, layers along a surface,
    /// blastomeres of an embryo, sheets of flat or columnar cells.
    pub fn random(rng: &mut impl Rng) -> Self {
        let common = Self::random_common(rng);
        match rng.next_u32() % 16 {
            0..5 => common,
            5..7 => common.files(rng),
            7..9 => common.root(rng),
            9..11 => common.layered(rng),
            11..15 => common.embryo(rng),
            _ => common.sheet(rng),
        }
    }

    /// The same tissue where most of the volume is background.
    pub(crate) fn sparse(self, rng: &mut impl Rng) -> Self {
        TissueParameters {
            diameter: self.diameter.min(24.0).max(5.0 * self.anisotropy),
            outline: *pick(rng, &[OutlineKind::Ellipsoid, OutlineKind::Slab, OutlineKind::Tube]),
            outline_size: std::array::from_fn(|_| uniform(rng, 0.15, 0.45)),
            outline_centre: std::array::from_fn(|_| uniform(rng, -0.7, 0.7)),
            ..self
        }
    }

    /// No tissue at all.
    pub(crate) fn empty(self) -> Self {
        TissueParameters { outline: OutlineKind::Empty, ..self }
    }

    fn random_common(rng: &mut impl Rng) -> Self {
        // The network sees most volumes resampled to nearly cubic voxels.
        let anisotropy = match unit(rng) {
            0.0..0.55 => 1.0,
            0.55..0.92 => log_uniform(rng, 1.0, 2.0),
            _ => log_uniform(rng, 2.0, 6.0),
        };
        let mixed = chance(rng, 0.2);
        TissueParameters {
            anisotropy,
            diameter: Self::random_diameter(rng).max(5.0 * anisotropy),
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
            warp_length: uniform(rng, 0.65, 2.5),
            reach: if chance(rng, 0.15) { uniform(rng, 0.75, 0.95) } else { 2.0 },
            cavities: if chance(rng, 0.05) { uniform(rng, 0.005, 0.03) } else { 0.0 },
            min_volume: 40,
            min_gap: 0.5,
            outline: *pick(
                rng,
                &[
                    OutlineKind::Full,
                    OutlineKind::Full,
                    OutlineKind::Ellipsoid,
                    OutlineKind::Slab,
                    OutlineKind::Tube,
                ],
            ),
            outline_size: std::array::from_fn(|_| uniform(rng, 0.55, 1.3)),
            outline_centre: std::array::from_fn(|_| uniform(rng, -0.4, 0.4)),
            outline_axis: direction(rng),
            outline_roughness: uniform(rng, 0.0, 0.8),
        }
    }

    /// Most cells are from 14 to 40 pixels wide.
    fn random_diameter(rng: &mut impl Rng) -> f32 {
        match unit(rng) {
            0.0..0.1 => log_uniform(rng, 8.0, 14.0),
            0.1..0.85 => log_uniform(rng, 14.0, 40.0),
            _ => log_uniform(rng, 40.0, 80.0),
        }
    }

    /// Files of wide cells, long or short, as in roots.
    fn root(self, rng: &mut impl Rng) -> Self {
        TissueParameters {
            diameter: log_uniform(rng, 22.0, 70.0).max(5.0 * self.anisotropy),
            spread: uniform(rng, 0.1, 0.3),
            gradient: uniform(rng, 0.1, 0.4),
            elongation: log_uniform(rng, 0.6, 2.8),
            alignment: uniform(rng, 0.85, 1.0),
            division: uniform(rng, 0.0, 0.5),
            warp: uniform(rng, 0.02, 0.15),
            reach: 2.0,
            outline: *pick(rng, &[OutlineKind::Full, OutlineKind::Full, OutlineKind::Tube]),
            outline_size: std::array::from_fn(|_| uniform(rng, 0.8, 1.6)),
            ..self
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
            diameter: log_uniform(rng, 18.0, 60.0).max(5.0 * self.anisotropy),
            spread: uniform(rng, 0.05, 0.25),
            division: if chance(rng, 0.3) { uniform(rng, 0.0, 0.3) } else { 0.0 },
            warp: uniform(rng, 0.02, 0.12),
            reach: uniform(rng, 0.72, 1.0),
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

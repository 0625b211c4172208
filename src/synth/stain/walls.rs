//! The walls between cells and around the tissue, as sheets of stain.
use ndarray::parallel::prelude::*;
use ndarray::{Array3, Axis};

use super::{Scene, streams};
use crate::synth::field::{ZipParallel, gaussian_blur, noise, noise_octaves};
use crate::synth::random::{draws, mix};

/// Brightness that is left of invisible walls and holes.
const LEFT_OVER: f32 = 0.06;

/// The thinnest and the thickest walls; all others are mixtures.
pub(super) struct Walls {
    pub(super) thin: Array3<f32>,
    pub(super) thick: Array3<f32>,
}

/// Stain in each voxel; an upright sheet of average brightness holds 1 for each pixel of its area.
pub(super) fn draw(scene: &Scene) -> Walls {
    let owners = if scene.stain.separation > 0.0 { shrunk(scene) } else { scene.labels.clone() };
    let mut factor = mottle(scene);
    factor.par_iter_mut_with(&slant(scene, &owners), |mottle, slant| mottle * slant);
    let sheets = |thick: bool| {
        let [mut sum, y, x] = faces(scene, &owners, |wall| wall.stain * wall.share(thick));
        sum.par_iter_mut_with(&y, |a, b| a + b);
        sum.par_iter_mut_with(&x, |a, b| a + b);
        sum.par_iter_mut_with(&factor, |area, factor| area * factor);
        sum
    };
    Walls { thin: sheets(false), thick: sheets(true) }
}

/// Area of walls in each voxel across z, y and x, each face weighted as its wall says.
fn faces(scene: &Scene, owners: &Array3<u32>, weight: impl Fn(Wall) -> f32 + Sync) -> [Array3<f32>; 3] {
    std::array::from_fn(|axis| {
        let unit = if axis == 0 { 1.0 / scene.anisotropy } else { 1.0 };
        let mut area = Array3::<f32>::zeros(owners.dim());
        area.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(z, mut plane)| {
            for ((y, x), area) in plane.indexed_iter_mut() {
                *area = 0.5 * unit * face_pair(scene, owners, [z, y, x], axis, &weight);
            }
        });
        area
    })
}

/// Sum over the two faces of a voxel across one axis, zero where no wall is. The faces of the volume are none.
fn face_pair(
    scene: &Scene,
    owners: &Array3<u32>,
    at: [usize; 3],
    axis: usize,
    weight: &impl Fn(Wall) -> f32,
) -> f32 {
    let own = owners[at];
    let (mut before, mut behind) = (at, at);
    before[axis] = at[axis].wrapping_sub(1);
    behind[axis] += 1;
    [before, behind]
        .into_iter()
        .filter_map(|other| owners.get(other))
        .filter(|&&other| other != own)
        .map(|&other| weight(Wall::between(scene, own, other)))
        .sum()
}

/// How the wall between two cells is stained.
struct Wall {
    stain: f32,
    /// 0: as thin as walls get, 1: as thick.
    thickness: f32,
}

impl Wall {
    fn between(scene: &Scene, a: u32, b: u32) -> Self {
        let stain = scene.stain;
        let (normal, uniform) = draws(mix(scene.seed, a, b));
        let (_, thickness) = draws(mix(!scene.seed, a, b));
        let brightness = if a == 0 || b == 0 {
            let half = if stain.separation > 0.0 { 0.7 } else { stain.outer };
            half * libm::expf(0.5 * stain.wall_spread * normal)
        } else if uniform < stain.missing {
            LEFT_OVER
        } else {
            libm::expf(stain.wall_spread * normal)
        };
        Wall { stain: brightness, thickness }
    }

    fn share(&self, thick: bool) -> f32 {
        if thick { self.thickness } else { 1.0 - self.thickness }
    }
}

/// Labels with a gap of about `separation` pixels between the cells, along y and x.
fn shrunk(scene: &Scene) -> Array3<u32> {
    let labels = scene.labels;
    let radius = (0.5 * scene.stain.separation).round().max(1.0) as isize;
    let mut out = labels.clone();
    out.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(z, mut plane)| {
        for ((y, x), label) in plane.indexed_iter_mut() {
            let own = *label;
            let near = |dy: isize, dx: isize| {
                let (y, x) = (y.wrapping_add_signed(dy), x.wrapping_add_signed(dx));
                labels.get([z, y, x]).is_some_and(|&other| other != own)
            };
            let edge = (1..=radius).any(|d| near(d, 0) || near(-d, 0) || near(0, d) || near(0, -d));
            *label = if edge { 0 } else { own };
        }
    });
    out
}

/// True area over that of the steps as which a slanting wall is drawn: 1 / |n|_1, n the wall's normal, found from
/// the areas by direction around each voxel.
fn slant(scene: &Scene, owners: &Array3<u32>) -> Array3<f32> {
    let mut smooth = faces(scene, owners, |_| 1.0);
    for area in &mut smooth {
        gaussian_blur(area, scene.voxels(1.5).map(|s| s.max(0.8)), 2.0);
    }
    let [z, y, x] = smooth;
    ndarray::Zip::from(&z).and(&y).and(&x).par_map_collect(|&z, &y, &x| {
        let sum = z + y + x;
        if sum > 1e-6 { (z * z + y * y + x * x).sqrt() / sum } else { 1.0 }
    })
}

/// Brightness along the walls, holes included.
fn mottle(scene: &Scene) -> Array3<f32> {
    let stain = scene.stain;
    let mut mottle =
        noise_octaves(scene.shape(), scene.voxels(stain.mottle_length), scene.seed, streams::WALLS);
    mottle.par_mapv_inplace(|v| libm::expf(stain.mottle * v));
    if stain.gaps > 0.0 {
        let holes = noise(scene.shape(), scene.voxels(stain.gap_length), scene.seed, streams::WALLS + 10);
        let level = upper_quantile(stain.gaps);
        mottle.par_iter_mut_with(&holes, |m, hole| {
            let visible = ((level - hole) / 0.3).clamp(0.0, 1.0);
            m * (LEFT_OVER + (1.0 - LEFT_OVER) * visible)
        });
    }
    mottle
}

/// The value that a standard normal number exceeds with the given probability (Abramowitz and Stegun, 26.2.22).
fn upper_quantile(share: f32) -> f32 {
    let p = share.clamp(1e-6, 1.0 - 1e-6);
    let t = libm::sqrtf(-2.0 * libm::logf(p.min(1.0 - p)));
    let x = t - (2.30753 + 0.27061 * t) / (1.0 + 0.99229 * t + 0.04481 * t * t);
    if p < 0.5 { x } else { -x }
}

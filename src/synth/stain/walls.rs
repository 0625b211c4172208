//! The walls between cells and around the tissue, as sheets of stain.
use ndarray::parallel::prelude::*;
use ndarray::{Array3, Axis};

use super::{Scene, streams};
use crate::synth::field::{ZipParallel, gaussian_blur, noise, noise_octaves};
use crate::synth::random::{draws, mix};

/// Brightness that is left of invisible walls and holes.
const LEFT_OVER: f32 = 0.06;
/// Keeps the random numbers of cells apart from those of walls.
const CELLS: u64 = 0x6365_6c6c;

/// The thinnest and the thickest walls; all others are mixtures.
pub(super) struct Walls {
    pub(super) thin: Array3<f32>,
    pub(super) thick: Array3<f32>,
}

/// Stain in each voxel; an upright sheet of average brightness holds 1 for each pixel of its area.
pub(super) fn draw(scene: &Scene) -> Walls {
    let owners = if scene.stain.separation > 0.0 { &shrunk(scene) } else { scene.labels };
    let mut faces = Faces::of(scene, owners);
    let mut factor = mottle(scene);
    factor.par_iter_mut_with(&slant(scene, faces.areas), |mottle, slant| mottle * slant);
    for sheets in [&mut faces.thin, &mut faces.thick] {
        sheets.par_iter_mut_with(&factor, |area, factor| area * factor);
    }
    if scene.stain.vertices > 0.0 {
        add_vertices(scene, owners, &mut faces.thick);
    }
    Walls { thin: faces.thin, thick: faces.thick }
}

/// Walls as the faces between voxels of different cells.
struct Faces {
    /// Stain in each voxel, of thin and of thick walls.
    thin: Array3<f32>,
    thick: Array3<f32>,
    /// Area in each voxel across z, y and x.
    areas: [Array3<f32>; 3],
}

impl Faces {
    fn of(scene: &Scene, owners: &Array3<u32>) -> Self {
        let mut voxels = Array3::from_elem(owners.dim(), [0.0_f32; 5]);
        voxels.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(z, mut plane)| {
            let mut known = KnownWalls::new(scene);
            for ((y, x), voxel) in plane.indexed_iter_mut() {
                *voxel = known.voxel(owners, [z, y, x]);
            }
        });
        let part = |i: usize| ndarray::Zip::from(&voxels).par_map_collect(|voxel| voxel[i]);
        Faces { thin: part(0), thick: part(1), areas: [part(2), part(3), part(4)] }
    }
}

/// Walls that were met lately: neighbouring voxels mostly have the same.
struct KnownWalls<'a> {
    scene: &'a Scene<'a>,
    walls: Vec<((u32, u32), Wall)>,
}

impl<'a> KnownWalls<'a> {
    /// Places for walls, each of which can be in one of them alone.
    const PLACES: usize = 256;

    fn new(scene: &'a Scene) -> Self {
        let none = ((0, 0), Wall { stain: 0.0, thickness: 0.0 });
        KnownWalls { scene, walls: vec![none; Self::PLACES] }
    }

    /// Stain of thin and of thick walls and area across z, y and x in a voxel: half of what is on its faces. The faces
    /// of the volume hold none.
    fn voxel(&mut self, owners: &Array3<u32>, at: [usize; 3]) -> [f32; 5] {
        let (own, mut out) = (owners[at], [0.0; 5]);
        for axis in 0..3 {
            let half = if axis == 0 { 0.5 / self.scene.anisotropy } else { 0.5 };
            let (mut before, mut behind) = (at, at);
            before[axis] = at[axis].wrapping_sub(1);
            behind[axis] += 1;
            for other in [before, behind].into_iter().filter_map(|at| owners.get(at)) {
                if *other != own {
                    let wall = self.between(own, *other);
                    out[0] += half * wall.stain * (1.0 - wall.thickness);
                    out[1] += half * wall.stain * wall.thickness;
                    out[2 + axis] += half;
                }
            }
        }
        out
    }

    fn between(&mut self, a: u32, b: u32) -> Wall {
        let names = (a.min(b), a.max(b));
        let place = (names.0.wrapping_mul(31).wrapping_add(names.1)) as usize % Self::PLACES;
        let known = &mut self.walls[place];
        if known.0 != names {
            *known = (names, Wall::between(self.scene, a, b));
        }
        known.1
    }
}

/// Adds the lines in which three cells or more meet.
fn add_vertices(scene: &Scene, owners: &Array3<u32>, stain: &mut Array3<f32>) {
    // A line loses more of its brightness to blur than a sheet.
    let strength = 2.5 * scene.stain.vertices * scene.stain.blur;
    ndarray::Zip::indexed(stain).par_for_each(|(z, y, x), stain| {
        if *stain > 0.0 && meeting(owners, [z, y, x]) > 2 {
            *stain += strength;
        }
    });
}

/// How many cells there are among a voxel and those behind it, counted up to three.
fn meeting(owners: &Array3<u32>, [z, y, x]: [usize; 3]) -> usize {
    let own = owners[[z, y, x]];
    let mut second = own;
    for corner in 1..8 {
        let at = [z + (corner >> 2), y + (corner >> 1 & 1), x + (corner & 1)];
        match owners.get(at) {
            Some(&other) if other != own && second == own => second = other,
            Some(&other) if other != own && other != second => return 3,
            _ => {}
        }
    }
    if second == own { 1 } else { 2 }
}

/// How the wall between two cells is stained.
#[derive(Clone, Copy)]
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
        Wall { stain: brightness * Self::of_cells(scene, a, b), thickness }
    }

    /// The mean brightness of the membranes of two cells.
    fn of_cells(scene: &Scene, a: u32, b: u32) -> f32 {
        let spread = scene.stain.cell_spread;
        let membrane = |cell: u32| libm::expf(spread * draws(mix(scene.seed ^ CELLS, cell, cell)).0);
        match (a.min(b), a.max(b)) {
            _ if spread == 0.0 => 1.0,
            (0, cell) => membrane(cell),
            (a, b) => 0.5 * (membrane(a) + membrane(b)),
        }
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
fn slant(scene: &Scene, mut areas: [Array3<f32>; 3]) -> Array3<f32> {
    for area in &mut areas {
        gaussian_blur(area, scene.voxels(1.5).map(|s| s.max(0.8)), 2.0);
    }
    let [z, y, x] = areas;
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

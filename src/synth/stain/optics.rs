//! The way of the light: uneven stain, the point spread function, scatter, losses with depth.
use ndarray::parallel::prelude::*;
use ndarray::{Array3, Axis, s};

use super::walls::Walls;
use super::{Scene, streams};
use crate::synth::field::{ZipParallel, gaussian_blur, noise_octaves};

/// The halo of scattered light is computed on a grid this much coarser.
const COARSE: usize = 4;

/// The image of walls and cell interiors, the brightness of an average upright wall being 1.
pub(super) fn image(scene: &Scene, walls: Walls, interior: Array3<f32>) -> Array3<f32> {
    let stain = scene.stain;
    let mut light = sheets(scene, walls.thick, 1.0 + stain.thickness_spread);
    let thin = sheets(scene, walls.thin, 1.0 - stain.thickness_spread);
    light.par_iter_mut_with(&thin, |a, b| a + b);
    let mut interior = interior;
    gaussian_blur(&mut interior, spread(scene, 0.0), 3.0);
    light.par_iter_mut_with(&interior, |a, b| a + b);
    make_uneven(scene, &mut light);
    defocus(scene, &mut light);
    scatter(scene, &mut light);
    mix_planes(scene, &mut light);
    stripe(scene, &mut light);
    attenuate(scene, &mut light);
    light
}

/// Standard deviations, in voxels, of the image of a sheet of the given thickness t, whose own variance across is
/// t^2 / 12.
fn spread(scene: &Scene, thickness: f32) -> [f32; 3] {
    let own = thickness * thickness / 12.0;
    let blur = scene.stain.blur;
    let across = (own + blur * blur).sqrt();
    let along = (own + blur * blur * scene.stain.axial * scene.stain.axial).sqrt() / scene.anisotropy;
    [along.max(0.35), across, across]
}

/// The image of walls, the stain scaled so that an upright one shines with its brightness.
fn sheets(scene: &Scene, mut walls: Array3<f32>, relative: f32) -> Array3<f32> {
    let sigma = spread(scene, relative.max(0.0) * scene.stain.thickness);
    let peak = sigma[2] * libm::sqrtf(std::f32::consts::TAU);
    walls.par_mapv_inplace(|wall| peak * wall);
    gaussian_blur(&mut walls, sigma, 3.0);
    walls
}

fn make_uneven(scene: &Scene, light: &mut Array3<f32>) {
    let stain = scene.stain;
    if stain.uneven > 0.0 {
        let length = scene.voxels(stain.uneven_length);
        let field = noise_octaves(scene.shape(), length, scene.seed, streams::OPTICS);
        light.par_iter_mut_with(&field, |light, v| light * libm::expf(stain.uneven * v));
    }
}

/// Shadows of what lies in the way of a sheet of light that comes along y.
fn stripe(scene: &Scene, light: &mut Array3<f32>) {
    let depth = scene.stain.stripes;
    if depth > 0.0 {
        let length = [scene.voxels(6.0)[0], 250.0, 4.0];
        let field = noise_octaves(scene.shape(), length, scene.seed, streams::OPTICS + 4);
        light.par_iter_mut_with(&field, |light, v| light * libm::expf(depth * v));
    }
}

/// Mixes in a blurred image, more and more towards the side from which less light comes.
fn defocus(scene: &Scene, light: &mut Array3<f32>) {
    let stain = scene.stain;
    if stain.defocus <= 0.0 {
        return;
    }
    let mut blurred = light.clone();
    // With what the light has already been through: 3 sd in all.
    gaussian_blur(&mut blurred, spread(scene, 0.0).map(|s| 2.83 * s.max(0.3)), 2.5);
    let planes = light.dim().0 as f32;
    light.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(z, mut plane)| {
        let depth = (z as f32 + 0.5) / planes;
        let share = stain.defocus * if stain.attenuation < 0.0 { 1.0 - depth } else { depth };
        plane.zip_mut_with(&blurred.index_axis(Axis(0), z), |sharp, &wide| *sharp += share * (wide - *sharp));
    });
}

/// Mixes in the light of the planes above and below, as a sheet of light does that is thicker than the depth of focus.
fn mix_planes(scene: &Scene, light: &mut Array3<f32>) {
    let share = scene.stain.crosstalk;
    if share > 0.0 {
        let [z, y, x] = scene.voxels(scene.stain.crosstalk_length);
        let mut wide = light.clone();
        gaussian_blur(&mut wide, [z, 0.25 * y, 0.25 * x], 2.0);
        light.par_iter_mut_with(&wide, |sharp, wide| sharp + share * (wide - sharp));
    }
}

/// Spreads a share of the light into a wide halo.
fn scatter(scene: &Scene, light: &mut Array3<f32>) {
    let share = scene.stain.scatter;
    if share <= 0.0 {
        return;
    }
    let mut halo = coarse(light);
    gaussian_blur(&mut halo, scene.voxels(scene.stain.scatter_length.max(4.0) / COARSE as f32), 2.5);
    let last: [usize; 3] = std::array::from_fn(|a| halo.shape()[a] - 1);
    light.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(z, mut plane)| {
        let z = weights(z, last[0]);
        for (y, mut row) in plane.outer_iter_mut().enumerate() {
            let y = weights(y, last[1]);
            let line: Vec<f32> = (0..=last[2]).map(|x| between(&halo, z, y, x)).collect();
            for (x, light) in row.iter_mut().enumerate() {
                let wide: f32 = weights(x, last[2]).iter().map(|w| w.1 * line[w.0]).sum();
                *light += share * (wide - *light);
            }
        }
    });
}

/// Bilinear interpolation of a column of the coarse grid.
fn between(halo: &Array3<f32>, z: [(usize, f32); 2], y: [(usize, f32); 2], x: usize) -> f32 {
    let row = |(i, w): (usize, f32)| w * (y[0].1 * halo[[i, y[0].0, x]] + y[1].1 * halo[[i, y[1].0, x]]);
    row(z[0]) + row(z[1])
}

/// The two nodes of the coarse grid around a voxel and their weights.
fn weights(i: usize, last: usize) -> [(usize, f32); 2] {
    let position = ((i as f32 + 0.5) / COARSE as f32 - 0.5).clamp(0.0, last as f32);
    let node = position as usize;
    let t = position - node as f32;
    [(node, 1.0 - t), ((node + 1).min(last), t)]
}

/// Means over cubes.
fn coarse(light: &Array3<f32>) -> Array3<f32> {
    let (nz, ny, nx) = light.dim();
    let shape = [nz, ny, nx].map(|n| n.div_ceil(COARSE));
    let mut out = Array3::zeros(shape);
    out.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(z, mut plane)| {
        for ((y, x), mean) in plane.indexed_iter_mut() {
            let cut = |i: usize, n: usize| i * COARSE..((i + 1) * COARSE).min(n);
            let cube = light.slice(s![cut(z, nz), cut(y, ny), cut(x, nx)]);
            *mean = cube.iter().sum::<f32>() / cube.len() as f32;
        }
    });
    out
}

/// Loss of light along z and along y.
fn attenuate(scene: &Scene, light: &mut Array3<f32>) {
    let stain = scene.stain;
    let (planes, rows, _) = light.dim();
    let left = |loss: f32, i: usize, n: usize| {
        let depth = (i as f32 + 0.5) / n as f32;
        libm::expf(if loss < 0.0 { loss * (1.0 - depth) } else { -loss * depth })
    };
    let sideways: Vec<f32> = (0..rows).map(|y| left(stain.sideways, y, rows)).collect();
    light.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(z, mut plane)| {
        let left = left(stain.attenuation, z, planes);
        for (mut row, sideways) in plane.outer_iter_mut().zip(&sideways) {
            row.mapv_inplace(|v| v * (left * sideways));
        }
    });
}

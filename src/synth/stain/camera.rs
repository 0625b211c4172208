//! The camera: photon and read noise, planes taken further apart than they are shown, grey values.
use ndarray::parallel::prelude::*;
use ndarray::{Array3, Axis};

use super::{Scene, streams};
use crate::synth::field::gaussian_blur;
use crate::synth::random;

/// Grey values of the light.
pub(super) fn expose(scene: &Scene, light: Array3<f32>) -> Array3<f32> {
    let stain = scene.stain;
    let step = stain.plane_step.max(1.0);
    let mut image = if step > 1.0 { respaced(&light, step) } else { light };
    add_noise(scene, &mut image);
    if step > 1.0 {
        image = interpolated(&image, step, scene.shape()[0]);
    }
    gaussian_blur(&mut image, [0.5, 1.0, 1.0].map(|a| a * stain.smoothing), 3.0);
    quantise(scene, &mut image);
    image
}

/// Planes at multiples of `step`, the last one beyond the end included.
fn respaced(light: &Array3<f32>, step: f32) -> Array3<f32> {
    let (planes, y, x) = light.dim();
    let taken = ((planes - 1) as f32 / step).ceil() as usize + 1;
    let mut out = Array3::zeros((taken, y, x));
    out.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(i, mut plane)| {
        mix_planes(&mut plane, light, i as f32 * step);
    });
    out
}

/// The planes between those that were taken.
fn interpolated(taken: &Array3<f32>, step: f32, planes: usize) -> Array3<f32> {
    let (_, y, x) = taken.dim();
    let mut out = Array3::zeros((planes, y, x));
    out.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(z, mut plane)| {
        mix_planes(&mut plane, taken, z as f32 / step);
    });
    out
}

/// Fills a plane by linear interpolation at the given position along z.
fn mix_planes(plane: &mut ndarray::ArrayViewMut2<f32>, volume: &Array3<f32>, position: f32) {
    let last = volume.dim().0 - 1;
    let below = (position as usize).min(last);
    let t = position - below as f32;
    plane.assign(&volume.index_axis(Axis(0), below));
    let above = volume.index_axis(Axis(0), (below + 1).min(last));
    plane.zip_mut_with(&above, |a, &b| *a += t.min(1.0) * (b - *a));
}

/// Photon noise, read noise and the changing brightness of the planes.
fn add_noise(scene: &Scene, image: &mut Array3<f32>) {
    let stain = scene.stain;
    image.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(z, mut plane)| {
        let mut rng = random::stream(scene.seed, streams::CAMERA + z as u64);
        let lamp = random::log_normal(&mut rng, stain.flicker);
        plane.mapv_inplace(|light| {
            let counted = random::poisson(&mut rng, (lamp * light * stain.photons).max(0.0)) / stain.photons;
            counted + stain.noise * random::normal(&mut rng)
        });
    });
}

/// Maps brightness to grey values: `saturation` of the voxels end at the top of the range.
fn quantise(scene: &Scene, image: &mut Array3<f32>) {
    let stain = scene.stain;
    let range = if stain.bits <= 8 { 255.0 } else { 65_535.0 };
    let top = bright_level(image, stain.saturation).max(1e-3);
    image.par_mapv_inplace(|light| {
        let linear = (light / top).clamp(0.0, 1.0);
        let shown = stain.offset + (1.0 - stain.offset) * libm::powf(linear, stain.gamma);
        (range * shown.clamp(0.0, 1.0)).round()
    });
}

/// The brightness that the given share of the voxels exceeds, from every seventh voxel.
fn bright_level(image: &Array3<f32>, share: f32) -> f32 {
    let mut sorted: Vec<f32> = image.iter().copied().step_by(7).collect();
    let rank = ((1.0 - share.clamp(0.0, 0.5)) * (sorted.len() - 1) as f32) as usize;
    *sorted.select_nth_unstable_by(rank, f32::total_cmp).1
}

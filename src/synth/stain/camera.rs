//! The camera: photon and read noise, planes taken further apart than they are shown, grey values.
use ndarray::parallel::prelude::*;
use ndarray::{Array3, Axis, Zip};

use super::{Scene, streams};
use crate::synth::field::gaussian_blur;
use crate::synth::random;
use crate::volume::Shape;

/// Grey values of the light.
pub(super) fn expose(scene: &Scene, light: Array3<f32>) -> Array3<f32> {
    let stain = scene.stain;
    let steps = [stain.plane_step, stain.pixel_step, stain.pixel_step].map(|step| step.max(1.0));
    let mut image = light;
    for (axis, &step) in steps.iter().enumerate() {
        image = photographed(image, axis, step);
    }
    add_noise(scene, &mut image);
    add_hot_pixels(scene, &mut image);
    for (axis, &step) in steps.iter().enumerate() {
        image = interpolated(image, axis, step, scene.shape()[axis]);
    }
    gaussian_blur(&mut image, [0.5, 1.0, 1.0].map(|a| a * stain.smoothing), 3.0);
    quantise(scene, &mut image);
    image
}

/// The light at multiples of `step` along an axis, the last one beyond the end included.
fn photographed(light: Array3<f32>, axis: usize, step: f32) -> Array3<f32> {
    let taken = ((light.shape()[axis] - 1) as f32 / step).ceil() as usize + 1;
    if step == 1.0 { light } else { resampled(&light, axis, taken, step) }
}

/// The voxels between those that were photographed.
fn interpolated(image: Array3<f32>, axis: usize, step: f32, extent: usize) -> Array3<f32> {
    if step == 1.0 { image } else { resampled(&image, axis, extent, 1.0 / step) }
}

/// Linear interpolation at `extent` multiples of `step` along an axis.
fn resampled(volume: &Array3<f32>, axis: usize, extent: usize, step: f32) -> Array3<f32> {
    let mut shape = volume.raw_dim();
    shape[axis] = extent;
    let mut out = Array3::zeros(shape);
    let last = volume.shape()[axis] - 1;
    let source = |i: usize| {
        let position = i as f32 * step;
        let below = (position as usize).min(last);
        (below, (below + 1).min(last), (position - below as f32).min(1.0))
    };
    if axis == 0 {
        out.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(z, mut plane)| {
            let (below, above, t) = source(z);
            Zip::from(&mut plane)
                .and(volume.index_axis(Axis(0), below))
                .and(volume.index_axis(Axis(0), above))
                .for_each(|to, &a, &b| *to = a + t * (b - a));
        });
        return out;
    }
    out.axis_iter_mut(Axis(0)).into_par_iter().zip(volume.axis_iter(Axis(0))).for_each(|(mut to, from)| {
        for (i, mut line) in to.axis_iter_mut(Axis(axis - 1)).enumerate() {
            let (below, above, t) = source(i);
            Zip::from(&mut line)
                .and(from.index_axis(Axis(axis - 1), below))
                .and(from.index_axis(Axis(axis - 1), above))
                .for_each(|to, &a, &b| *to = a + t * (b - a));
        }
    });
    out
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

/// Pixels that show the brightest value whatever the light.
fn add_hot_pixels(scene: &Scene, image: &mut Array3<f32>) {
    let hot = scene.stain.hot;
    if hot <= 0.0 {
        return;
    }
    let brightest = 1.5 * bright_level(image, scene.stain.saturation) / scene.stain.exposure.max(0.01);
    let mut rng = random::stream(scene.seed, streams::HOT_PIXELS);
    let shape: Shape = image.dim().into();
    for _ in 0..(hot * image.len() as f32) as usize {
        let at = shape.map(|n| (random::unit(&mut rng) * n as f32) as usize);
        image[at] = brightest;
    }
}

/// Maps brightness to grey values: what `saturation` of the voxels exceed, hot ones aside, ends at `exposure` of the
/// range.
fn quantise(scene: &Scene, image: &mut Array3<f32>) {
    let stain = scene.stain;
    let range = ((1_u32 << stain.bits) - 1) as f32;
    let top = bright_level(image, stain.saturation + stain.hot).max(1e-6);
    let to_grey = |light: f32| {
        let linear = (light / top).max(0.0);
        let shown = stain.offset + (1.0 - stain.offset) * power(linear, stain.gamma);
        (range * (stain.exposure * shown).clamp(0.0, 1.0)).round()
    };
    image.par_mapv_inplace(to_grey);
}

fn power(base: f32, exponent: f32) -> f32 {
    if exponent == 1.0 { base } else { libm::powf(base, exponent) }
}

/// The brightness that the given share of the voxels exceeds, from every seventh voxel.
fn bright_level(image: &Array3<f32>, share: f32) -> f32 {
    let mut sorted: Vec<f32> = image.iter().copied().step_by(7).collect();
    let rank = ((1.0 - share.clamp(0.0, 0.5)) * (sorted.len() - 1) as f32) as usize;
    *sorted.select_nth_unstable_by(rank, f32::total_cmp).1
}

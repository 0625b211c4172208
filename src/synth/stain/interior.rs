//! What shines besides the walls: cytoplasm, nuclei, spots, background.
use ndarray::parallel::prelude::*;
use ndarray::{Array3, Axis};
use rand::Rng;

use super::{Scene, streams};
use crate::synth::field::{ZipParallel, noise, noise_octaves};
use crate::synth::random::{self, draws, mix};

/// Brightness of everything but the walls.
pub(super) fn draw(scene: &Scene) -> Array3<f32> {
    let cells = Cells::of(scene);
    let mut light = Array3::zeros(scene.labels.dim());
    light.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(z, mut plane)| {
        for ((y, x), light) in plane.indexed_iter_mut() {
            *light = cells.light(scene, [z, y, x]);
        }
    });
    add_texture(scene, &mut light);
    add_spots(scene, &mut light);
    add_blobs(scene, &mut light);
    light
}

/// Centres and sizes of the cells, and how each is stained.
struct Cells {
    list: Vec<Cell>,
}

#[derive(Clone, Default)]
struct Cell {
    voxels: u64,
    sum: [u64; 3],
    /// The nucleus: its centre in voxels, its radius in pixels, its brightness and that of its rim.
    centre: [f32; 3],
    radius: f32,
    nucleus: f32,
    rim: f32,
    haze: f32,
}

impl Cells {
    fn of(scene: &Scene) -> Self {
        let count = scene.labels.iter().max().map_or(0, |&m| m as usize + 1);
        let mut list = vec![Cell::default(); count];
        for ((z, y, x), &label) in scene.labels.indexed_iter() {
            let cell = &mut list[label as usize];
            cell.voxels += 1;
            [z, y, x].into_iter().zip(&mut cell.sum).for_each(|(i, sum)| *sum += i as u64);
        }
        for (label, cell) in list.iter_mut().enumerate().skip(1).filter(|(_, cell)| cell.voxels > 0) {
            cell.stain(scene, label as u32);
        }
        Cells { list }
    }

    fn light(&self, scene: &Scene, at: [usize; 3]) -> f32 {
        let label = scene.labels[at];
        if label == 0 {
            return 0.0;
        }
        let cell = &self.list[label as usize];
        let nucleus =
            if cell.nucleus == 0.0 && cell.rim == 0.0 { 0.0 } else { cell.nucleus_light(scene, at) };
        (cell.haze + nucleus).max(0.0)
    }
}

impl Cell {
    fn stain(&mut self, scene: &Scene, label: u32) {
        let stain = scene.stain;
        let mut rng = random::stream(scene.seed ^ mix(scene.seed, label, label), streams::INTERIOR);
        let diameter = libm::cbrtf(self.voxels as f32 * scene.anisotropy / std::f32::consts::FRAC_PI_6);
        let wander = scene.voxels(stain.nucleus_wander * diameter);
        self.centre = std::array::from_fn(|a| {
            self.sum[a] as f32 / self.voxels as f32 + wander[a] * random::normal(&mut rng)
        });
        self.radius = 0.5 * diameter * stain.nucleus_size * random::uniform(&mut rng, 0.8, 1.2);
        let visible = random::chance(&mut rng, stain.nuclei_share);
        self.nucleus = if visible { stain.nuclei * random::uniform(&mut rng, 0.6, 1.4) } else { 0.0 };
        self.rim = if visible { stain.nucleus_rim } else { 0.0 };
        self.haze = stain.haze * random::log_normal(&mut rng, stain.haze_spread).min(4.0);
    }

    /// Brightness of the nucleus: even inside, falling over its rim to nothing outside.
    fn nucleus_light(&self, scene: &Scene, at: [usize; 3]) -> f32 {
        let d: [f32; 3] = std::array::from_fn(|a| at[a] as f32 - self.centre[a]);
        let true_z = d[0] * scene.anisotropy;
        let depth = self.radius - (true_z * true_z + d[1] * d[1] + d[2] * d[2]).sqrt();
        let inside = (0.5 + depth / 2.0).clamp(0.0, 1.0);
        let on_rim = (1.0 - depth.abs() / 1.5).max(0.0);
        self.nucleus * inside + self.rim * on_rim
    }
}

/// Grains at two scales in the cells, and faint clouds in the background.
fn add_texture(scene: &Scene, light: &mut Array3<f32>) {
    let stain = scene.stain;
    let length = scene.voxels(stain.texture_length);
    let mut grain = noise_octaves(scene.shape(), length, scene.seed, streams::INTERIOR + 1);
    if stain.patches > 0.0 {
        let length = scene.voxels(stain.patch_length);
        let patches = noise(scene.shape(), length, scene.seed, streams::INTERIOR + 6);
        let weight = stain.patches / stain.texture.max(1e-3);
        grain.par_iter_mut_with(&patches, |grain, patch| grain + weight * patch);
    }
    let texture = stain.texture.max(1e-3);
    light.par_iter_mut_with(
        &grain,
        |light, v| if light == 0.0 { 0.0 } else { light * libm::expf(texture * v) },
    );
    let clouds = noise(scene.shape(), scene.voxels(stain.cloud_length), scene.seed, streams::INTERIOR + 5);
    ndarray::Zip::from(light).and(&clouds).and(scene.labels).par_for_each(|light, &cloud, &label| {
        // Not inside the cells: background need not be darker than what they hold.
        if label == 0 {
            *light += stain.background * libm::expf(stain.clouds * cloud);
        }
    });
}

/// Small bright spots: vesicles inside the cells, debris outside.
fn add_spots(scene: &Scene, light: &mut Array3<f32>) {
    let stain = scene.stain;
    let mut rng = random::stream(scene.seed, streams::INTERIOR + 9);
    let most = stain.spots.max(stain.debris);
    let tries = (most * 1e-3 * light.len() as f32) as usize;
    for _ in 0..tries {
        let at = scene.shape().map(|n| (random::unit(&mut rng) * n as f32) as usize);
        let (_, uniform) = draws(rng.next_u64());
        let share = if scene.labels[at] == 0 { stain.debris } else { stain.spots };
        let brightness = stain.spot_brightness * random::log_normal(&mut rng, 0.5);
        let radius = stain.spot_radius * random::uniform(&mut rng, 0.6, 1.5);
        if uniform * most < share {
            add_spot(scene, light, at, brightness, radius);
        }
    }
}

/// Large blobs of light anywhere, far brighter than a wall: dead cells, drops, what lies on the tissue.
fn add_blobs(scene: &Scene, light: &mut Array3<f32>) {
    let stain = scene.stain;
    let mut rng = random::stream(scene.seed, streams::INTERIOR + 10);
    let count = stain.blobs * 1e-6 * light.len() as f32 + random::unit(&mut rng);
    for _ in 0..count as usize {
        let at = scene.shape().map(|n| (random::unit(&mut rng) * n as f32) as usize);
        let brightness = stain.blob_brightness * random::log_normal(&mut rng, 0.5);
        let radius = stain.blob_radius * random::uniform(&mut rng, 0.5, 1.3);
        add_spot(scene, light, at, brightness, radius);
    }
}

fn add_spot(scene: &Scene, light: &mut Array3<f32>, at: [usize; 3], brightness: f32, radius: f32) {
    let sd = scene.voxels(radius).map(|s| s.max(0.4));
    let range = |a: usize| {
        let reach = (2.5 * sd[a]).ceil() as usize;
        at[a].saturating_sub(reach)..(at[a] + reach + 1).min(scene.shape()[a])
    };
    let along = |a: usize, i: usize| {
        let d = (i as f32 - at[a] as f32) / sd[a];
        libm::expf(-0.5 * d * d)
    };
    let weights: Vec<f32> = range(2).map(|x| along(2, x)).collect();
    for z in range(0) {
        for y in range(1) {
            let row = brightness * along(0, z) * along(1, y);
            for (x, weight) in range(2).zip(&weights) {
                light[[z, y, x]] += row * weight;
            }
        }
    }
}

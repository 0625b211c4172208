//! Shapes of real cells: random parts of label volumes, scaled, turned, mirrored and bent.
use std::path::{Path, PathBuf};

use ndarray::parallel::prelude::*;
use ndarray::{Array3, Axis, Slice, Zip, s};
use rand::Rng;

use super::connected::{mend, split};
use super::field::noise_octaves;
use super::parameters::{Parameters, TissueParameters};
use super::random::{self, chance, dot, log_uniform, uniform, unit};
use super::{SHAPES, Sample, photograph, spacing};
use crate::error::{Error, Result};
use crate::io::{self, Role};
use crate::volume::{Shape, Spacing};

/// Marks a voxel whose 26 neighbours are not all of its cell.
const AT_BORDER: u16 = 1 << 15;
/// Draws until enough of the volume is tissue.
const DRAWS: u64 = 6;
/// Views to choose from.
const VIEWS: usize = 4;
/// Share of the volume that is enough.
const ENOUGH: f64 = 0.1;

/// Whether the volume with this seed is one of the given share of all volumes.
pub fn has_turn(seed: u64, share: f32) -> bool {
    chance(&mut random::stream(seed, SHAPES), share)
}

/// Label volumes to take the shapes of cells from.
pub struct Shapes {
    sources: Vec<Source>,
}

/// The part of a label volume that holds cells.
struct Source {
    /// Labels, z, y, x, with [`AT_BORDER`].
    voxels: Array3<u16>,
    /// Edges of a voxel in those of its x axis.
    edges: [f32; 3],
    /// Diameter of the ball with the mean volume of a cell, in edges along x.
    diameter: f32,
}

impl Shapes {
    /// Reads label volumes; 0 is background.
    ///
    /// # Errors
    /// Where one cannot be read or holds no cell.
    pub fn read(paths: &[PathBuf]) -> Result<Self> {
        let sources = paths.iter().map(|path| Source::read(path)).collect::<Result<_>>()?;
        Ok(Shapes { sources })
    }

    /// Whether there is no volume to take cells from.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// A random part of one of the volumes under a random stain.
    pub fn sample(&self, seed: u64, shape: Shape) -> Sample {
        let parameters = Self::parameters(seed);
        self.sample_with(parameters, shape, seed)
    }

    /// The parameters that [`sample`](Self::sample) renders with. The tissue's anisotropy, diameter, bends and smallest
    /// volume say how cells are taken from their volume; its other parameters are without effect.
    pub fn parameters(seed: u64) -> Parameters {
        Parameters::for_shapes(&mut random::stream(seed, SHAPES + 1))
    }

    /// As [`sample`](Self::sample), with given parameters.
    pub fn sample_with(&self, parameters: Parameters, shape: Shape, seed: u64) -> Sample {
        let labels = self.cut(&parameters.tissue, shape, seed);
        let spacing = spacing(&parameters.tissue);
        photograph(parameters, labels, spacing, seed)
    }

    /// Cells for a volume: draws again where hardly any lie in it, and the last draw stands.
    fn cut(&self, tissue: &TissueParameters, shape: Shape, seed: u64) -> Array3<u32> {
        let mut number = 1;
        loop {
            let mut rng = random::stream(seed, SHAPES + 1 + number);
            let source = &self.sources[rng.next_u32() as usize % self.sources.len()];
            let labels = source.seen(&View::best(source, tissue, shape, &mut rng), tissue, shape, seed);
            let inside = labels.iter().filter(|&&label| label != 0).count();
            if number == DRAWS || inside as f64 >= ENOUGH * labels.len() as f64 {
                return mend(split(labels), tissue.min_volume, 0);
            }
            number += 1;
        }
    }
}

impl Source {
    fn read(path: &Path) -> Result<Self> {
        let volume = io::open(path, Role::Labels)?;
        let Spacing(edges) = volume.spacing().unwrap_or(Spacing([1.0; 3]));
        let labels = volume.to_labels()?;
        let most = u32::from(AT_BORDER) - 1;
        match labels.iter().max() {
            None | Some(0) => Err(Error::format(path, "background alone", "labelled cells")),
            Some(&label) if label > most => {
                Err(Error::format(path, format!("the label {label}"), format!("labels up to {most}")))
            }
            _ => Ok(Source::of(labels, edges.map(|edge| (edge / edges[2]) as f32))),
        }
    }

    fn of(labels: Array3<u32>, edges: [f32; 3]) -> Self {
        let mut sizes = vec![0_usize; usize::from(AT_BORDER)];
        labels.iter().for_each(|&label| sizes[label as usize] += 1);
        let cells: Vec<usize> = sizes[1..].iter().copied().filter(|&size| size > 0).collect();
        let volume = cells.iter().sum::<usize>() as f32 / cells.len() as f32 * edges[0] * edges[1];
        let diameter = libm::cbrtf(volume / std::f32::consts::FRAC_PI_6);
        Source { voxels: marked(&occupied(labels)), edges, diameter }
    }

    /// Labels of a volume of the given shape through a view.
    fn seen(&self, view: &View, tissue: &TissueParameters, shape: Shape, seed: u64) -> Array3<u32> {
        let d = tissue.diameter;
        let length =
            [d * tissue.warp_length / tissue.anisotropy, d * tissue.warp_length, d * tissue.warp_length];
        let bends: [Array3<f32>; 3] =
            std::array::from_fn(|a| noise_octaves(shape, length, seed, 10 + 2 * a as u64));
        let bend = d * tissue.warp;
        let middle = shape.map(|n| 0.5 * (n as f32 - 1.0));
        let mut labels = Array3::zeros(shape);
        labels.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(z, mut plane)| {
            for ((y, x), label) in plane.indexed_iter_mut() {
                let at = [z, y, x];
                let edges = [tissue.anisotropy, 1.0, 1.0];
                let p: [f32; 3] =
                    std::array::from_fn(|a| (at[a] as f32 - middle[a]) * edges[a] + bend * bends[a][at]);
                *label = self.label(view.source(p));
            }
        });
        labels
    }

    /// The label at a position in voxels: near walls that of the greatest weight among the 27 voxels around it, so that
    /// enlarged cells have no steps.
    fn label(&self, p: [f32; 3]) -> u32 {
        let nearest = p.map(|x| (x + 0.5).floor() as isize);
        let Some(found) = self.voxel(nearest) else { return 0 };
        if found & AT_BORDER == 0 {
            return u32::from(found);
        }
        let weights: [[f32; 3]; 3] = std::array::from_fn(|a| spline(p[a] - nearest[a] as f32));
        let mut shares = [(0_u16, 0.0_f32); 27];
        let mut count = 0;
        for i in 0..27 {
            let [z, y, x] = [i / 9, i / 3 % 3, i % 3];
            let at = [z, y, x];
            let near = std::array::from_fn(|a| nearest[a] + at[a] as isize - 1);
            let label = self.voxel(near).unwrap_or(0) & !AT_BORDER;
            let weight = weights[0][z] * weights[1][y] * weights[2][x];
            match shares[..count].iter_mut().find(|share| share.0 == label) {
                Some(share) => share.1 += weight,
                None => {
                    shares[count] = (label, weight);
                    count += 1;
                }
            }
        }
        let greatest = shares[..count].iter().fold((0, 0.0), |a, &b| if b.1 > a.1 { b } else { a });
        u32::from(greatest.0)
    }

    fn voxel(&self, at: [isize; 3]) -> Option<u16> {
        self.voxels.get(at.map(|i| i as usize)).copied()
    }
}

/// Weights of a quadratic B-spline at distances -1, 0 and 1 from the voxel that `t`, from -0.5 to 0.5, is measured from.
fn spline(t: f32) -> [f32; 3] {
    [0.5 * (0.5 - t) * (0.5 - t), 0.75 - t * t, 0.5 * (0.5 + t) * (0.5 + t)]
}

/// Where the voxels of a volume come from in a source.
struct View {
    /// Rows: the steps in voxels of the source's axes for a step of a pixel along z, y and x.
    turn: [[f32; 3]; 3],
    /// The voxel of the source in the middle of the volume.
    centre: [f32; 3],
}

impl View {
    /// Of a few random views the one that sees the most of the source: where it ends cells have flat faces.
    fn best(source: &Source, tissue: &TissueParameters, shape: Shape, rng: &mut impl Rng) -> Self {
        let half = [tissue.anisotropy, 1.0, 1.0];
        let half: [f32; 3] = std::array::from_fn(|a| 0.5 * half[a] * shape[a] as f32);
        let seen = |view: &View| {
            let corner = |i: usize| std::array::from_fn(|a| if i >> a & 1 == 0 { half[a] } else { -half[a] });
            let inside = |i: &usize| source.voxel(view.source(corner(*i)).map(|x| x as isize)).is_some();
            (0..8).filter(inside).count()
        };
        let mut best = View::random(source, tissue, rng);
        for _ in 1..VIEWS {
            let other = View::random(source, tissue, rng);
            if seen(&other) > seen(&best) {
                best = other;
            }
        }
        best
    }

    fn random(source: &Source, tissue: &TissueParameters, rng: &mut impl Rng) -> Self {
        let scale = source.diameter / tissue.diameter;
        let rotation = turned(rng);
        let turn = std::array::from_fn(|a| rotation[a].map(|x| x * scale / source.edges[a]));
        View { turn, centre: inside(&source.voxels, rng) }
    }

    fn source(&self, p: [f32; 3]) -> [f32; 3] {
        std::array::from_fn(|a| self.centre[a] + dot(self.turn[a], p))
    }
}

/// Three random directions at right angles, right-handed or left-handed.
fn turned(rng: &mut impl Rng) -> [[f32; 3]; 3] {
    let first = random::direction(rng);
    loop {
        let other = random::direction(rng);
        let along = dot(first, other);
        let across: [f32; 3] = std::array::from_fn(|a| other[a] - along * first[a]);
        let length = dot(across, across).sqrt();
        if length > 0.1 {
            let second = across.map(|x| x / length);
            let sign = if chance(rng, 0.5) { 1.0 } else { -1.0 };
            let third = std::array::from_fn(|a| {
                let (b, c) = ((a + 1) % 3, (a + 2) % 3);
                sign * (first[b] * second[c] - first[c] * second[b])
            });
            return [first, second, third];
        }
    }
}

/// A random voxel of a random cell; after many misses any voxel.
fn inside(voxels: &Array3<u16>, rng: &mut impl Rng) -> [f32; 3] {
    let shape: Shape = voxels.dim().into();
    let mut at = [0; 3];
    for _ in 0..200 {
        at = shape.map(|n| (unit(rng) * n as f32) as usize);
        if voxels[at] & !AT_BORDER != 0 {
            break;
        }
    }
    at.map(|i| i as f32)
}

/// The box that holds all cells, and a voxel around it.
fn occupied(labels: Array3<u32>) -> Array3<u32> {
    let mut ends = [[usize::MAX, 0]; 3];
    for ((z, y, x), _) in labels.indexed_iter().filter(|(_, label)| **label != 0) {
        for (end, i) in ends.iter_mut().zip([z, y, x]) {
            *end = [end[0].min(i), end[1].max(i)];
        }
    }
    let shape: Shape = labels.dim().into();
    let [z, y, x] = std::array::from_fn(|a| ends[a][0].saturating_sub(1)..(ends[a][1] + 2).min(shape[a]));
    labels.slice(s![z, y, x]).to_owned()
}

/// Labels with a mark on those that have others among the 26 around them.
fn marked(labels: &Array3<u32>) -> Array3<u16> {
    let mut same = Array3::from_elem(labels.dim(), true);
    for axis in [2, 1, 0] {
        same = same_along(labels, &same, axis);
    }
    Zip::from(labels)
        .and(&same)
        .par_map_collect(|&label, &same| label as u16 | if same { 0 } else { AT_BORDER })
}

/// Whether a voxel and the two beside it along an axis have one label, and all three were the same as others before.
fn same_along(labels: &Array3<u32>, before: &Array3<bool>, axis: usize) -> Array3<bool> {
    let mut out = before.clone();
    let low = Slice::from(..labels.shape()[axis] - 1);
    let high = Slice::from(1..);
    for (here, there) in [(low, high), (high, low)] {
        Zip::from(out.slice_axis_mut(Axis(axis), here))
            .and(before.slice_axis(Axis(axis), there))
            .and(labels.slice_axis(Axis(axis), here))
            .and(labels.slice_axis(Axis(axis), there))
            .par_for_each(|out, &other, &a, &b| *out &= other && a == b);
    }
    out
}

impl Parameters {
    /// Random parameters for cells of real shapes.
    fn for_shapes(rng: &mut impl Rng) -> Self {
        let anisotropy = if chance(rng, 0.6) { 1.0 } else { log_uniform(rng, 1.0, 3.0) };
        let diameter =
            if chance(rng, 0.8) { log_uniform(rng, 14.0, 40.0) } else { log_uniform(rng, 10.0, 60.0) };
        let tissue = TissueParameters {
            anisotropy,
            diameter: diameter.max(5.0 * anisotropy),
            warp: uniform(rng, 0.0, 0.15),
            warp_length: uniform(rng, 1.0, 3.0),
            // Real cells differ in width more than grown ones.
            spread: 0.25,
            ..Default::default()
        };
        Self::stained(tissue, rng)
    }
}

//! The network at inference: batch norm folded into scale and shift, every epilogue applied to a row while it
//! is in the cache.
//!
//! The full-resolution layers, nine tenths of all activations, are never stored: c1 is computed in slabs where
//! conv3 needs it, and again where its skip connection ends (it costs 3 % of the whole), and deconv3 lives only
//! as long as conv6 looks at it. What stays in memory are the input and two grids of half resolution, 91 bytes a voxel (measured).
//! The decoder is computed where the part that is wanted of the result looks at it ([`needed`]).
use ndarray::ArrayView3;
use rayon::prelude::*;

use super::{DOWN, RESIDUAL, UP, class_conv, first_conv, halved, layer, needed, running_norm};
use crate::device::cpu::simd::Isa;
use crate::ops::activations::{Activations, Band, bordered};
use crate::ops::batch_norm::Affine;
use crate::ops::class_conv::{CLASSES, ClassConv};
use crate::ops::correlation::{Convolution, Correlation};
use crate::ops::first_conv::{COUT as FIRST_CHANNELS, input};
use crate::volume::{Ranges, Shape, all};
use crate::weights::Weights;

/// Memory that the network takes per voxel that it reads, in bytes: two half-resolution grids of 64 channels,
/// their border, the input, and a share of the slabs; measured as 91 between 2.5 and 10.5 million
/// voxels, classes included.
pub const BYTES_PER_VOXEL: u64 = 96;

/// Gets the number and the logits of a plane.
type Sink<'a> = &'a mut dyn FnMut(usize, &[[f32; CLASSES]]);

/// A network ready to run.
#[derive(Clone)]
pub struct Network {
    first: Correlation,
    first_norm: Affine,
    down: Vec<Down>,
    up: Vec<Up>,
    classes: ClassConv,
}

#[derive(Clone)]
struct Down {
    halve: Convolution,
    norm: Affine,
    residual: Convolution,
}

#[derive(Clone)]
struct Up {
    double: Convolution,
    norm: Affine,
}

impl Network {
    /// Packs the weights for the CPU's loops.
    pub fn new(weights: &Weights) -> Self {
        let down = DOWN.iter().zip(RESIDUAL).map(|((name, conv, module), residual)| {
            let (weight, bias) = layer(weights, name);
            let (residual_weight, residual_bias) = layer(weights, &format!("{module}.conv_module"));
            Down {
                halve: conv.forward(weight, bias),
                norm: running_norm(weights, &format!("{module}.batchnorm_module")),
                residual: residual.forward(residual_weight, residual_bias),
            }
        });
        let up = UP.iter().map(|(name, deconv, norm)| {
            let (weight, bias) = layer(weights, name);
            Up { double: deconv.forward(weight, bias), norm: running_norm(weights, norm) }
        });
        Network {
            first: first_conv(weights).forward(),
            first_norm: running_norm(weights, "bnorm1"),
            down: down.collect(),
            up: up.collect(),
            classes: class_conv(weights),
        }
    }

    /// The logits of a part of a block of normalised voxels: `sink` gets the part's planes, from its first on, as
    /// `[y][x][class]`.
    pub fn logits(&self, block: ArrayView3<f32>, part: &Ranges, sink: Sink) {
        let x = input(&[block]);
        let [u3_part, u2_part, u1_part] = needed::of_decoder(part, x.shape);
        let c2 = self.residual(0, self.halve_full_resolution(&x));
        let c3 = self.residual(1, halve(&self.down[1], &c2));
        let c4 = self.residual(2, halve(&self.down[2], &c3));
        let u3 = double_add(&self.up[0], &c4, c3, &u3_part);
        let u2 = double_add(&self.up[1], &u3, c2, &u2_part);
        drop((c4, u3));
        self.full_resolution_logits(&x, &u2, [&u1_part, part], sink);
    }

    /// `h + conv(relu(batchnorm(h)))` in the memory of h, from the two that a halving stage begins with.
    fn residual(&self, level: usize, (mut h, a): (Activations, Activations)) -> Activations {
        self.down[level].residual.run(&a, &mut h, |_, result, row| {
            row.iter_mut().zip(result).for_each(|(h, r)| *h += r);
        });
        h
    }

    /// h and relu(batchnorm(h)) of the first halving stage, c1 being computed slab by slab.
    fn halve_full_resolution(&self, x: &Activations) -> (Activations, Activations) {
        let (Down { halve: conv, norm, .. }, shape) = (&self.down[0], halved(x.shape));
        let (mut h, mut a) = (Activations::zeros(1, shape, 64), Activations::zeros(1, shape, 64));
        let thickness = slab_thickness(h.shape, 2);
        // Plane p of the slab is plane 2 * first + p - 1 of the volume.
        let mut slab = Activations::zeros(1, [2 * thickness, x.shape[1], x.shape[2]], FIRST_CHANNELS);
        let isa = Isa::detect();
        for first in (0..h.shape[0]).step_by(thickness) {
            let fresh = if first == 0 {
                0
            } else {
                slab.copy_planes(2 * thickness..2 * thickness + 1, 0);
                1
            };
            slab.par_slab_rows_mut(
                fresh..2 * thickness + 1,
                || (),
                |(), p, y, row| match (2 * first + p).checked_sub(1) {
                    Some(z) if z < x.shape[0] => self.first_row(isa, x, [z, y, 0], row),
                    _ => row.fill(0.0),
                },
            );
            let planes = first + 1..(first + thickness).min(h.shape[0]) + 1;
            let [_, rows, columns] = bordered(&all(h.shape));
            let band = Band { voxels: [planes.clone(), rows, columns], origin: first + 1, tile: 0 };
            conv.as_winograd().run_band(&slab, &mut h, &band, |_, result, row| row.copy_from_slice(result));
            relu_planes(norm, &h, &mut a, planes);
        }
        (h, a)
    }

    /// c1 from voxel `[z, y, x]` of the volume on, along x.
    fn first_row(&self, isa: Isa, x: &Activations, at: Shape, row: &mut [f32]) {
        self.first.row(isa, x, 0, at, row);
        self.first_norm.relu_in_place(row);
    }

    /// deconv3 with its skip connection on the voxels `u1`, and conv6 on `part`, slab by slab.
    fn full_resolution_logits(
        &self,
        x: &Activations,
        u2: &Activations,
        [u1, part]: [&Ranges; 2],
        sink: Sink,
    ) {
        let (isa, up, [_, height, width]) = (Isa::detect(), &self.up[2], x.shape);
        let [planes, rows, columns] = part;
        let [_, u1_rows, u1_columns] = bordered(u1);
        let thickness = slab_thickness(x.shape, 4);
        // Plane p of the slab is plane first + p - 3 of the volume: a tile of four planes ends two planes behind a multiple
        // of four. The first two planes are the last ones of the slab before.
        let mut slab = Activations::zeros(1, [thickness, height, width], FIRST_CHANNELS);
        let mut logits = vec![[0.0; CLASSES]; thickness * rows.len() * columns.len()];
        for first in ((u1[0].start + 1) / 4 * 4..planes.end + 2).step_by(thickness) {
            slab.copy_planes(thickness..thickness + 2, 0);
            let [start, end] = [u1[0].start, u1[0].end].map(|z| (z + 3).saturating_sub(first));
            let fresh = start.max(2)..end.min(thickness + 2);
            slab.par_slab_rows_mut(fresh.end..thickness + 2, || (), |(), _, _, row| row.fill(0.0));
            let voxels = [fresh, u1_rows.clone(), u1_columns.clone()];
            let band = Band { voxels, origin: 2, tile: first / 4 };
            up.double.as_winograd().run_band(u2, &mut slab, &band, |at, result, row| {
                self.first_row(isa, x, [first + at.z - 2, at.y, u1[2].start], row);
                up.norm.relu_accumulate(result, row);
            });
            let done = first.saturating_sub(2).max(planes.start)..(first + thickness - 2).min(planes.end);
            let found = &mut logits[..done.len() * rows.len() * columns.len()];
            found.par_chunks_mut(columns.len()).enumerate().for_each(|(i, row)| {
                let (z, y) = (done.start + i / rows.len(), rows.start + i % rows.len());
                self.classes.row(isa, &slab, 0, [z + 2 - first, y, columns.start], row);
            });
            for (z, plane) in done.zip(found.chunks_exact(rows.len() * columns.len())) {
                sink(z - planes.start, plane);
            }
        }
    }
}

/// h and relu(batchnorm(h)) from the finer grid.
fn halve(down: &Down, finer: &Activations) -> (Activations, Activations) {
    let shape = halved(finer.shape);
    let (mut h, mut a) = (Activations::zeros(1, shape, 64), Activations::zeros(1, shape, 64));
    down.halve.all(finer, &mut h);
    relu_planes(&down.norm, &h, &mut a, 1..shape[0] + 1);
    (h, a)
}

/// `skip + relu(batchnorm(deconv(coarse)))` on the voxels `part`, in the memory of `skip`.
fn double_add(up: &Up, coarse: &Activations, mut skip: Activations, part: &Ranges) -> Activations {
    up.double.run_part(coarse, &mut skip, part, |_, result, row| up.norm.relu_accumulate(result, row));
    skip
}

/// `a = relu(norm(h))` on planes in border coordinates.
fn relu_planes(norm: &Affine, h: &Activations, a: &mut Activations, planes: std::ops::Range<usize>) {
    let voxels = h.shape[2] * h.channels;
    a.par_slab_rows_mut(
        planes,
        || (),
        |(), p, y, row| {
            let start = h.offset(0, [p, y + 1, 1]);
            norm.relu(&h.as_slice()[start..start + voxels], row);
        },
    );
}

/// Planes per slab, a multiple of a tile's: enough rows to keep all cores busy, few enough to be small beside the
/// half-resolution grid.
fn slab_thickness([_, rows, _]: Shape, tile: usize) -> usize {
    (1024 / rows.max(1)).clamp(2, 16).next_multiple_of(tile)
}

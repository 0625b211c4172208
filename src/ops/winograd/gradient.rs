//! Gradients to the kernel by Winograd's algorithm.
//!
//! With V the transformed data and `W = out^T dy` the transformed gradient to the outputs, the gradient to the
//! transformed kernel is `dU[p] = sum over tiles: V[p] (x) W[p]`, and the one to the kernel `kernel^T dU`: as many
//! products as forward.
use rayon::prelude::*;

use super::form::{Form, Split};
use super::transform::{Source, Stretch};
use super::{SCRATCH, Unit};
use crate::device::cpu::outer::{self, Operands};
use crate::device::cpu::simd::Isa;
use crate::ops::activations::{Activations, bordered};
use crate::ops::blocks::coordinates;
use crate::ops::correlation::{PARTIAL_SUMS, sum_in_order};
use crate::volume::all;

/// Tiles that a unit of work should have: each unit reads and writes the whole of dU.
const TILES: usize = 64;
/// Tiles that a partial sum should have at least: fewer would not be worth another dU.
const TILES_OF_SUM: usize = 256;

/// `dw[kz][ky][kx][cin][cout]` of the correlation of `x` that gives outputs of `dy`'s shape, summed in an order that
/// does not depend on the number of threads.
pub fn weight_gradient(form: &'static Form, x: &Activations, dy: &Activations) -> Vec<f32> {
    let [planes, rows, columns] = bordered(&all(dy.shape)).map(|voxels| form.tiles(&voxels).len());
    let group = (TILES / columns).clamp(1, rows);
    let units: Vec<Unit> = (0..dy.n * planes)
        .flat_map(|plane| {
            (0..rows).step_by(group).map(move |row| Unit {
                n: plane / planes,
                tile_z: plane % planes,
                tile_rows: row..(row + group).min(rows),
                columns: 0..columns,
            })
        })
        .collect();
    let sums = (dy.n * planes * rows * columns / TILES_OF_SUM).clamp(1, PARTIAL_SUMS);
    let gradient = Gradient::new(form, x, dy);
    let parts = units.par_chunks(units.len().div_ceil(sums).max(1)).map(|units| {
        let mut du = vec![0.0; gradient.len()];
        units.iter().for_each(|unit| gradient.add(unit, &mut du));
        du
    });
    gradient.to_kernel(&sum_in_order(parts.collect()))
}

struct Gradient<'a> {
    form: &'static Form,
    x: &'a Activations,
    dy: &'a Activations,
    /// For each point and phase: the kernel elements that it stands for.
    elements: Vec<Vec<([usize; 3], f32)>>,
}

impl<'a> Gradient<'a> {
    fn new(form: &'static Form, x: &'a Activations, dy: &'a Activations) -> Self {
        let phases = form.inputs() * form.outputs();
        let elements = (0..form.points() * phases)
            .map(|i| form.elements(coordinates(i / phases, [form.algorithm.points; 3]), i % phases))
            .collect();
        Gradient { form, x, dy, elements }
    }

    /// Phases of the side that is split; the other one has one.
    fn phases(&self) -> usize {
        self.form.inputs() * self.form.outputs()
    }

    /// Floats of a point's and phase's part of dU.
    fn part_len(&self) -> usize {
        self.x.channels * self.dy.channels
    }

    /// Floats of dU: `[point][phase][cin][cout]`.
    fn len(&self) -> usize {
        self.elements.len() * self.part_len()
    }

    fn is_wanted(&self, point: usize, phase: usize) -> bool {
        !self.elements[point * self.phases() + phase].is_empty()
    }

    /// Adds the products of a unit's tiles.
    fn add(&self, unit: &Unit, du: &mut [f32]) {
        let algorithm = self.form.algorithm;
        let (split_x, split_dy) = (self.form.split == Split::Input, self.form.split == Split::Output);
        let (data, adjoint) = (algorithm.data_terms(), algorithm.adjoint_terms());
        let x = Source { activations: self.x, terms: &data, split: split_x, origin: 0 };
        let dy = Source { activations: self.dy, terms: &adjoint, split: split_dy, origin: 1 };
        let any_phase = |point, _: usize| (0..self.phases()).any(|phase| self.is_wanted(point, phase));
        SCRATCH.with_borrow_mut(|scratch| {
            let most = (TILES / unit.tile_rows.len()).max(1);
            for first in unit.columns.clone().step_by(most) {
                let columns = first..(first + most).min(unit.columns.end);
                for point_z in 0..algorithm.points {
                    let stretch = Stretch { unit, columns: columns.clone(), point_z };
                    let wanted = |point, phase| self.is_wanted(point, phase);
                    if split_dy {
                        x.transform(&stretch, any_phase, &mut scratch.row, &mut scratch.data);
                        dy.transform(&stretch, wanted, &mut scratch.row, &mut scratch.products);
                    } else {
                        x.transform(&stretch, wanted, &mut scratch.row, &mut scratch.data);
                        dy.transform(&stretch, any_phase, &mut scratch.row, &mut scratch.products);
                    }
                    self.multiply(&stretch, &scratch.data, &scratch.products, du);
                }
            }
        });
    }

    /// Adds the products of one plane of points.
    fn multiply(&self, stretch: &Stretch, data: &[f32], gradient: &[f32], du: &mut [f32]) {
        let (isa, tiles) = (Isa::detect(), stretch.tiles());
        let points = self.form.algorithm.points.pow(2);
        let [x_len, dy_len] = [self.x.channels, self.dy.channels].map(|channels| tiles * channels);
        for point in 0..points {
            for phase in 0..self.phases() {
                let number = stretch.point_z * points + point;
                if self.is_wanted(number, phase) {
                    // The phase of a side that is not split is number 0.
                    let x = point * self.form.inputs() + phase % self.form.inputs();
                    let dy = point * self.form.outputs() + phase % self.form.outputs();
                    let operands = Operands {
                        a: &data[x * x_len..],
                        a_step: self.x.channels,
                        b: &gradient[dy * dy_len..],
                        b_channels: self.dy.channels,
                        count: tiles,
                    };
                    let part = (number * self.phases() + phase) * self.part_len();
                    outer::outer(isa, &operands, &mut du[part..part + self.part_len()]);
                }
            }
        }
    }

    /// `kernel^T dU`
    fn to_kernel(&self, du: &[f32]) -> Vec<f32> {
        let (size, len) = (self.form.size, self.part_len());
        let mut dw = vec![0.0; size.pow(3) * len];
        dw.par_chunks_mut(len).enumerate().for_each(|(k, dw)| {
            let k = coordinates(k, [size; 3]);
            for (elements, part) in self.elements.iter().zip(du.chunks_exact(len)) {
                for (_, weight) in elements.iter().filter(|(position, _)| *position == k) {
                    dw.iter_mut().zip(part).for_each(|(dw, du)| *dw += weight * du);
                }
            }
        });
        dw
    }
}

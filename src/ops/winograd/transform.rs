//! From voxels to the points of Winograd's algorithm.
use std::ops::Range;

use super::Unit;
use super::form::{PHASES, Term};
use crate::device::cpu::tiles::{self, Weighted};
use crate::ops::activations::Activations;
use crate::ops::blocks::coordinates;

/// Rows of tiles, some tiles of each, at one plane of points.
pub(super) struct Stretch<'a> {
    pub(super) unit: &'a Unit,
    pub(super) columns: Range<usize>,
    pub(super) point_z: usize,
}

impl Stretch<'_> {
    /// Number of tiles.
    pub(super) fn tiles(&self) -> usize {
        self.unit.tile_rows.len() * self.columns.len()
    }
}

/// Activations that are seen tile by tile.
pub(super) struct Source<'a> {
    pub(super) activations: &'a Activations,
    /// What a point takes of a tile's voxels along an axis.
    pub(super) terms: &'a [Vec<Term>],
    /// Whether voxel j of tile t in phase f is 2 (2 t + j) + f, not `origin` + 2 t + j.
    pub(super) split: bool,
    pub(super) origin: usize,
}

impl Source<'_> {
    fn phases(&self) -> usize {
        if self.split { 2 } else { 1 }
    }

    /// Border coordinate of a tile's voxel.
    fn position(&self, tile: usize, voxel: usize, phase: usize) -> usize {
        if self.split { 2 * (2 * tile + voxel) + phase } else { self.origin + 2 * tile + voxel }
    }

    /// The transformed voxels of a stretch: `[point y, x][phase][tile][channel]`, where `wanted` says so of a point
    /// (numbered in three dimensions) and a phase; elsewhere anything. `row` is a buffer.
    pub(super) fn transform(
        &self,
        stretch: &Stretch,
        wanted: impl Fn(usize, usize) -> bool,
        row: &mut Vec<f32>,
        out: &mut Vec<f32>,
    ) {
        let points = self.terms.len();
        let phases = self.phases().pow(3);
        let tile_row = stretch.columns.len() * self.activations.channels;
        let phase_len = stretch.unit.tile_rows.len() * tile_row;
        out.resize(points * points * phases * phase_len, 0.0);
        for (number, tile_y) in stretch.unit.tile_rows.clone().enumerate() {
            for point_y in 0..points {
                for phase_zy in 0..self.phases().pow(2) {
                    let first_point = (stretch.point_z * points + point_y) * points;
                    let [_, phase_z, phase_y] = coordinates(phase_zy, PHASES);
                    let phase_of = |phase_x| self.phases() * phase_zy + phase_x;
                    let wanted = |x: usize, phase_x| wanted(first_point + x, phase_of(phase_x));
                    if !(0..points).any(|x| (0..self.phases()).any(|phase| wanted(x, phase))) {
                        continue;
                    }
                    self.combine_rows(stretch, [tile_y, point_y], [phase_z, phase_y], row);
                    for phase_x in 0..self.phases() {
                        for point_x in (0..points).filter(|x| wanted(*x, phase_x)) {
                            let start = (point_y * points + point_x) * phases + phase_of(phase_x);
                            let start = start * phase_len + number * tile_row;
                            self.pick(point_x, phase_x, row, &mut out[start..start + tile_row]);
                        }
                    }
                }
            }
        }
    }

    /// The rows that a point takes along z and y, added up; from the first voxel that the stretch's tiles see.
    fn combine_rows(
        &self,
        stretch: &Stretch,
        [tile_y, point_y]: [usize; 2],
        [phase_z, phase_y]: [usize; 2],
        row: &mut Vec<f32>,
    ) {
        let (source, columns) = (self.activations, &stretch.columns);
        let [planes, rows, width] = source.padded();
        let first = self.position(columns.start, 0, 0);
        let end = self.position(columns.end - 1, MOST_VOXELS - 1, self.phases() - 1) + 1;
        let there = end.min(width).saturating_sub(first) * source.channels;
        let mut found: [Weighted; 4] = [(&[], 0.0); 4];
        let mut count = 0;
        for &(z, weight_z) in &self.terms[stretch.point_z] {
            for &(y, weight_y) in &self.terms[point_y] {
                let z = self.position(stretch.unit.tile_z, z, phase_z);
                let y = self.position(tile_y, y, phase_y);
                if z < planes && y < rows && there > 0 {
                    let start = source.offset(stretch.unit.n, [z, y, first]);
                    found[count] = (&source.as_slice()[start..start + there], weight_z * weight_y);
                    count += 1;
                }
            }
        }
        row.resize((end - first) * source.channels, 0.0);
        tiles::combine(&found[..count], &mut row[..there]);
        row[there..].fill(0.0);
    }

    /// What a point takes of a combined row along x.
    fn pick(&self, point_x: usize, phase_x: usize, row: &[f32], out: &mut [f32]) {
        let channels = self.activations.channels;
        let start = |voxel: usize| (self.position(0, voxel, phase_x) - self.position(0, 0, 0)) * channels;
        let step = (self.position(1, 0, 0) - self.position(0, 0, 0)) * channels;
        let taken = |&(voxel, weight): &Term| (&row[start(voxel)..], weight);
        match &self.terms[point_x][..] {
            [one] => tiles::pick(&[taken(one)], step, channels, out),
            [one, two] => tiles::pick(&[taken(one), taken(two)], step, channels, out),
            terms => unreachable!("{} terms along an axis", terms.len()),
        }
    }
}

/// Voxels along an axis that a tile may see.
const MOST_VOXELS: usize = 4;

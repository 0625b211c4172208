//! Local contrast normalisation: each voxel becomes the number of standard deviations by which it differs from the
//! mean of the cube around it.
//!
//! `y = (q - mean) / sqrt(variance + floor^2)` over the cube of [`Contrast::half_width`] to each side, clipped at
//! the faces of the volume, where q is the voxel's fitted intensity as one of 65,536 levels. With n voxels in the
//! cube, `S1 = sum q` and `S2 = sum q^2` this is `(n q - S1) / sqrt(n S2 - S1^2 + n^2 floor^2)`: integers alone
//! before the two conversions to f32, the square root and the division, each rounded once. So a voxel's result does
//! not depend on the order of the sums, the block, the number of threads or the device.
//!
//! Sums over the cube come from running sums along z, then y, then x: their cost does not depend on its width.
use std::ops::Range;

use multiversion::multiversion;
use ndarray::parallel::prelude::*;
use ndarray::{Array3, ArrayView3, ArrayViewMut3, Axis, Zip, s};
use serde::{Deserialize, Serialize};

use crate::volume::{Ranges, Shape};

/// Levels from one fitted intensity to the next whole one.
pub const LEVELS: f32 = 32768.0;
/// The fitted intensity that becomes level 0; the last level, 65,535, is that of intensity 1.5.
pub const LOWEST: f32 = -0.5;
/// The widest cube for which all integers have at most 64 bits.
pub const WIDEST: usize = 16;

/// How local contrast is normalised.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Contrast {
    /// Voxels to each side of a voxel that its cube reaches, on the grid that the network sees; from 1 to
    /// [`WIDEST`].
    pub half_width: usize,
    /// What is added to the standard deviation, as a fitted intensity, so that faint noise stays faint; from 0.001
    /// to 1.
    pub floor: f32,
}

impl Default for Contrast {
    fn default() -> Self {
        Contrast { half_width: 12, floor: 0.05 }
    }
}

impl Contrast {
    /// What is out of range, if anything.
    pub fn check(&self) -> Result<(), String> {
        if !(1..=WIDEST).contains(&self.half_width) {
            return Err(format!(
                "a half width of {} voxels: from 1 to {WIDEST} are possible",
                self.half_width
            ));
        }
        match (0.001..=1.0).contains(&self.floor) {
            true => Ok(()),
            false => Err(format!("a floor of {}: from 0.001 to 1 is possible", self.floor)),
        }
    }

    /// The floor as a number of levels.
    pub fn floor_level(&self) -> u64 {
        (self.floor * LEVELS).round() as u64
    }

    /// The part of a volume of `extent` voxels (z, y, x) that the cubes of the `shape` voxels from `start` on cover: its
    /// first voxel, its extent, and where in it those voxels lie.
    pub fn covered(&self, start: Shape, shape: Shape, extent: Shape) -> (Shape, Shape, Ranges) {
        let first = start.map(|first| first.saturating_sub(self.half_width));
        let end = [0, 1, 2].map(|a| (start[a] + shape[a] + self.half_width).min(extent[a]));
        let part = [0, 1, 2].map(|a| start[a] - first[a]..start[a] - first[a] + shape[a]);
        (first, [0, 1, 2].map(|a| end[a] - first[a]), part)
    }

    /// Normalises the voxels `part` of `fitted`, fitted intensities (z, y, x) that reach to each side of the part as far
    /// as the cubes do or to the face of the volume.
    ///
    /// # Panics
    /// Where `part` is not inside `fitted`.
    pub fn normalise(&self, fitted: ArrayView3<f32>, part: &Ranges) -> Array3<f32> {
        let levels = Zip::from(fitted).par_map_collect(|&value| level(value));
        let mut normalised = Array3::zeros(part.clone().map(|range| range.len()));
        let cubes = Cubes { levels: levels.view(), contrast: *self };
        let threads = rayon::current_num_threads();
        let along_z = strip(part[0].len(), self.half_width, threads);
        let along_y =
            strip(part[1].len(), self.half_width, threads.div_ceil(part[0].len().div_ceil(along_z).max(1)));
        let strips: Vec<_> = normalised
            .axis_chunks_iter_mut(Axis(0), along_z)
            .enumerate()
            .flat_map(|(i, planes)| {
                let z = part[0].start + i * along_z;
                strips_of(planes, along_y).map(move |(y, strip)| ([z, y], strip))
            })
            .collect();
        strips.into_par_iter().for_each(|([z, y], strip)| {
            cubes.normalise([z, part[1].start + y, part[2].start], strip);
        });
        normalised
    }
}

/// The strips of `rows` rows each of some planes, with the first row of each.
fn strips_of(planes: ArrayViewMut3<f32>, rows: usize) -> impl Iterator<Item = (usize, ArrayViewMut3<f32>)> {
    let mut rest = Some(planes);
    let mut first = 0;
    std::iter::from_fn(move || {
        let planes = rest.take().filter(|planes| planes.len_of(Axis(1)) > 0)?;
        let rows = rows.min(planes.len_of(Axis(1)));
        let (strip, behind) = planes.split_at(Axis(1), rows);
        rest = Some(behind);
        first += rows;
        Some((first - rows, strip))
    })
}

/// How many of `extent` planes or rows a thread takes at a time, of about `parts` parts: enough to repay the cubes
/// that begin before them.
fn strip(extent: usize, half_width: usize, parts: usize) -> usize {
    extent.div_ceil(parts.max(1)).max(4 * half_width).max(1)
}

/// The level of a fitted intensity.
#[inline]
fn level(fitted: f32) -> u16 {
    // The conversion saturates; what is no number does not come here.
    ((fitted - LOWEST) * LEVELS).round_ties_even() as u16
}

/// The voxels around an index that a cube covers, of `extent`.
fn window(at: usize, half_width: usize, extent: usize) -> Range<usize> {
    at.saturating_sub(half_width)..(at + half_width + 1).min(extent)
}

/// Levels of a region, and the cubes in it.
struct Cubes<'a> {
    levels: ArrayView3<'a, u16>,
    contrast: Contrast,
}

impl Cubes<'_> {
    /// Fills a strip whose first voxel is `first` in the region.
    fn normalise(&self, [z, y, x]: Shape, mut strip: ArrayViewMut3<f32>) {
        let [depth, height, width] = self.levels.dim().into();
        let half_width = self.contrast.half_width;
        let (planes, rows, columns) = strip.dim();
        let covered = [window(y, half_width, height), window(y + rows - 1, half_width, height)];
        let covered = [
            covered[0].start..covered[1].end,
            x.saturating_sub(half_width)..(x + columns + half_width).min(width),
        ];
        let mut tower = Sums::zeros(covered[0].len() * covered[1].len());
        let mut wall = Sums::zeros(covered[1].len());
        let mut prefix = Sums::zeros(covered[1].len() + 1);
        let mut seen = 0..0;
        for i in 0..planes {
            let next = window(z + i, half_width, depth);
            self.slide(&mut tower, &mut seen, next, &covered);
            let mut within = 0..0;
            wall.clear();
            for j in 0..rows {
                let next = window(y + j, half_width, height);
                let next = next.start - covered[0].start..next.end - covered[0].start;
                wall.slide(&tower, &mut within, next);
                prefix.accumulate(&wall);
                let voxels = (seen.len() * within.len()) as u64;
                let levels = self.levels.slice(s![z + i, y + j, x..x + columns]);
                let line = Line {
                    levels: levels.to_slice().expect("levels are in memory order"),
                    prefix: &prefix,
                    before: x - covered[1].start,
                    half_width,
                    voxels,
                    floor: self.contrast.floor_level(),
                };
                line.normalise(strip.slice_mut(s![i, j, ..]).into_slice().expect("rows are in memory order"));
            }
        }
    }

    /// Moves sums along z from planes `seen` to planes `next`.
    fn slide(
        &self,
        tower: &mut Sums,
        seen: &mut Range<usize>,
        next: Range<usize>,
        covered: &[Range<usize>; 2],
    ) {
        let width = covered[1].len();
        let each_row = |z: usize, tower: &mut Sums, change: fn(&mut [u64], &mut [u64], &[u16])| {
            for (j, y) in covered[0].clone().enumerate() {
                let levels = self.levels.slice(s![z, y, covered[1].clone()]);
                let at = j * width..(j + 1) * width;
                let row = levels.to_slice().expect("levels are in memory order");
                change(&mut tower.first[at.clone()], &mut tower.second[at], row);
            }
        };
        (seen.start..next.start).for_each(|z| each_row(z, tower, take_away));
        (seen.end..next.end).for_each(|z| each_row(z, tower, put_in));
        *seen = next;
    }
}

/// Sums of levels and of their squares.
struct Sums {
    first: Vec<u64>,
    second: Vec<u64>,
}

impl Sums {
    fn zeros(len: usize) -> Self {
        Sums { first: vec![0; len], second: vec![0; len] }
    }

    fn clear(&mut self) {
        self.first.fill(0);
        self.second.fill(0);
    }

    /// Moves sums along y from rows `seen` of `tower` to rows `next`.
    fn slide(&mut self, tower: &Sums, seen: &mut Range<usize>, next: Range<usize>) {
        let width = self.first.len();
        let of = |row: usize| row * width..(row + 1) * width;
        for row in seen.start..next.start {
            subtract(&mut self.first, &tower.first[of(row)]);
            subtract(&mut self.second, &tower.second[of(row)]);
        }
        for row in seen.end..next.end {
            add(&mut self.first, &tower.first[of(row)]);
            add(&mut self.second, &tower.second[of(row)]);
        }
        *seen = next;
    }

    /// Sums of all columns before each one of `wall`.
    fn accumulate(&mut self, wall: &Sums) {
        let mut sums = [0; 2];
        let prefixes = self.first[1..].iter_mut().zip(&mut self.second[1..]);
        for ((first, second), (a, b)) in prefixes.zip(wall.first.iter().zip(&wall.second)) {
            sums = [sums[0] + a, sums[1] + b];
            [*first, *second] = sums;
        }
    }
}

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512bw+avx512vl", "x86_64+avx2+fma"))]
fn put_in(first: &mut [u64], second: &mut [u64], levels: &[u16]) {
    for ((first, second), &level) in first.iter_mut().zip(second).zip(levels) {
        *first += u64::from(level);
        *second += u64::from(u32::from(level) * u32::from(level));
    }
}

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512bw+avx512vl", "x86_64+avx2+fma"))]
fn take_away(first: &mut [u64], second: &mut [u64], levels: &[u16]) {
    for ((first, second), &level) in first.iter_mut().zip(second).zip(levels) {
        *first -= u64::from(level);
        *second -= u64::from(u32::from(level) * u32::from(level));
    }
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
fn add(sums: &mut [u64], more: &[u64]) {
    sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
fn subtract(sums: &mut [u64], less: &[u64]) {
    sums.iter_mut().zip(less).for_each(|(sum, less)| *sum -= less);
}

/// A row of voxels and the sums along x of what their cubes cover across it.
struct Line<'a> {
    levels: &'a [u16],
    prefix: &'a Sums,
    /// Columns with sums before the first voxel.
    before: usize,
    half_width: usize,
    /// Voxels of a cube in each column.
    voxels: u64,
    /// In levels.
    floor: u64,
}

impl Line<'_> {
    fn normalise(&self, row: &mut [f32]) {
        let columns = self.prefix.first.len() - 1;
        let full = 2 * self.half_width + 1;
        // The first voxels have cubes that the face of the volume clips, and so have the last ones.
        let inner = self.half_width.saturating_sub(self.before)
            ..(columns + 1).saturating_sub(self.before + self.half_width + 1).min(row.len());
        let inner = if inner.start < inner.end { inner } else { 0..0 };
        for x in (0..inner.start).chain(inner.end..row.len()) {
            let columns = window(self.before + x, self.half_width, columns);
            let between = |sums: &[u64]| sums[columns.end] - sums[columns.start];
            let sums = [between(&self.prefix.first), between(&self.prefix.second)];
            row[x] = normalised(self.levels[x], sums, self.voxels * columns.len() as u64, self.floor);
        }
        if inner.is_empty() {
            return;
        }
        let first = self.before + inner.start - self.half_width;
        let [s1, s2] =
            [&self.prefix.first, &self.prefix.second].map(|sums| &sums[first..][..inner.len() + full]);
        normalise_inner(
            &self.levels[inner.clone()],
            [s1, s2],
            full,
            self.voxels * full as u64,
            self.floor,
            &mut row[inner],
        );
    }
}

/// Voxels whose cubes all have `full` columns: voxel i has columns i to i + `full`.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512bw+avx512vl", "x86_64+avx2+fma"))]
fn normalise_inner(
    levels: &[u16],
    [first, second]: [&[u64]; 2],
    full: usize,
    voxels: u64,
    floor: u64,
    row: &mut [f32],
) {
    let count = row.len();
    let (levels, row) = (&levels[..count], &mut row[..count]);
    let [a, b] = [&first[..count], &first[full..][..count]];
    let [c, d] = [&second[..count], &second[full..][..count]];
    for i in 0..count {
        row[i] = normalised(levels[i], [b[i] - a[i], d[i] - c[i]], voxels, floor);
    }
}

/// A voxel of this level, in whose cube of `voxels` levels and squares have these sums.
#[inline(always)]
fn normalised(level: u16, [first, second]: [u64; 2], voxels: u64, floor: u64) -> f32 {
    let difference = (voxels * u64::from(level)) as i64 - first as i64;
    // The products may exceed 64 bits, their difference does not.
    let spread = voxels.wrapping_mul(second).wrapping_sub(first.wrapping_mul(first));
    difference as f32 / ((spread + voxels * voxels * floor * floor) as f32).sqrt()
}

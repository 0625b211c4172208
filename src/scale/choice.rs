//! The grid that a volume's cells ask for, from looks at a region of the volume on several grids.
//!
//! Cells are measured by their chords: how far a line along an axis goes through a cell in the mean. Where the network
//! finds the cells of a volume at all, their chords in stored voxels hardly depend on the grid, neither on its width nor
//! on the proportion of its steps; where it shreds wide cells chords grow with the grid, and where it melts small ones few
//! are left. So the looks, each twice as wide as the one before, are compared with their neighbours: the pair is taken
//! that agrees on most of the tissue. The grid is then the one on which chords have [`CHORD`] points, and its points are
//! nearly cubes by the stated voxel size. Where none is stated, or where the chords of cells say something else by far,
//! chords say how far planes are apart: cells are as long along z as across it, in the mean of a tissue.
//!
//! Nearly cubes: what lies between planes was not seen, and light spreads most along z. So where planes are far apart
//! points stay longer along z, and the grid is a little coarser across.
use ndarray::{Array3, ArrayView3, Axis, Zip};
use rustc_hash::FxHashMap;

use super::{Sampling, Step};
use crate::error::Result;
use crate::volume::{Shape, Spacing};

/// Points of a chord on the grid that is chosen, where voxels are cubes.
pub const CHORD: f64 = 19.0;

/// Where the edges of voxels have the proportion r, the edges of points have r to the power of one less this.
const EVENED: f64 = 0.6;
/// And chords have fewer points by r to this power.
const COARSENED: f64 = 0.33;

/// Where planes are far apart a step along z between one over this and this is a single plane: planes that were seen are better
/// than such as were interpolated.
const NEARLY_ONE: f64 = 1.5;

/// Widths of the looks, in stored voxels of the smallest edge. A cell of 200 voxels has 25 points at the widest.
pub const WIDTHS: [f64; 4] = [1.0, 2.0, 4.0, 8.0];

/// The widest grid that is chosen without being asked for.
pub const WIDEST: f64 = 12.0;

/// Points of a chord on the widest grid of the looks at which cells are too wide for all of them; more is no cell, but what the
/// network makes of a volume that it cannot read.
const TOO_WIDE: std::ops::Range<f64> = 1.6 * CHORD..UNREADABLE;

/// Points of a chord from which on it is no cell's.
const UNREADABLE: f64 = 0.8 * REGION as f64;

/// Share of the cells on which two looks have to agree at least, where cells are not too wide.
const AGREED: f64 = 0.4;

/// Volumes of fewer voxels are not looked at: they hold no more than a few cells that are too wide.
pub const LEAST_VOXELS: usize = 64 * 64 * 64;

/// Greatest extent of the region of a look, in points.
pub const REGION: usize = 72;

/// Greatest proportion of the stated distance of planes, in pixels, and that of the chords, or the other way round, at
/// which the stated one is believed.
const DOUBTED: f64 = 2.2;

/// Where the chords alone say how far planes are apart, they are nearly cubes up to this proportion.
const NEARLY_CUBES: f64 = 1.35;

/// Proportion of the distances of planes and pixels that is looked at where none is stated.
const PRESUMED: f64 = 2.0;

/// The cells in a region of a volume on a grid.
pub struct Look {
    /// The grid.
    pub sampling: Sampling,
    /// First point of the region, z, y, x.
    pub start: Shape,
    /// The cells at the points of the region; 0 is no cell.
    pub labels: Array3<u32>,
}

impl Look {
    /// Mean chord of the cells along z, y, x, in stored voxels; `None` where there is no cell.
    pub fn chords(&self) -> Option<[f64; 3]> {
        let steps = self.sampling.steps();
        let along = |axis: usize| {
            let chords = chord(self.labels.view(), axis)?;
            Some(chords * steps[axis])
        };
        Some([along(0)?, along(1)?, along(2)?])
    }

    /// Mean points of a chord, over all axes.
    fn chord_points(&self) -> Option<f64> {
        Some(libm::cbrt(self.chords()?.iter().product::<f64>() / self.voxels_of_a_point()))
    }

    /// The share of the cells of both looks, of `all` stored voxels, that each finds as the other does: the sum over all cells of
    /// both of their voxels times the greatest intersection over union with a cell of the other one, halved.
    fn agreement(&self, other: &Look, all: f64) -> f64 {
        let theirs = self.seen_by(other);
        let mut pairs = FxHashMap::<(u32, u32), u64>::default();
        Zip::from(&self.labels).and(&theirs).for_each(|&a, &b| *pairs.entry((a, b)).or_default() += 1);
        let mut voxels = [FxHashMap::<u32, u64>::default(), FxHashMap::default()];
        for (&(a, b), &count) in &pairs {
            *voxels[0].entry(a).or_default() += count;
            *voxels[1].entry(b).or_default() += count;
        }
        let mut best = [FxHashMap::<u32, f64>::default(), FxHashMap::default()];
        for (&(a, b), &count) in pairs.iter().filter(|((a, b), _)| *a > 0 && *b > 0) {
            let iou = count as f64 / (voxels[0][&a] + voxels[1][&b] - count) as f64;
            for (best, label) in best.iter_mut().zip([a, b]) {
                let best = best.entry(label).or_default();
                *best = best.max(iou);
            }
        }
        let mut agreed: Vec<f64> = Vec::new();
        for (best, voxels) in best.iter().zip(&voxels) {
            agreed.extend(best.iter().map(|(label, iou)| iou * voxels[label] as f64));
        }
        // Sums in an order of their own are the same on every machine.
        agreed.sort_by(f64::total_cmp);
        agreed.iter().sum::<f64>() / 2.0 * self.voxels_of_a_point() / all
    }

    /// What another look has at the points of this one: its nearest label; 0 outside of its region.
    fn seen_by(&self, other: &Look) -> Array3<u32> {
        let place = |axis: usize, i: usize| -> Option<usize> {
            let middle = (self.start[axis] + i) as f64 + 0.5;
            let there = middle * self.sampling.0[axis].voxels() / other.sampling.0[axis].voxels();
            let there = (there as usize).checked_sub(other.start[axis])?;
            (there < other.labels.len_of(Axis(axis))).then_some(there)
        };
        let places = [0, 1, 2]
            .map(|axis| (0..self.labels.len_of(Axis(axis))).map(|i| place(axis, i)).collect::<Vec<_>>());
        Array3::from_shape_fn(self.labels.dim(), |(z, y, x)| {
            match (places[0][z], places[1][y], places[2][x]) {
                (Some(z), Some(y), Some(x)) => other.labels[[z, y, x]],
                _ => 0,
            }
        })
    }

    fn voxels_of_a_point(&self) -> f64 {
        self.sampling.steps().iter().product()
    }

    /// Stored voxels in this region that are in cells of another look.
    fn covered_by(&self, other: &Look) -> f64 {
        let theirs = self.seen_by(other);
        theirs.iter().filter(|&&label| label > 0).count() as f64 * self.voxels_of_a_point()
    }
}

/// Mean points of a chord along an axis: pairs of neighbouring points in cells for each pair in two of them.
fn chord(labels: ArrayView3<u32>, axis: usize) -> Option<f64> {
    let axis = Axis(axis);
    if labels.len_of(axis) < 2 {
        return labels.iter().any(|&label| label > 0).then_some(1.0);
    }
    let [first, second] = [labels.slice_axis(axis, (..-1).into()), labels.slice_axis(axis, (1..).into())];
    let (mut pairs, mut walls) = (0_u64, 0_u64);
    Zip::from(first).and(second).for_each(|&a, &b| {
        pairs += u64::from(a > 0 && b > 0);
        walls += u64::from(a > 0 && b > 0 && a != b);
    });
    (pairs > 0).then(|| pairs as f64 / walls.max(1) as f64)
}

/// The grid that is chosen, and on what it rests.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// The grid.
    pub sampling: Sampling,
    /// The voxel size that distances in the volume rest on: the stated one, or the proportions that cells show.
    pub spacing: Option<Spacing>,
    /// What was assumed of the voxel size, where something was.
    pub assumption: Option<String>,
    /// A reason to doubt the choice.
    pub doubt: Option<String>,
}

impl Choice {
    /// A grid that does not rest on looks.
    pub fn without_looks(sampling: Sampling, spacing: Option<Spacing>) -> Self {
        Choice { sampling, spacing, assumption: None, doubt: None }
    }
}

/// Chooses the grid of a volume with voxels of this size by `look`ing at it.
///
/// # Errors
/// Those of `look`.
pub fn choose(spacing: Option<Spacing>, mut look: impl FnMut(Sampling) -> Result<Look>) -> Result<Choice> {
    let presumed = spacing.map_or([PRESUMED, 1.0, 1.0], |spacing| evened(Some(spacing)));
    let looks = WIDTHS.map(|width| look(Sampling::cubes(width, Some(Spacing(presumed)))));
    let looks: Vec<Look> = looks.into_iter().collect::<Result<_>>()?;
    let agreed = most_agreed(&looks);
    let too_wide =
        looks.last().filter(|_| agreed.is_none_or(|(agreement, _)| agreement < AGREED)).and_then(|look| {
            look.chords().filter(|_| look.chord_points().is_some_and(|points| TOO_WIDE.contains(&points)))
        });
    let Some(chords) = too_wide.or(agreed.map(|(_, chords)| chords)) else {
        return Ok(Choice::without_looks(suited(1.0, evened(spacing)), spacing));
    };
    let (spacing, assumption) = proportions(spacing, chords);
    let edges = evened(spacing);
    let proportion = libm::pow(edges.iter().copied().fold(0.0, f64::max), 1.0 / EVENED);
    let chord = libm::cbrt((0..3).map(|axis| chords[axis] * edges[axis]).product());
    let width = chord * libm::pow(proportion, COARSENED) / CHORD;
    tracing::debug!("chords of {chords:.1?} voxels: scale {width:.2}");
    let doubt = too_wide.map(|_| {
        format!(
            "cells look {chord:.0} voxels wide, more than any grid that was looked at suits: try --scale {width:.0}"
        )
    });
    // A finer grid than the stored one shows no more of walls along its finest axis.
    let sampling = suited(width.clamp(1.0, WIDEST), edges);
    Ok(Choice { sampling, spacing, assumption, doubt })
}

/// The edges of points for voxels of this size, in smallest edges.
fn evened(spacing: Option<Spacing>) -> [f64; 3] {
    let Spacing(edges) = spacing.unwrap_or(Spacing([1.0; 3]));
    let finest = edges.iter().copied().fold(f64::INFINITY, f64::min);
    edges.map(|edge| libm::pow(edge / finest, EVENED))
}

/// The grid of a width whose points have edges in these proportions.
fn suited(width: f64, edges: [f64; 3]) -> Sampling {
    let Sampling([z, y, x]) = Sampling::cubes(width, Some(Spacing(edges)));
    let is_nearly_one = (1.0 / NEARLY_ONE..=NEARLY_ONE).contains(&(width / edges[0]));
    Sampling([if is_nearly_one && edges[0] > 1.0 { Step::STORED } else { z }, y, x])
}

/// The share of the cells on which the pair of looks agrees that agrees on most, and the pair's chords: their geometric mean.
fn most_agreed(looks: &[Look]) -> Option<(f64, [f64; 3])> {
    let agreements: Vec<f64> = looks
        .windows(2)
        .map(|pair| {
            // Only what lies in both regions can agree: that of the finer look.
            let all = looks.iter().map(|look| pair[0].covered_by(look)).fold(0.0, f64::max);
            let is_read =
                pair.iter().all(|look| look.chord_points().is_some_and(|points| points < UNREADABLE));
            if all > 0.0 && is_read { pair[0].agreement(&pair[1], all) } else { 0.0 }
        })
        .collect();
    for (look, agreement) in looks.iter().zip(&agreements) {
        tracing::debug!(
            "scale {}: chords {:.1?}, {:.2} of the cells as on the next one",
            look.sampling,
            look.chords().unwrap_or_default(),
            agreement
        );
    }
    let best =
        (0..agreements.len()).max_by(|&a, &b| agreements[a].total_cmp(&agreements[b]).then(b.cmp(&a)))?;
    if agreements[best] == 0.0 {
        return None;
    }
    // The finer look has shreds of some cells, the coarser one has lost some.
    let [fine, coarse] = [looks[best].chords(), looks[best + 1].chords()];
    let (fine, coarse) = (fine.or(coarse)?, coarse.or(fine)?);
    Some((agreements[best], [0, 1, 2].map(|axis| (fine[axis] * coarse[axis]).sqrt())))
}

/// The voxel size to go by, and what has to be said of it.
fn proportions(stated: Option<Spacing>, [z, y, x]: [f64; 3]) -> (Option<Spacing>, Option<String>) {
    let shown = (y * x).sqrt() / z;
    match stated {
        Some(Spacing([depth, height, width])) => {
            let ratio = depth / (height * width).sqrt();
            if (shown / ratio).max(ratio / shown) <= DOUBTED {
                return (stated, None);
            }
            let edge = (height * width).sqrt();
            let said = format!(
                "the stated voxel size has planes {ratio:.1} pixels apart, but cells look as if it were {shown:.1}, \
                 which is assumed (--spacing, with --scale, has it otherwise)"
            );
            (Some(Spacing([edge * shown, height, width])), Some(said))
        }
        None if (1.0 / NEARLY_CUBES..=NEARLY_CUBES).contains(&shown) => {
            (None, Some("no voxel size is stated: voxels are assumed to be cubes, as cells look".to_owned()))
        }
        None => {
            let said = format!(
                "no voxel size is stated: planes are assumed to be {shown:.1} pixels apart, as cells look \
                 (--spacing Z,Y,X has it otherwise)"
            );
            (Some(Spacing([shown, 1.0, 1.0])), Some(said))
        }
    }
}

/// A region of a grid of `shape` points of at most [`REGION`] points each way, `centre` (in stored voxels) in its middle: its
/// first point and its extent.
pub fn region(shape: Shape, sampling: Sampling, centre: Shape) -> (Shape, Shape) {
    let extent = shape.map(|extent| extent.min(REGION));
    let middle = |axis: usize| {
        let Step { voxels, points } = sampling.0[axis];
        centre[axis] * points as usize / voxels as usize
    };
    let start = |axis: usize| middle(axis).saturating_sub(extent[axis] / 2).min(shape[axis] - extent[axis]);
    ([0, 1, 2].map(start), extent)
}

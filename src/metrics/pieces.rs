//! Masks among label volumes: one label in several pieces.
//!
//! The pieces are connected over faces, edges and corners (26 neighbours), found from runs along x that are joined row
//! by row.
use std::ops::Range;

use ndarray::{ArrayView1, ArrayView3, s};
use rayon::prelude::*;

use crate::ops::disjoint_sets::DisjointSets;

/// The number of separate pieces of a volume's only label (0 is background); `None` where there is no label or more than
/// one, and where runs are too many to be numbered with 32 bits.
pub fn of_only_label(labels: ArrayView3<u32>) -> Option<usize> {
    let only = *labels.iter().find(|&&label| label != 0)?;
    if labels.into_par_iter().any(|&label| label != 0 && label != only) {
        return None;
    }
    let (depth, height, _) = labels.dim();
    let row = |at| runs(labels.slice_move(s![at / height, at % height, ..]));
    count(&(0..depth * height).into_par_iter().map(row).collect::<Vec<_>>(), height)
}

/// Where a row is labelled, as far as voxels follow each other.
fn runs(row: ArrayView1<u32>) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (x, _) in row.iter().enumerate().filter(|(_, label)| **label != 0) {
        match runs.last_mut() {
            Some(run) if run.end == x => run.end += 1,
            _ => runs.push(x..x + 1),
        }
    }
    runs
}

/// The number of pieces; `rows` are those of all planes, `height` of each.
fn count(rows: &[Vec<Range<usize>>], height: usize) -> Option<usize> {
    let mut first = vec![0];
    first.extend(rows.iter().scan(0, |runs, row| {
        *runs += row.len();
        Some(*runs)
    }));
    let runs = u32::try_from(first[rows.len()]).ok()?;
    let mut pieces = DisjointSets::new(runs as usize);
    for at in 0..rows.len() {
        for before in rows_before(at, height) {
            for [a, b] in touching(&rows[at], &rows[before]) {
                pieces.join((first[at] + a) as u32, (first[before] + b) as u32);
            }
        }
    }
    Some((0..runs).filter(|&run| pieces.find(run) == run).count())
}

/// The neighbours of a row among those before it.
fn rows_before(at: usize, height: usize) -> impl Iterator<Item = usize> {
    let y = at % height;
    let beside = (y > 0).then(|| at - 1);
    let below = at
        .checked_sub(height)
        .map(|under| under - usize::from(y > 0)..under + 1 + usize::from(y + 1 < height));
    beside.into_iter().chain(below.into_iter().flatten())
}

/// The pairs of runs of two neighbouring rows that have columns in common or next to each other.
fn touching(one: &[Range<usize>], other: &[Range<usize>]) -> Vec<[usize; 2]> {
    let (mut i, mut j, mut pairs) = (0, 0, Vec::new());
    while let (Some(a), Some(b)) = (one.get(i), other.get(j)) {
        if a.start <= b.end && b.start <= a.end {
            pairs.push([i, j]);
        }
        if a.end <= b.end {
            i += 1;
        } else {
            j += 1;
        }
    }
    pairs
}

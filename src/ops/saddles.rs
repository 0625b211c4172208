//! Saddles between the basins of a distance map.
//!
//! saddle(a, b) = max over neighbouring voxels u of a and v of b (among 26) of min(D(u), D(v)): how far one
//! has to descend to get from the peak of a to that of b across their contact. A maximum of integers: no
//! order matters.
//!
//! labels `[z, y, x]` u32, squared distance `[z, y, x]` u32 -> a sorted list of pairs.
use ndarray::ArrayView3;
use rayon::prelude::*;
use rustc_hash::FxHashMap;

use super::blocks::Rows;

/// Two touching basins and the saddle between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Saddle {
    /// The smaller label.
    pub a: u32,
    /// The greater label.
    pub b: u32,
    /// Squared distance at the saddle.
    pub squared: u32,
}

type Heights = FxHashMap<(u32, u32), u32>;

/// Operations and bytes moved for `voxels` voxels: 13 comparisons; two 32-bit values in.
pub fn cost(voxels: usize) -> (usize, usize) {
    (26 * voxels, 8 * voxels)
}

/// The saddles of all touching pairs, sorted by labels.
pub fn saddles(labels: ArrayView3<u32>, squared: ArrayView3<u32>) -> Vec<Saddle> {
    assert_eq!(labels.dim(), squared.dim(), "labels and distances differ in shape");
    let (labels, squared) = (labels.as_standard_layout(), squared.as_standard_layout());
    let (depth, height, _) = labels.dim();
    let (labels, squared) = (Rows::new(labels.view()), Rows::new(squared.view()));
    let row = |z: usize, y: usize| Row { labels: labels.at(z, y), squared: squared.at(z, y) };
    let heights = (0..depth)
        .into_par_iter()
        .fold(Heights::default, |mut heights, z| {
            for y in 0..height {
                let at = row(z, y);
                let ahead = FORWARD.map(|(dz, dy)| (z + dz, y.wrapping_add_signed(dy)));
                for (z, y) in ahead.into_iter().filter(|&(z, y)| z < depth && y < height) {
                    between_rows(at, row(z, y), &mut heights);
                }
            }
            heights
        })
        .reduce(Heights::default, merge);
    let mut saddles: Vec<_> = heights.into_iter().map(|((a, b), squared)| Saddle { a, b, squared }).collect();
    saddles.par_sort_unstable();
    saddles
}

/// Rows (z, y) ahead of a row that hold neighbours of its voxels; the row itself is one of them.
const FORWARD: [(usize, isize); 5] = [(0, 0), (0, 1), (1, -1), (1, 0), (1, 1)];

#[derive(Clone, Copy)]
struct Row<'a> {
    labels: &'a [u32],
    squared: &'a [u32],
}

fn between_rows(at: Row, ahead: Row, heights: &mut Heights) {
    let width = at.labels.len();
    for (x, &a) in at.labels.iter().enumerate().filter(|(_, label)| **label != 0) {
        for neighbour in x.saturating_sub(1)..(x + 2).min(width) {
            let b = ahead.labels[neighbour];
            if b != a && b != 0 {
                let height = heights.entry((a.min(b), a.max(b))).or_default();
                *height = (*height).max(at.squared[x].min(ahead.squared[neighbour]));
            }
        }
    }
}

fn merge(mut some: Heights, mut more: Heights) -> Heights {
    if some.len() < more.len() {
        std::mem::swap(&mut some, &mut more);
    }
    for (pair, squared) in more {
        let height = some.entry(pair).or_default();
        *height = (*height).max(squared);
    }
    some
}

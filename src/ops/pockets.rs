//! Pockets: background inside cells.
//!
//! Between a cell and the background outside the tissue there is always a membrane. A connected piece of
//! background (6-neighbours) that has more faces in common with foreground than with membrane is therefore the
//! dark inside of a cell that the network took for background; it becomes foreground. The faces of the volume count
//! as membrane: the outside of a tissue with leaky walls borders on them widely. The authors' code has nothing of
//! this.
//!
//! classes `[z, y, x]` u8 -> the same.
use std::ops::Range;

use ndarray::{Array3, ArrayView3, Axis, CowArray, Ix3};
use rayon::prelude::*;

use super::disjoint_sets::DisjointSets;
use super::faces;
use crate::cells::{BACKGROUND, FOREGROUND, MEMBRANE};

/// Operations and bytes moved for `voxels` voxels: six comparisons; one byte in.
pub fn cost(voxels: usize) -> (usize, usize) {
    (6 * voxels, voxels)
}

/// Background voxels in one row, as far as they follow each other.
struct Run {
    columns: Range<usize>,
    /// Faces in common with foreground, less those with membrane or where the volume ends.
    balance: i64,
}

/// The runs of each row `z * height + y`, and the number of the first one of each.
struct Runs {
    rows: Vec<Vec<Run>>,
    first: Vec<u32>,
}

/// Turns pockets into foreground; the classes are copied only where there is one.
pub fn fill(classes: ArrayView3<u8>) -> CowArray<u8, Ix3> {
    let (depth, height, _) = classes.dim();
    let runs = Runs::of(classes);
    let pocket = runs.pockets(height);
    if depth == 0 || !pocket.contains(&true) {
        return classes.into();
    }
    let mut filled: Array3<u8> = classes.to_owned();
    filled.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(z, mut plane)| {
        for (y, mut row) in plane.rows_mut().into_iter().enumerate() {
            let at = z * height + y;
            for (run, is_pocket) in runs.rows[at].iter().zip(&pocket[runs.first[at] as usize..]) {
                if *is_pocket {
                    row.slice_mut(ndarray::s![run.columns.clone()]).fill(FOREGROUND);
                }
            }
        }
    });
    filled.into()
}

impl Runs {
    fn of(classes: ArrayView3<u8>) -> Self {
        let (depth, height, _) = classes.dim();
        let rows: Vec<Vec<Run>> = (0..depth * height)
            .into_par_iter()
            .map(|at| runs_of_row(classes, at / height, at % height))
            .collect();
        let lengths = rows.iter().scan(0, |total, row| {
            let first = *total;
            *total += row.len() as u32;
            Some(first)
        });
        Runs { first: lengths.collect(), rows }
    }

    /// Whether each run belongs to a pocket.
    fn pockets(&self, height: usize) -> Vec<bool> {
        let count = self.rows.iter().map(Vec::len).sum();
        let mut pieces = DisjointSets::new(count);
        for at in 0..self.rows.len() {
            if at % height > 0 {
                self.join_rows(at, at - 1, &mut pieces);
            }
            if at >= height {
                self.join_rows(at, at - height, &mut pieces);
            }
        }
        let mut balance = vec![0; count];
        for (run, number) in self.rows.iter().flatten().zip(0..) {
            balance[pieces.find(number) as usize] += run.balance;
        }
        (0..count as u32).map(|number| balance[pieces.find(number) as usize] > 0).collect()
    }

    /// Joins the runs of two neighbouring rows that have a column in common.
    fn join_rows(&self, a: usize, b: usize, pieces: &mut DisjointSets) {
        let (mut i, mut j) = (0, 0);
        while let (Some(one), Some(other)) = (self.rows[a].get(i), self.rows[b].get(j)) {
            let [one, other] = [&one.columns, &other.columns];
            if one.start < other.end && other.start < one.end {
                pieces.join(self.first[a] + i as u32, self.first[b] + j as u32);
            }
            if one.end <= other.end {
                i += 1;
            } else {
                j += 1;
            }
        }
    }
}

fn runs_of_row(classes: ArrayView3<u8>, z: usize, y: usize) -> Vec<Run> {
    let row = classes.slice(ndarray::s![z, y, ..]);
    let mut runs = Vec::new();
    let mut x = 0;
    while x < row.len() {
        let start = x;
        while x < row.len() && row[x] == BACKGROUND {
            x += 1;
        }
        if x > start {
            runs.push(Run { balance: balance(classes, [z, y], start..x), columns: start..x });
        }
        x += 1;
    }
    runs
}

/// Faces that a run has in common with foreground, less those with membrane or where the volume ends.
fn balance(classes: ArrayView3<u8>, row: [usize; 2], columns: Range<usize>) -> i64 {
    faces::around(classes, row, columns, |class| match class {
        Some(FOREGROUND) => 1,
        Some(MEMBRANE) | None => -1,
        Some(_) => 0,
    })
}

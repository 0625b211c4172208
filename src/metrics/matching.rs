//! Which predicted cell stands for a truth cell: the authors' two answers (`func/cal_accuracy.py`).
use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use super::contingency::{Counted, Overlap};

/// How truth cells find their partners.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Matching {
    /// The truth cells choose in descending order of their best IoU; each takes the prediction of the highest
    /// Dice coefficient that is still free (`cal_accuracy`).
    #[default]
    OneToOne,
    /// Every truth cell takes the prediction of its best IoU, whether or not another has it too
    /// (`cal_accuracy_II`).
    BestIou,
}

impl fmt::Display for Matching {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Matching::OneToOne => "one-to-one",
            Matching::BestIou => "best IoU",
        })
    }
}

/// A truth cell and what stands for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Matched {
    /// Label of the truth cell.
    pub truth: u32,
    /// Label of its partner; `None` where no overlapping prediction is left.
    pub prediction: Option<u32>,
    /// Jaccard index with the partner.
    pub ji: f64,
    /// Dice coefficient with the partner.
    pub dsc: f64,
}

/// A partner for every truth cell, in the order of choice for one-to-one, by label otherwise.
pub fn partners(cells: &Counted, matching: Matching) -> Vec<Matched> {
    let mut candidates: Vec<(u32, Vec<Matched>)> =
        cells.truth.keys().map(|&truth| (truth, candidates_of(cells, truth))).collect();
    match matching {
        Matching::BestIou => candidates.iter().map(|(truth, best)| first(*truth, best.iter())).collect(),
        Matching::OneToOne => {
            let best_ji = |of: &[Matched]| of.first().map_or(0.0, |m| m.ji);
            candidates.sort_by(|(_, a), (_, b)| best_ji(b).total_cmp(&best_ji(a)));
            let mut taken = BTreeSet::new();
            let mut choose = |(truth, of): &(u32, Vec<Matched>)| {
                let chosen = first(*truth, of.iter().filter(|m| !taken.contains(&m.prediction)));
                taken.extend(chosen.prediction.map(Some));
                chosen
            };
            candidates.iter().map(&mut choose).collect()
        }
    }
}

/// Every overlapping prediction, the best first (the order by IoU is that by Dice), ties by label.
fn candidates_of(cells: &Counted, truth: u32) -> Vec<Matched> {
    let start = cells.overlaps.partition_point(|o| o.truth < truth);
    let of_this = cells.overlaps[start..].iter().take_while(|o| o.truth == truth);
    let mut candidates: Vec<_> = of_this.map(|o| score(cells, o)).collect();
    candidates.sort_by(|a, b| b.ji.total_cmp(&a.ji));
    candidates
}

fn first<'a>(truth: u32, mut candidates: impl Iterator<Item = &'a Matched>) -> Matched {
    candidates.next().copied().unwrap_or(Matched { truth, prediction: None, ji: 0.0, dsc: 0.0 })
}

fn score(cells: &Counted, o: &Overlap) -> Matched {
    let both = cells.truth[&o.truth] + cells.prediction[&o.prediction];
    let shared = o.voxels as f64;
    let (ji, dsc) = (shared / (both as f64 - shared), 2.0 * shared / both as f64);
    Matched { truth: o.truth, prediction: Some(o.prediction), ji, dsc }
}

/// Truth cells with a prediction of their own of at least this IoU (0.5 or more).
///
/// Above 0.5 a cell has at most one such partner. At exactly 0.5 it can have two, but these then have no other:
/// taking them in any order finds the greatest number.
pub fn found(cells: &Counted, iou: f64) -> usize {
    let (mut truths, mut predictions) = (BTreeSet::new(), BTreeSet::new());
    for o in cells.overlaps.iter().filter(|o| score(cells, o).ji >= iou) {
        if !truths.contains(&o.truth) && !predictions.contains(&o.prediction) {
            truths.insert(o.truth);
            predictions.insert(o.prediction);
        }
    }
    truths.len()
}

//! Scores of predicted labels against the truth.
//!
//! Everything follows from one sparse table of overlaps ([`contingency`]), counted in one parallel pass: the
//! adapted Rand error and the variation of information from its cells, the Jaccard index and the Dice
//! coefficient of every truth cell from the partner that [`matching`] finds for it.
//! Definitions: paper, section "Evaluation metrics"; the authors' `func/cal_accuracy.py` and
//! `func/ARE.py`. Their bounding boxes lose the last plane of each cell; the scores here are the exact ones.
//!
//! Voxels of the truth may be left out ([`Annotation`]): every score is then that of the other voxels, as if those were in
//! neither volume. Of a cell that lies in them in part, the other part alone counts: its size, its overlaps, and whether
//! it is found. A cell that lies in them as a whole is neither true nor predicted.
pub mod contingency;
pub mod matching;
pub mod pieces;

use std::fmt;

use ndarray::ArrayView3;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::volume::Annotation;
use contingency::Contingency;
use matching::{Matched, Matching};

/// The IoU thresholds at which the average precision is given.
pub const THRESHOLDS: [f64; 5] = [0.5, 0.6, 0.7, 0.8, 0.9];

/// What is compared, and how.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// How truth cells find their partners.
    pub matching: Matching,
    /// Only truth cells of more voxels than this count; the others are left out of the matching, and so is a
    /// prediction that lies in them with more than half of its voxels. Voxel-wise scores (Rand, VOI) keep them.
    pub min_cell_size: u64,
}

/// Cells found, missed and invented at one IoU threshold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Detection {
    /// The least IoU at which a prediction counts as found.
    pub iou: f64,
    /// found / (found + missed + false), as StarDist and Cellpose define it.
    pub average_precision: f64,
    /// Truth cells with a prediction of at least this IoU.
    pub found_cells: usize,
    /// Truth cells without one.
    pub missed_cells: usize,
    /// Predicted cells that are no truth cell's.
    pub false_cells: usize,
}

/// All scores of one prediction.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scores {
    /// How partners were found.
    pub matching: Matching,
    /// The share of the voxels that are left out, from 0 to 1.
    pub ignored_fraction: f64,
    /// Truth cells that count.
    pub truth_cells: usize,
    /// Predicted cells that count.
    pub predicted_cells: usize,
    /// Truth cells without a prediction of IoU 0.5 or more.
    pub missed_cells: usize,
    /// Predicted cells without a truth cell of IoU 0.5 or more.
    pub false_cells: usize,
    /// Truth cells for which no partner at all was left; they score 0 in the means.
    pub unmatched_cells: usize,
    /// Mean Jaccard index (IoU) over the truth cells.
    pub mean_ji: f64,
    /// Mean Dice similarity coefficient over the truth cells.
    pub mean_dsc: f64,
    /// Fraction of truth cells with a Jaccard index above 0.7.
    pub ji_above_70: f64,
    /// Fraction of truth cells with a Jaccard index above 0.5.
    pub ji_above_50: f64,
    /// Fraction of truth cells with a Dice coefficient above 0.7.
    pub dsc_above_70: f64,
    /// Fraction of truth cells with a Dice coefficient above 0.5.
    pub dsc_above_50: f64,
    /// Found, missed and false cells at [`THRESHOLDS`].
    pub detection: Vec<Detection>,
    /// Adapted Rand error, 1 - F score of the next two.
    pub adapted_rand_error: f64,
    /// Of the voxel pairs in one predicted cell, how many are in one truth cell.
    pub rand_precision: f64,
    /// Of the voxel pairs in one truth cell, how many are in one predicted cell.
    pub rand_recall: f64,
    /// Variation of information, H(prediction | truth) in bits: cells cut into pieces.
    pub voi_split: f64,
    /// Variation of information, H(truth | prediction) in bits: cells run together.
    pub voi_merge: f64,
}

impl Scores {
    /// Scores `prediction` against `truth`, both label volumes (z, y, x) with background 0.
    ///
    /// # Errors
    /// Where the shapes differ, and where no truth cell is larger than `options.min_cell_size`.
    pub fn compare(prediction: ArrayView3<u32>, truth: ArrayView3<u32>, options: &Options) -> Result<Self> {
        Self::of(prediction, truth, None, options)
    }

    /// Scores `prediction` (z, y, x; background 0) at the voxels that `truth` does not leave out.
    ///
    /// # Errors
    /// Those of [`compare`](Self::compare), and where every voxel is left out.
    pub fn compare_annotated(
        prediction: ArrayView3<u32>,
        truth: &Annotation,
        options: &Options,
    ) -> Result<Self> {
        let left_out = truth.left_out.as_ref().map(|left_out| left_out.view());
        Self::of(prediction, truth.labels.view(), left_out, options)
    }

    fn of(
        prediction: ArrayView3<u32>,
        truth: ArrayView3<u32>,
        left_out: Option<ArrayView3<bool>>,
        options: &Options,
    ) -> Result<Self> {
        if prediction.dim() != truth.dim() {
            let (found, expected) = (prediction.shape(), truth.shape());
            return Err(Error::invalid(format!(
                "the prediction has {found:?} voxels (z, y, x), the truth {expected:?}"
            )));
        }
        let table = Contingency::count(prediction, truth, left_out);
        if left_out.is_some() && table.voxels == 0 {
            return Err(Error::invalid("every voxel of the truth is left out: there is nothing to score"));
        }
        let ignored_fraction = (truth.len() as u64 - table.voxels) as f64 / truth.len().max(1) as f64;
        Ok(Self { ignored_fraction, ..Self::from_contingency(&table, options)? })
    }

    fn from_contingency(table: &Contingency, options: &Options) -> Result<Self> {
        let counted = table.counted(options.min_cell_size);
        if counted.truth.is_empty() {
            return Err(Error::invalid(match options.min_cell_size {
                0 => "the truth holds no cell: every voxel that counts is 0".to_owned(),
                size => format!("the truth holds no cell of more than {size} voxels"),
            }));
        }
        let partners = matching::partners(&counted, options.matching);
        let detection: Vec<_> = THRESHOLDS.iter().map(|&iou| detection(&counted, iou)).collect();
        let rand = contingency::adapted_rand(table);
        let voi = contingency::variation_of_information(table);
        let share = |of: &dyn Fn(&Matched) -> bool| {
            partners.iter().filter(|m| of(m)).count() as f64 / partners.len() as f64
        };
        Ok(Self {
            matching: options.matching,
            ignored_fraction: 0.0,
            truth_cells: counted.truth.len(),
            predicted_cells: counted.prediction.len(),
            missed_cells: detection[0].missed_cells,
            false_cells: detection[0].false_cells,
            unmatched_cells: partners.iter().filter(|m| m.prediction.is_none()).count(),
            mean_ji: mean(partners.iter().map(|m| m.ji)),
            mean_dsc: mean(partners.iter().map(|m| m.dsc)),
            ji_above_70: share(&|m| m.ji > 0.7),
            ji_above_50: share(&|m| m.ji > 0.5),
            dsc_above_70: share(&|m| m.dsc > 0.7),
            dsc_above_50: share(&|m| m.dsc > 0.5),
            detection,
            adapted_rand_error: rand.error,
            rand_precision: rand.precision,
            rand_recall: rand.recall,
            voi_split: voi.split,
            voi_merge: voi.merge,
        })
    }
}

fn detection(counted: &contingency::Counted, iou: f64) -> Detection {
    let found_cells = matching::found(counted, iou);
    let (missed_cells, false_cells) =
        (counted.truth.len() - found_cells, counted.prediction.len() - found_cells);
    let average_precision = found_cells as f64 / (found_cells + missed_cells + false_cells) as f64;
    Detection { iou, average_precision, found_cells, missed_cells, false_cells }
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}

impl fmt::Display for Scores {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        writeln!(f, "cells                 {} predicted, {} true", self.predicted_cells, self.truth_cells)?;
        if self.ignored_fraction > 0.0 {
            writeln!(f, "left out              {:.4} of the voxels", self.ignored_fraction)?;
        }
        writeln!(f, "missed, false         {}, {} (at IoU 0.5)", self.missed_cells, self.false_cells)?;
        writeln!(f, "mean JI, DSC          {:.4}, {:.4} ({})", self.mean_ji, self.mean_dsc, self.matching)?;
        writeln!(f, "JI  above 0.7, 0.5    {:.4}, {:.4}", self.ji_above_70, self.ji_above_50)?;
        writeln!(f, "DSC above 0.7, 0.5    {:.4}, {:.4}", self.dsc_above_70, self.dsc_above_50)?;
        write!(f, "average precision    ")?;
        for at in &self.detection {
            write!(f, " {:.4} (IoU {})", at.average_precision, at.iou)?;
        }
        writeln!(f)?;
        writeln!(
            f,
            "adapted Rand error    {:.4} (precision {:.4}, recall {:.4})",
            self.adapted_rand_error, self.rand_precision, self.rand_recall
        )?;
        write!(f, "VOI split, merge      {:.4}, {:.4} bits", self.voi_split, self.voi_merge)
    }
}

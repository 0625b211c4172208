//! The table of overlaps of two labellings, and the scores that need nothing else.
use std::collections::{BTreeMap, HashMap};

use ndarray::parallel::prelude::*;
use ndarray::{ArrayView2, ArrayView3, Axis, Zip};

/// Voxels that two labels share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// Label in the truth.
    pub truth: u32,
    /// Label in the prediction.
    pub prediction: u32,
    /// Voxels with both.
    pub voxels: u64,
}

/// How often each pair of labels occurs; pairs that never do are absent. Background 0 is a label here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contingency {
    /// Sorted by truth label, then by prediction label.
    pub overlaps: Vec<Overlap>,
    /// Voxels that count.
    pub voxels: u64,
}

/// The cells that count and how they overlap, background excluded.
#[derive(Clone, Debug)]
pub struct Counted {
    /// Voxels of each truth cell.
    pub truth: BTreeMap<u32, u64>,
    /// Voxels of each predicted cell.
    pub prediction: BTreeMap<u32, u64>,
    /// Overlaps among these cells, sorted by truth label, then by prediction label.
    pub overlaps: Vec<Overlap>,
}

type Counts = HashMap<(u32, u32), u64>;

impl Contingency {
    /// Counts all pairs in one pass, but those of voxels that are left out; the views must have one shape.
    pub fn count(
        prediction: ArrayView3<u32>,
        truth: ArrayView3<u32>,
        left_out: Option<ArrayView3<bool>>,
    ) -> Self {
        let planes = truth.axis_iter(Axis(0)).into_par_iter().zip(prediction.axis_iter(Axis(0))).enumerate();
        let counts = planes
            .fold(Counts::new, |mut counts, (z, (truth, prediction))| {
                let left_out = left_out.as_ref().map(|left_out| left_out.index_axis(Axis(0), z));
                count_plane(truth, prediction, left_out, &mut counts);
                counts
            })
            .reduce(Counts::new, add);
        let mut overlaps: Vec<_> = counts
            .into_iter()
            .map(|((truth, prediction), voxels)| Overlap { truth, prediction, voxels })
            .collect();
        overlaps.sort_unstable_by_key(|o| (o.truth, o.prediction));
        let voxels = overlaps.iter().map(|o| o.voxels).sum();
        Self { overlaps, voxels }
    }

    /// The truth cells of more than `min_cell_size` voxels, and the predicted cells that do not lie with more
    /// than half of their voxels in smaller ones.
    pub fn counted(&self, min_cell_size: u64) -> Counted {
        let (mut truth, mut prediction) = (BTreeMap::new(), BTreeMap::new());
        for o in &self.overlaps {
            *truth.entry(o.truth).or_default() += o.voxels;
            *prediction.entry(o.prediction).or_default() += o.voxels;
        }
        let mut ignored = BTreeMap::<u32, u64>::new();
        for o in self.overlaps.iter().filter(|o| o.truth != 0 && truth[&o.truth] <= min_cell_size) {
            *ignored.entry(o.prediction).or_default() += o.voxels;
        }
        truth.retain(|&label, size| label != 0 && *size > min_cell_size);
        prediction.retain(|label, size| {
            *label != 0 && 2 * ignored.get(label).copied().unwrap_or_default() <= *size
        });
        let counts = |o: &&Overlap| truth.contains_key(&o.truth) && prediction.contains_key(&o.prediction);
        let overlaps = self.overlaps.iter().filter(counts).copied().collect();
        Counted { truth, prediction, overlaps }
    }
}

fn count_plane(
    truth: ArrayView2<u32>,
    prediction: ArrayView2<u32>,
    left_out: Option<ArrayView2<bool>>,
    counts: &mut Counts,
) {
    let mut run = Run { pair: (0, 0), voxels: 0, counts };
    let pairs = Zip::from(truth).and(prediction);
    match left_out {
        None => pairs.for_each(|&t, &p| run.count((t, p))),
        Some(left_out) => pairs.and(left_out).for_each(|&t, &p, &left_out| {
            if !left_out {
                run.count((t, p));
            }
        }),
    }
    run.end();
}

/// Labels come in runs along x, so that one look-up serves many voxels.
struct Run<'a> {
    pair: (u32, u32),
    voxels: u64,
    counts: &'a mut Counts,
}

impl Run<'_> {
    #[inline]
    fn count(&mut self, pair: (u32, u32)) {
        if self.pair != pair {
            self.end();
            self.pair = pair;
        }
        self.voxels += 1;
    }

    fn end(&mut self) {
        if self.voxels > 0 {
            *self.counts.entry(self.pair).or_default() += self.voxels;
            self.voxels = 0;
        }
    }
}

fn add(a: Counts, b: Counts) -> Counts {
    let (mut larger, smaller) = if a.len() < b.len() { (b, a) } else { (a, b) };
    for (pair, voxels) in smaller {
        *larger.entry(pair).or_default() += voxels;
    }
    larger
}

/// The adapted Rand error and its two parts.
#[derive(Clone, Copy, Debug)]
pub struct Rand {
    /// 1 - F score.
    pub error: f64,
    /// Falls where cells run together.
    pub precision: f64,
    /// Falls where cells are cut.
    pub recall: f64,
}

/// The adapted Rand error of the SNEMI3D challenge, as the authors use it (`func/ARE.py`): voxels that the
/// truth calls background do not count, and each voxel that the prediction calls background is a cell of its own.
pub fn adapted_rand(table: &Contingency) -> Rand {
    let (mut truth, mut prediction) = (HashMap::<u32, u64>::new(), HashMap::<u32, u64>::new());
    let (mut joint, mut lost) = (0.0, 0);
    for o in table.overlaps.iter().filter(|o| o.truth != 0) {
        *truth.entry(o.truth).or_default() += o.voxels;
        if o.prediction == 0 {
            lost += o.voxels;
        } else {
            *prediction.entry(o.prediction).or_default() += o.voxels;
            joint += square(o.voxels);
        }
    }
    let lost = lost as f64 / table.voxels as f64;
    let precision = ratio(joint + lost, sum_of_squares(&prediction) + lost);
    let recall = ratio(joint + lost, sum_of_squares(&truth));
    Rand { error: 1.0 - ratio(2.0 * precision * recall, precision + recall), precision, recall }
}

/// Squares of voxel counts are integers below 2^53 for every cell of less than 94 million voxels: these sums
/// then do not depend on the order.
fn sum_of_squares(sizes: &HashMap<u32, u64>) -> f64 {
    sizes.values().map(|&size| u128::from(size) * u128::from(size)).sum::<u128>() as f64
}

fn square(voxels: u64) -> f64 {
    voxels as f64 * voxels as f64
}

fn ratio(numerator: f64, denominator: f64) -> f64 {
    if denominator == 0.0 { 0.0 } else { numerator / denominator }
}

/// The variation of information in its two directions, in bits.
#[derive(Clone, Copy, Debug)]
pub struct Voi {
    /// H(prediction | truth).
    pub split: f64,
    /// H(truth | prediction).
    pub merge: f64,
}

/// The variation of information over the voxels that both call a cell; both 0 where there is no such voxel.
pub fn variation_of_information(table: &Contingency) -> Voi {
    let both = || table.overlaps.iter().filter(|o| o.truth != 0 && o.prediction != 0);
    let (mut truth, mut prediction) = (HashMap::<u32, u64>::new(), HashMap::<u32, u64>::new());
    for o in both() {
        *truth.entry(o.truth).or_default() += o.voxels;
        *prediction.entry(o.prediction).or_default() += o.voxels;
    }
    let total = both().map(|o| o.voxels).sum::<u64>() as f64;
    let entropy = |sizes: &HashMap<u32, u64>, of: fn(&Overlap) -> u32| -> f64 {
        both().map(|o| o.voxels as f64 / total * (sizes[&of(o)] as f64 / o.voxels as f64).log2()).sum()
    };
    Voi { split: entropy(&truth, |o| o.truth), merge: entropy(&prediction, |o| o.prediction) }
}

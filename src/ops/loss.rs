//! The loss of 3DCellSeg (paper, equations 5 to 9; the authors' `func/loss_func.py`).
//!
//! One term over a set of classes, with `p` the probability, `g` the one-hot truth, `w` the weight, each sum
//! over all voxels of the batch and all classes of the term:
//!
//! ```text
//! dice(q) = 1 - (2 sum q g w + 1) / (sum q^2 + sum g^2 + 1)        q = p,  p / (p + alpha)  or  p^2
//! ```
//!
//! The loss is the term of background and membrane together with `q = p`, plus the term of foreground with
//! `q = p / (p + alpha)`. A share of cross entropy, `-mean(ln p)` of the true class, can be added: it is not the
//! paper's, but gives a gradient where Dice gives none. Shapes: probabilities and gradient `[k][3]` (classes last), truth and weight `[k]`,
//! with `k` the voxels of the whole batch. Sums are f64 over fixed chunks added in order, so that the result
//! does not depend on the threads. Voxels of class [`NOT_COUNTED`] are in no sum and no mean, and their gradient is 0: loss
//! and gradient are those of the other voxels alone. Cost: some 20 operations and 40 bytes a voxel.
use std::ops::Range;

use rayon::prelude::*;

/// Number of classes: background 0, membrane 1, foreground 2.
pub const CLASSES: usize = 3;

/// Stands for the class of a voxel that is left out.
pub const NOT_COUNTED: u8 = 255;

/// `alpha` of `p / (p + alpha)` (the authors' `delta`).
pub const ALPHA: f64 = 0.1;

/// Added to numerator and denominator: the authors' `smooth`, which the paper leaves out.
const SMOOTH: f64 = 1.0;

/// What a voxel weighs in the classes that it does not belong to (the authors' weight maps). It acts in
/// [`Weighting::Everywhere`] alone: in the intersection it multiplies a zero.
const FOREIGN_WEIGHT: f64 = 0.5;

/// Least probability that the cross entropy tells from zero.
const LEAST: f64 = 1e-7;

/// Voxels whose partial sums one thread forms.
const CHUNK: usize = 4096;

/// The truth of a batch.
#[derive(Clone, Copy)]
pub struct Truth<'a> {
    /// The class of each voxel, or [`NOT_COUNTED`], `[k]`.
    pub class: &'a [u8],
    /// The weight of each voxel in its own class, `[k]`.
    pub weight: &'a [f32],
}

/// The score `q` of a probability `p`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Score {
    /// `q = p` (`dice_loss_org`).
    Probability,
    /// `q = p / (p + alpha)` (`dice_loss_II`).
    Ratio,
    /// `q = p^2` (`dice_loss_III`).
    Square,
}

/// Where the weights act.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Weighting {
    /// Nowhere.
    None,
    /// In the intersection `sum q g w` only.
    Intersection,
    /// In all three sums (`dice_loss_III_weights`).
    Everywhere,
}

/// One Dice term.
#[derive(Clone, Debug)]
pub struct Term {
    /// The classes whose voxels are summed together.
    pub classes: Range<usize>,
    /// The score of a probability.
    pub score: Score,
    /// Where the weights act.
    pub weighting: Weighting,
}

/// Which of the four losses of the paper's Table 4.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Variant {
    /// Weights and `p / (p + alpha)`: the loss of 3DCellSeg.
    WeightedRatio,
    /// Weights, `q = p` for the foreground too.
    Weighted,
    /// `p / (p + alpha)` without weights.
    Ratio,
    /// Neither: plain Dice.
    Plain,
}

impl Variant {
    /// The two terms: background with membrane, and foreground.
    pub fn terms(self) -> [Term; 2] {
        let weighting = match self {
            Variant::WeightedRatio | Variant::Weighted => Weighting::Intersection,
            Variant::Ratio | Variant::Plain => Weighting::None,
        };
        let foreground = match self {
            Variant::WeightedRatio | Variant::Ratio => Score::Ratio,
            Variant::Weighted | Variant::Plain => Score::Probability,
        };
        [
            Term { classes: 0..2, score: Score::Probability, weighting },
            Term { classes: 2..3, score: foreground, weighting },
        ]
    }
}

impl Score {
    /// `q` and `dq/dp`.
    fn of(self, p: f64) -> (f64, f64) {
        match self {
            Score::Probability => (p, 1.0),
            Score::Ratio => (p / (p + ALPHA), ALPHA / ((p + ALPHA) * (p + ALPHA))),
            Score::Square => (p * p, 2.0 * p),
        }
    }
}

/// The three sums of a term.
#[derive(Clone, Copy, Default)]
struct Sums {
    intersection: f64,
    predicted: f64,
    truth: f64,
}

impl std::ops::Add for Sums {
    type Output = Sums;

    fn add(self, other: Sums) -> Sums {
        Sums {
            intersection: self.intersection + other.intersection,
            predicted: self.predicted + other.predicted,
            truth: self.truth + other.truth,
        }
    }
}

impl Term {
    /// The factors of the intersection and of the denominator for a voxel's probability of `class`:
    /// `(g w, w)` with `g` and `w` as this term's weighting has them.
    fn factors(&self, class: usize, own: u8, weight: f32) -> (f64, f64) {
        let member = usize::from(own) == class;
        let weight = f64::from(weight);
        match (self.weighting, member) {
            (Weighting::None, true) => (1.0, 1.0),
            (Weighting::Intersection, true) => (weight, 1.0),
            (Weighting::Everywhere, true) => (weight, weight),
            (Weighting::Everywhere, false) => (0.0, FOREIGN_WEIGHT),
            (_, false) => (0.0, 1.0),
        }
    }

    fn sums(&self, probabilities: &[f32], truth: Truth) -> Sums {
        let mut sums = Sums::default();
        let voxels = probabilities.chunks_exact(CLASSES).zip(truth.class).zip(truth.weight);
        for ((p, &own), &weight) in voxels.filter(|((_, own), _)| **own != NOT_COUNTED) {
            for class in self.classes.clone() {
                let (in_intersection, in_denominator) = self.factors(class, own, weight);
                let (q, _) = self.score.of(f64::from(p[class]));
                sums.intersection += q * in_intersection;
                sums.predicted += q * q * in_denominator;
                sums.truth += if usize::from(own) == class { in_denominator } else { 0.0 };
            }
        }
        sums
    }

    /// The term's value; its gradient with respect to the probabilities is added to `gradient`.
    ///
    /// `probabilities` and `gradient` are `[k][3]`.
    pub fn add(&self, probabilities: &[f32], truth: Truth, gradient: &mut [f32]) -> f64 {
        let parts: Vec<Sums> = chunks(probabilities, truth).map(|(p, truth)| self.sums(p, truth)).collect();
        let sums = parts.into_iter().fold(Sums::default(), |sum, part| sum + part);
        let numerator = 2.0 * sums.intersection + SMOOTH;
        let denominator = sums.predicted + sums.truth + SMOOTH;
        let by_intersection = -2.0 / denominator;
        let by_predicted = numerator / (denominator * denominator);

        chunks(probabilities, truth).zip(gradient.par_chunks_mut(CHUNK * CLASSES)).for_each(
            |((p, truth), gradient)| self.add_gradient(p, truth, by_intersection, by_predicted, gradient),
        );
        1.0 - numerator / denominator
    }

    /// Adds `(by_intersection d(sum q g w) + by_predicted d(sum q^2)) / dp` to `gradient`.
    fn add_gradient(
        &self,
        probabilities: &[f32],
        truth: Truth,
        by_intersection: f64,
        by_predicted: f64,
        gradient: &mut [f32],
    ) {
        let voxels = probabilities.chunks_exact(CLASSES).zip(gradient.chunks_exact_mut(CLASSES));
        let voxels = voxels.zip(truth.class).zip(truth.weight);
        for (((p, dp), &own), &weight) in voxels.filter(|((_, own), _)| **own != NOT_COUNTED) {
            for class in self.classes.clone() {
                let (in_intersection, in_denominator) = self.factors(class, own, weight);
                let (q, dq) = self.score.of(f64::from(p[class]));
                let by_q = by_intersection * in_intersection + by_predicted * 2.0 * q * in_denominator;
                dp[class] += (by_q * dq) as f32;
            }
        }
    }
}

/// The batch in chunks of [`CHUNK`] voxels: probabilities and truth.
fn chunks<'a>(
    probabilities: &'a [f32],
    truth: Truth<'a>,
) -> impl IndexedParallelIterator<Item = (&'a [f32], Truth<'a>)> {
    assert_eq!(probabilities.len(), truth.class.len() * CLASSES, "three probabilities a voxel");
    assert_eq!(truth.weight.len(), truth.class.len(), "one weight a voxel");
    let truths = truth.class.par_chunks(CHUNK).zip(truth.weight.par_chunks(CHUNK));
    probabilities.par_chunks(CHUNK * CLASSES).zip(truths.map(|(class, weight)| Truth { class, weight }))
}

/// Adds `factor` times the gradient of the cross entropy to `gradient`; returns `factor` times the cross entropy.
///
/// Probabilities below [`LEAST`] count as that, so that value and gradient stay finite.
fn add_cross_entropy(factor: f64, probabilities: &[f32], truth: Truth, gradient: &mut [f32]) -> f64 {
    let counted = truth.class.par_iter().filter(|&&own| own != NOT_COUNTED).count();
    let factor = factor / counted.max(1) as f64;
    let parts: Vec<f64> = chunks(probabilities, truth)
        .zip(gradient.par_chunks_mut(CHUNK * CLASSES))
        .map(|((probabilities, truth), gradient)| {
            let mut sum = 0.0;
            for (k, &own) in truth.class.iter().enumerate().filter(|(_, own)| **own != NOT_COUNTED) {
                let at = k * CLASSES + usize::from(own);
                let p = f64::from(probabilities[at]).max(LEAST);
                sum -= p.ln();
                gradient[at] -= (factor / p) as f32;
            }
            sum
        })
        .collect();
    factor * parts.iter().sum::<f64>()
}

/// The whole loss: one of the paper's variants, and a share of cross entropy.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Loss {
    /// `weighted-ratio` (the paper's, default), `weighted`, `ratio` or `plain` (its Table 4).
    pub variant: Variant,
    /// Factor of the cross entropy that is added. Default 0: none, as in the paper.
    pub cross_entropy: f64,
}

impl Default for Loss {
    fn default() -> Self {
        Loss { variant: Variant::WeightedRatio, cross_entropy: 0.0 }
    }
}

impl Loss {
    /// The loss of a batch; `gradient` (`[k][3]`) becomes its gradient with respect to the probabilities.
    ///
    /// # Panics
    /// Where the lengths disagree.
    pub fn of(&self, probabilities: &[f32], truth: Truth, gradient: &mut [f32]) -> f64 {
        assert_eq!(gradient.len(), probabilities.len(), "one gradient a probability");
        gradient.par_iter_mut().for_each(|g| *g = 0.0);
        let mut value = 0.0;
        for term in self.variant.terms() {
            value += term.add(probabilities, truth, gradient);
        }
        if self.cross_entropy > 0.0 {
            value += add_cross_entropy(self.cross_entropy, probabilities, truth, gradient);
        }
        value
    }

    /// What makes no sense, if anything.
    pub fn check(&self) -> Result<(), String> {
        if !(self.cross_entropy.is_finite() && self.cross_entropy >= 0.0) {
            return Err(format!("loss.cross_entropy = {}", self.cross_entropy));
        }
        Ok(())
    }
}

//! The loss and its gradient: the authors' values, f64 central differences, threads.
use ndarray::ArrayD;
use proptest::prelude::*;
use tascan::ops::loss::{CLASSES, Loss, NOT_COUNTED, Score, Term, Truth, Variant, Weighting};

use crate::compare::{assert_close, assert_relative};
use crate::oracle;

/// Inputs of the authors' losses, classes last.
struct Reference {
    file: std::path::PathBuf,
    probabilities: Vec<f32>,
    class: Vec<u8>,
    weight: Vec<f32>,
}

/// `[n, c, z, y, x]` to classes last.
pub fn classes_last<T: Clone>(array: ArrayD<T>) -> Vec<T> {
    array.permuted_axes(vec![0, 2, 3, 4, 1]).iter().cloned().collect()
}

/// The class and the weight in that class of every voxel, from the authors' maps per class.
pub fn truth_of(target: ArrayD<u8>, weights: ArrayD<f32>) -> (Vec<u8>, Vec<f32>) {
    let (target, weights) = (classes_last(target), classes_last(weights));
    let class = |one_hot: &[u8]| one_hot.iter().position(|&g| g == 1).expect("each voxel has a class");
    let classes: Vec<usize> = target.chunks(CLASSES).map(class).collect();
    let weight = weights.chunks(CLASSES).zip(&classes).map(|(w, &class)| w[class]).collect();
    (classes.iter().map(|&class| class as u8).collect(), weight)
}

impl Reference {
    fn read() -> Option<Self> {
        let file = oracle::shared("oracle/loss/losses.npz")?;
        let (class, weight) = truth_of(oracle::array(&file, "target"), oracle::array(&file, "weights"));
        let probabilities = classes_last(oracle::array(&file, "prob"));
        Some(Reference { file, probabilities, class, weight })
    }

    fn truth(&self) -> Truth<'_> {
        Truth { class: &self.class, weight: &self.weight }
    }

    fn gradient(&self, name: &str) -> Vec<f32> {
        classes_last(oracle::array(&self.file, name))
    }

    fn scalar(&self, name: &str) -> f64 {
        f64::from(*oracle::array::<f32>(&self.file, name).first().unwrap())
    }
}

#[test]
fn every_term_equals_the_authors() {
    let Some(reference) = Reference::read() else { return };
    let terms = [
        ("org", Score::Probability, Weighting::None),
        ("org_weights", Score::Probability, Weighting::Intersection),
        ("II", Score::Ratio, Weighting::None),
        ("II_weights", Score::Ratio, Weighting::Intersection),
        ("III", Score::Square, Weighting::None),
        ("III_weights", Score::Square, Weighting::Everywhere),
    ];
    for (name, score, weighting) in terms {
        let term = Term { classes: 0..CLASSES, score, weighting };
        let mut gradient = vec![0.0; reference.probabilities.len()];
        let value = term.add(&reference.probabilities, reference.truth(), &mut gradient);
        assert_relative(value, reference.scalar(&format!("dice_loss_{name}_loss")), 2e-7);
        // Gradients reach 3e-3; their f32 rounding stays below 1e-9.
        assert_close(&gradient, &reference.gradient(&format!("dice_loss_{name}_dprob")), 1e-9);
    }
}

#[test]
fn the_loss_of_the_paper_equals_the_authors_in_f64() {
    let Some(reference) = Reference::read() else { return };
    let mut gradient = vec![f32::NAN; reference.probabilities.len()];
    let value = Loss::default().of(&reference.probabilities, reference.truth(), &mut gradient);
    let expected = *oracle::array::<f64>(&reference.file, "combined_f64_loss").first().unwrap();
    assert_relative(value, expected, 1e-7);
    let expected = classes_last(oracle::array::<f64>(&reference.file, "combined_f64_dprob"));
    let expected: Vec<f32> = expected.into_iter().map(|g| g as f32).collect();
    assert_close(&gradient, &expected, 1e-9);
}

#[test]
fn through_the_softmax_the_gradient_equals_the_authors() {
    let Some(reference) = Reference::read() else { return };
    let mut gradient = vec![0.0; reference.probabilities.len()];
    Loss::default().of(&reference.probabilities, reference.truth(), &mut gradient);
    for (dp, p) in gradient.chunks_mut(CLASSES).zip(reference.probabilities.chunks(CLASSES)) {
        let mean: f32 = dp.iter().zip(p).map(|(dp, p)| dp * p).sum();
        dp.iter_mut().zip(p).for_each(|(dp, p)| *dp = p * (*dp - mean));
    }
    assert_close(&gradient, &reference.gradient("combined_train_HMS_dlogits"), 1e-9);
}

#[test]
fn a_probability_of_zero_leaves_the_cross_entropy_finite() {
    let loss = Loss { variant: Variant::Plain, cross_entropy: 1.0 };
    let mut gradient = [f32::NAN; 3];
    let value = loss.of(&[0.0, 1.0, 0.0], Truth { class: &[0], weight: &[1.0] }, &mut gradient);
    assert!(value.is_finite() && gradient.iter().all(|g| g.is_finite()), "{value} {gradient:?}");
}

#[test]
fn nothing_depends_on_the_threads() {
    let voxels = 20_000;
    let p: Vec<f32> = (0..voxels * CLASSES).map(|i| (i * 7919 % 1000) as f32 / 1000.0).collect();
    let class: Vec<u8> = (0..voxels).map(|i| (i * 31 % 7 % 3) as u8).collect();
    let weight: Vec<f32> = (0..voxels).map(|i| 0.1 + (i % 10) as f32 / 10.0).collect();
    let with_threads = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mut gradient = vec![0.0; p.len()];
        let truth = Truth { class: &class, weight: &weight };
        let loss = Loss { cross_entropy: 0.3, ..Loss::default() };
        (pool.install(|| loss.of(&p, truth, &mut gradient)), gradient)
    };
    assert_eq!(with_threads(1), with_threads(5));
}

/// The loss of one voxel list in plain f64, straight from the paper's equations.
fn naive(Loss { variant, cross_entropy }: Loss, p: &[f64], class: &[u8], weight: &[f32]) -> f64 {
    let weighted = matches!(variant, Variant::WeightedRatio | Variant::Weighted);
    let ratio = matches!(variant, Variant::WeightedRatio | Variant::Ratio);
    let mut sums = [[0.0f64; 3]; 2];
    let mut entropy = 0.0;
    for (k, p) in p.chunks(CLASSES).enumerate() {
        for (c, &p) in p.iter().enumerate() {
            let term = usize::from(c == 2);
            let q = if ratio && c == 2 { p / (p + 0.1) } else { p };
            let g = f64::from(u8::from(usize::from(class[k]) == c));
            let w = if weighted { f64::from(weight[k]) } else { 1.0 };
            sums[term][0] += 2.0 * q * g * w;
            sums[term][1] += q * q;
            sums[term][2] += g;
            entropy -= g * p.ln() / class.len() as f64;
        }
    }
    let dice: f64 = sums.iter().map(|[both, q2, g2]| 1.0 - (both + 1.0) / (q2 + g2 + 1.0)).sum();
    dice + cross_entropy * entropy
}

fn variants() -> impl Strategy<Value = Variant> {
    prop_oneof![
        Just(Variant::WeightedRatio),
        Just(Variant::Weighted),
        Just(Variant::Ratio),
        Just(Variant::Plain)
    ]
}

/// A loss and the gradient of some voxels.
pub type Differentiated = (f64, Vec<f32>);

/// The same of all voxels where those that count gave `alone`: nothing at the others.
pub fn spread((value, alone): Differentiated, class: &[u8]) -> Differentiated {
    let mut alone = alone.into_iter();
    let mut of_voxel = |&class: &u8| match class {
        NOT_COUNTED => [0.0; CLASSES],
        _ => std::array::from_fn(|_| alone.next().unwrap()),
    };
    (value, class.iter().flat_map(&mut of_voxel).collect())
}

/// Of `values` voxels with so many values each, those that count.
pub fn counted<T: Copy>(values: &[T], each: usize, class: &[u8]) -> Vec<T> {
    let voxels = values.chunks(each).zip(class).filter(|(_, class)| **class != NOT_COUNTED);
    voxels.flat_map(|(values, _)| values).copied().collect()
}

#[test]
fn without_a_voxel_that_counts_there_is_neither_loss_nor_gradient() {
    let loss = Loss { cross_entropy: 0.5, ..Loss::default() };
    let mut gradient = [f32::NAN; 6];
    let truth = Truth { class: &[NOT_COUNTED; 2], weight: &[1.0; 2] };
    assert_eq!(loss.of(&[0.2, 0.3, 0.5, 0.0, 0.0, 1.0], truth, &mut gradient), 0.0);
    assert_eq!(gradient, [0.0; 6]);
}

/// More voxels than a chunk has, a third of them left out.
#[test]
fn chunks_with_voxels_left_out_give_the_loss_of_the_others() {
    let voxels = 10_000;
    let p: Vec<f32> = (0..voxels * CLASSES).map(|i| (1 + i * 7919 % 997) as f32 / 1000.0).collect();
    let class: Vec<u8> = (0..voxels).map(|i| [0, 1, 2, NOT_COUNTED][i * 31 % 7 % 4]).collect();
    let weight: Vec<f32> = (0..voxels).map(|i| 0.1 + (i % 10) as f32 / 10.0).collect();
    let loss = Loss { cross_entropy: 0.3, ..Loss::default() };
    let mut gradient = vec![f32::NAN; p.len()];
    let value = loss.of(&p, Truth { class: &class, weight: &weight }, &mut gradient);
    let [alone, own] = [counted(&p, CLASSES, &class), counted(&weight, 1, &class)];
    let counts = counted(&class, 1, &class);
    let mut of_others = vec![f32::NAN; alone.len()];
    let expected = loss.of(&alone, Truth { class: &counts, weight: &own }, &mut of_others);
    let (expected, expected_gradient) = spread((expected, of_others), &class);
    // Sums over other chunks are rounded otherwise.
    assert_relative(value, expected, 1e-12);
    assert_close(&gradient, &expected_gradient, 1e-9);
}

/// Probabilities, classes and weights of voxels, each by themselves.
fn apart(voxels: &[([f32; CLASSES], u8, f32)]) -> (Vec<f32>, Vec<u8>, Vec<f32>) {
    let probabilities = voxels.iter().flat_map(|(p, ..)| *p).collect();
    let classes = voxels.iter().map(|&(_, class, _)| class).collect();
    (probabilities, classes, voxels.iter().map(|&(.., weight)| weight).collect())
}

proptest! {
    #[test]
    fn voxels_left_out_have_no_part_in_the_loss(
        variant in variants(),
        cross_entropy in prop_oneof![Just(0.0), 0.01f64..1.0],
        voxels in prop::collection::vec(
            (prop::array::uniform3(0.05f32..1.0), prop_oneof![0u8..3, Just(NOT_COUNTED)], 0.1f32..3.0), 1..40
        ),
    ) {
        let (p, class, weight) = apart(&voxels);
        let mut gradient = vec![f32::NAN; p.len()];
        let loss = Loss { variant, cross_entropy };
        let value = loss.of(&p, Truth { class: &class, weight: &weight }, &mut gradient);

        let wide: Vec<f64> = counted(&p, CLASSES, &class).into_iter().map(f64::from).collect();
        let (counts, own) = (counted(&class, 1, &class), counted(&weight, 1, &class));
        assert_relative(value, naive(loss, &wide, &counts, &own), 1e-12);
        let difference = |i: usize| {
            let at = |shift: f64| {
                let mut shifted = wide.clone();
                shifted[i] += shift;
                naive(loss, &shifted, &counts, &own)
            };
            ((at(1e-6) - at(-1e-6)) / 2e-6) as f32
        };
        let differences = (0..wide.len()).map(difference).collect();
        assert_close(&gradient, &spread((value, differences), &class).1, 1e-5);
    }

    #[test]
    fn gradients_are_central_differences(
        variant in variants(),
        cross_entropy in prop_oneof![Just(0.0), 0.01f64..1.0],
        voxels in prop::collection::vec((prop::array::uniform3(0.05f32..1.0), 0u8..3, 0.1f32..3.0), 1..40),
    ) {
        let (p, class, weight) = apart(&voxels);
        let mut gradient = vec![f32::NAN; p.len()];
        let loss = Loss { variant, cross_entropy };
        let value = loss.of(&p, Truth { class: &class, weight: &weight }, &mut gradient);

        let wide: Vec<f64> = p.iter().map(|&p| f64::from(p)).collect();
        assert_relative(value, naive(loss, &wide, &class, &weight), 1e-12);
        let step = 1e-6;
        let differences: Vec<f32> = (0..p.len()).map(|i| {
            let at = |shift: f64| {
                let mut shifted = wide.clone();
                shifted[i] += shift;
                naive(loss, &shifted, &class, &weight)
            };
            ((at(step) - at(-step)) / (2.0 * step)) as f32
        }).collect();
        // Gradients reach 30 here; the differences carry an error of step^2 and f32 rounding.
        assert_close(&gradient, &differences, 1e-5);
    }
}

//! Scores against the authors' numbers, against their definitions written out, and on cases worked by hand.
use std::collections::BTreeSet;

use ndarray::{Array3, Axis, Ix3, array, concatenate, s};
use proptest::prelude::*;
use tascan::metrics::matching::Matching;
use tascan::metrics::{Options, Scores};

use crate::compare::assert_close_f64;
use crate::oracle;

const ONE_TO_ONE: Options = Options { matching: Matching::OneToOne, min_cell_size: 0 };
const BEST_IOU: Options = Options { matching: Matching::BestIou, min_cell_size: 0 };

/// A truth and the named predictions that the authors' code was run on beside it.
type Cases = (Array3<u32>, Vec<(String, Array3<u32>)>);

fn cases(name: &str) -> Option<Cases> {
    let file = oracle::shared(&format!("oracle/stage2/stage2_{name}.npz"))?;
    let read =
        |what: &str| oracle::array::<u16>(&file, what).into_dimensionality::<Ix3>().unwrap().mapv(u32::from);
    let truth = read("gt");
    let last = truth.slice(s![-1.., .., ..]);
    let shifted = concatenate(Axis(0), &[last, truth.slice(s![..-1, .., ..])]).unwrap();
    let predictions = [
        ("final", read("final")),
        ("identity", truth.clone()),
        ("tascan", read("tascan")),
        ("shifted1", shifted),
    ];
    let named = predictions.map(|(pair, labels)| (format!("{name}/{pair}"), labels));
    Some((truth, named.into()))
}

fn reference() -> Option<serde_json::Value> {
    let file = oracle::shared("oracle/metrics/metrics_s64_s96.json")?;
    Some(serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap())
}

fn check_against_authors(name: &str) {
    let (Some(reference), Some((truth, predictions))) = (reference(), cases(name)) else { return };
    for (pair, prediction) in predictions {
        let one = Scores::compare(prediction.view(), truth.view(), &ONE_TO_ONE).unwrap();
        let best = Scores::compare(prediction.view(), truth.view(), &BEST_IOU).unwrap();
        let expected = |pointer: &str| reference[&pair].pointer(pointer).unwrap().as_f64().unwrap();

        assert_close_f64(best.mean_ji, expected("/exact_II/mean_iou"), 1e-12);
        assert_close_f64(best.mean_dsc, expected("/exact_II/mean_dice"), 1e-12);
        assert_close_f64(best.ji_above_70, expected("/exact_II/iou70"), 1e-12);
        assert_close_f64(best.ji_above_50, expected("/exact_II/iou50"), 1e-12);
        assert_close_f64(one.voi_split, expected("/VOI_split_merge/0"), 1e-9);
        assert_close_f64(one.voi_merge, expected("/VOI_split_merge/1"), 1e-9);
        assert_close_f64(one.adapted_rand_error, expected("/adapted_rand_ref(are,prec,rec)/0"), 1e-9);
        assert_close_f64(one.rand_precision, expected("/adapted_rand_ref(are,prec,rec)/1"), 1e-9);
        assert_close_f64(one.rand_recall, expected("/adapted_rand_ref(are,prec,rec)/2"), 1e-9);
        // The authors' one-to-one numbers exist only as their bounding boxes make them: without the last plane, and
        // a cell whose partners are gone uses up a prediction of its box that it does not touch. Worst: 0.0162.
        assert_close_f64(one.mean_ji, expected("/cal_accuracy/mean_iou"), 0.02);
        assert_close_f64(one.mean_dsc, expected("/cal_accuracy/mean_dice"), 0.02);
        assert_eq!(one.truth_cells as f64, expected("/cal_accuracy/n"));
    }
}

#[test]
fn scores_equal_the_authors_on_50_cells() {
    check_against_authors("s64");
}

#[test]
fn scores_equal_the_authors_on_260_cells() {
    check_against_authors("s96");
}

/// Truth 1 is cut in two (8 + 4 voxels), 2 is found but for one voxel, 3 is missed; prediction 9 is false.
fn worked_example() -> (Array3<u32>, Array3<u32>) {
    let truth = array![[[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1], [2, 2, 2, 2, 2, 0, 0, 0, 3, 3, 0, 0],]];
    let prediction = array![[[4, 4, 4, 4, 4, 4, 4, 4, 5, 5, 5, 5], [6, 6, 6, 6, 0, 0, 9, 9, 0, 0, 0, 0],]];
    (prediction, truth)
}

#[test]
fn worked_example_has_the_scores_of_the_definitions() {
    let (prediction, truth) = worked_example();
    let scores = Scores::compare(prediction.view(), truth.view(), &ONE_TO_ONE).unwrap();
    let ji = [8.0 / 12.0, 4.0 / 5.0, 0.0];
    let dsc = [16.0 / 20.0, 8.0 / 9.0, 0.0];
    assert_close_f64(scores.mean_ji, ji.iter().sum::<f64>() / 3.0, 1e-15);
    assert_close_f64(scores.mean_dsc, dsc.iter().sum::<f64>() / 3.0, 1e-15);
    assert_eq!((scores.truth_cells, scores.predicted_cells), (3, 4));
    assert_eq!((scores.missed_cells, scores.false_cells, scores.unmatched_cells), (1, 2, 1));
    let precision: Vec<_> = scores.detection.iter().map(|d| d.average_precision).collect();
    assert_eq!(precision, [2.0 / 5.0, 2.0 / 5.0, 1.0 / 6.0, 1.0 / 6.0, 0.0]);
    // Only cell 1 is cut: 12 of the 16 voxels that both label carry the entropy of (2/3, 1/3).
    let entropy = (2.0 * 1.5f64.log2() + 3f64.log2()) / 3.0;
    assert_close_f64(scores.voi_split, 0.75 * entropy, 1e-12);
    assert_close_f64(scores.voi_merge, 0.0, 1e-15);
    // Pairs: truth 144 + 25 + 4, prediction 64 + 16 + 16, all of these shared; 3 of 24 voxels are lost.
    assert_close_f64(scores.rand_precision, 1.0, 1e-15);
    assert_close_f64(scores.rand_recall, (96.0 + 3.0 / 24.0) / 173.0, 1e-15);
}

#[test]
fn small_truth_cells_are_left_out_with_what_covers_them() {
    let (mut prediction, truth) = worked_example();
    prediction[[0, 1, 8]] = 7;
    let options = Options { min_cell_size: 2, ..ONE_TO_ONE };
    let scores = Scores::compare(prediction.view(), truth.view(), &options).unwrap();
    assert_eq!((scores.truth_cells, scores.predicted_cells), (2, 4));
    assert_eq!((scores.missed_cells, scores.false_cells), (0, 2));
    assert_close_f64(scores.mean_ji, (8.0 / 12.0 + 4.0 / 5.0) / 2.0, 1e-15);
}

#[test]
fn one_prediction_serves_one_truth_cell_or_both() {
    let truth = array![[[1, 1, 1, 2, 2, 0]]];
    let prediction = array![[[5, 5, 5, 5, 5, 0]]];
    let one = Scores::compare(prediction.view(), truth.view(), &ONE_TO_ONE).unwrap();
    let best = Scores::compare(prediction.view(), truth.view(), &BEST_IOU).unwrap();
    assert_close_f64(one.mean_ji, 0.6 / 2.0, 1e-15);
    assert_close_f64(best.mean_ji, (0.6 + 0.4) / 2.0, 1e-15);
    assert_eq!((one.unmatched_cells, best.unmatched_cells), (1, 0));
}

#[test]
fn empty_prediction_scores_nothing_and_is_no_error() {
    let truth = array![[[1, 1, 0, 2]]];
    let scores = Scores::compare(Array3::zeros((1, 1, 4)).view(), truth.view(), &ONE_TO_ONE).unwrap();
    assert_eq!((scores.mean_ji, scores.missed_cells, scores.false_cells), (0.0, 2, 0));
    assert!(scores.adapted_rand_error > 0.5 && scores.adapted_rand_error <= 1.0);
    assert_eq!((scores.voi_split, scores.voi_merge), (0.0, 0.0));
}

#[test]
fn unlike_shapes_and_an_empty_truth_are_errors_that_say_so() {
    let (a, b) = (Array3::<u32>::ones((2, 3, 4)), Array3::<u32>::ones((2, 3, 5)));
    let message = Scores::compare(a.view(), b.view(), &ONE_TO_ONE).unwrap_err().to_string();
    assert!(message.contains("[2, 3, 4]") && message.contains("[2, 3, 5]"), "{message}");
    let none = Array3::<u32>::zeros((2, 3, 4));
    let message = Scores::compare(a.view(), none.view(), &ONE_TO_ONE).unwrap_err().to_string();
    assert!(message.contains("no cell"), "{message}");
}

/// The definition of the one-to-one matching with one loop over the voxels for each pair of cells.
fn naive_one_to_one(prediction: &Array3<u32>, truth: &Array3<u32>) -> f64 {
    let labels = |of: &Array3<u32>| of.iter().copied().filter(|&l| l != 0).collect::<BTreeSet<_>>();
    let count = |t: Option<u32>, p: Option<u32>| {
        let is = |want: Option<u32>, label: u32| want.is_none_or(|want| want == label);
        truth.iter().zip(prediction).filter(|&(&a, &b)| is(t, a) && is(p, b)).count() as f64
    };
    let predictions = labels(prediction);
    let ji = |t, p| {
        let both = count(Some(t), Some(p));
        both / (count(Some(t), None) + count(None, Some(p)) - both)
    };
    let best = |t| predictions.iter().map(|&p| ji(t, p)).fold(0.0, f64::max);
    let mut order: Vec<_> = labels(truth).into_iter().map(|t| (t, best(t))).collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1));
    let (mut free, mut sum) = (predictions.clone(), 0.0);
    for &(t, _) in &order {
        let mut chosen = (0.0, None);
        for &p in &free {
            let score = ji(t, p);
            if score > chosen.0 {
                chosen = (score, Some(p));
            }
        }
        sum += chosen.0;
        chosen.1.map(|p| free.remove(&p));
    }
    sum / order.len() as f64
}

proptest! {
    #[test]
    fn one_to_one_follows_its_definition(
        truth in prop::collection::vec(0u32..5, 60), prediction in prop::collection::vec(0u32..6, 60)
    ) {
        let volume = |v: Vec<u32>| Array3::from_shape_vec((3, 4, 5), v).unwrap();
        let (truth, prediction) = (volume(truth), volume(prediction));
        prop_assume!(truth.iter().any(|&l| l != 0));
        let scores = Scores::compare(prediction.view(), truth.view(), &ONE_TO_ONE).unwrap();
        prop_assert!((scores.mean_ji - naive_one_to_one(&prediction, &truth)).abs() < 1e-12);
    }

    #[test]
    fn renaming_cells_changes_no_score(
        truth in prop::collection::vec(0u32..4, 60), prediction in prop::collection::vec(0u32..4, 60)
    ) {
        let volume = |v: Vec<u32>| Array3::from_shape_vec((3, 4, 5), v).unwrap();
        let (truth, prediction) = (volume(truth), volume(prediction));
        prop_assume!(truth.iter().any(|&l| l != 0));
        let renamed = prediction.mapv(|l| if l == 0 { 0 } else { l + 70_000 });
        let before = Scores::compare(prediction.view(), truth.view(), &ONE_TO_ONE).unwrap();
        prop_assert_eq!(before, Scores::compare(renamed.view(), truth.view(), &ONE_TO_ONE).unwrap());
    }
}

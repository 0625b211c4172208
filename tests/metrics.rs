//! Scores against the authors' numbers, against their definitions written out, and on cases worked by hand.
use std::collections::BTreeSet;

use ndarray::{Array3, Axis, Ix3, array, concatenate, s};
use proptest::prelude::*;
use tascan::metrics::matching::Matching;
use tascan::metrics::{Options, Scores, pieces};
use tascan::volume::Annotation;

use crate::compare::assert_close_f64;
use crate::ops::small_volumes::{stepped, steps_26, volumes, voxels};
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

/// The volumes that the voxels which count make, one behind the other: no score depends on where voxels lie.
fn counted_alone(prediction: &Array3<u32>, truth: &Annotation) -> [Array3<u32>; 2] {
    let left_out = truth.left_out.as_ref().unwrap();
    [prediction, &truth.labels].map(|labels| {
        let kept = labels.iter().zip(left_out).filter(|(_, left_out)| !**left_out).map(|(&label, _)| label);
        let kept: Vec<u32> = kept.collect();
        Array3::from_shape_vec((1, 1, kept.len()), kept).unwrap()
    })
}

/// The adapted Rand error and the two parts of the variation of information, in loops over labels and voxels.
fn naive_rand_and_voi([prediction, truth]: &[Array3<u32>; 2]) -> [f64; 3] {
    let pairs: Vec<(u32, u32)> = truth.iter().copied().zip(prediction.iter().copied()).collect();
    let count = |fits: &dyn Fn(u32, u32) -> bool| pairs.iter().filter(|(t, p)| fits(*t, *p)).count() as f64;
    let lost = count(&|t, p| t != 0 && p == 0) / pairs.len() as f64;
    let [mut joint, mut in_truth, mut in_prediction, mut split, mut merge] = [0.0; 5];
    let both = count(&|t, p| t != 0 && p != 0);
    for a in 1..6 {
        in_truth += count(&|t, _| t == a).powi(2);
        in_prediction += count(&|t, p| t != 0 && p == a).powi(2);
        for b in 1..6 {
            let shared = count(&|t, p| (t, p) == (a, b));
            joint += shared.powi(2);
            if shared > 0.0 {
                split += shared / both * (count(&|t, p| t == a && p != 0) / shared).log2();
                merge += shared / both * (count(&|t, p| t != 0 && p == b) / shared).log2();
            }
        }
    }
    let ratio = |a: f64, b: f64| if b == 0.0 { 0.0 } else { a / b };
    let (precision, recall) = (ratio(joint + lost, in_prediction + lost), ratio(joint + lost, in_truth));
    [1.0 - ratio(2.0 * precision * recall, precision + recall), split, merge]
}

proptest! {
    #[test]
    fn scores_with_voxels_left_out_are_those_of_the_others(
        voxels in prop::collection::vec((0u32..5, 0u32..6, prop::bool::weighted(0.4)), 60),
        min_cell_size in 0u64..4,
    ) {
        let shape = (3, 4, 5);
        let left_out: Vec<bool> = voxels.iter().map(|voxel| voxel.2).collect();
        let labels = voxels.iter().map(|&(label, _, left_out)| if left_out { 0 } else { label }).collect();
        let predicted = voxels.iter().map(|&(_, label, _)| label).collect();
        let prediction = Array3::from_shape_vec(shape, predicted).unwrap();
        let truth = Annotation {
            labels: Array3::from_shape_vec(shape, labels).unwrap(),
            left_out: Some(Array3::from_shape_vec(shape, left_out.clone()).unwrap()),
        };
        let alone = counted_alone(&prediction, &truth);
        let size = |cell: u32| alone[1].iter().filter(|&&label| label == cell).count() as u64;
        prop_assume!((1..5).any(|cell| size(cell) > min_cell_size));

        let options = Options { min_cell_size, ..ONE_TO_ONE };
        let found = Scores::compare_annotated(prediction.view(), &truth, &options).unwrap();
        let share = left_out.iter().filter(|&&left_out| left_out).count() as f64 / 60.0;
        prop_assert!((found.ignored_fraction - share).abs() < 1e-15);
        if min_cell_size == 0 {
            prop_assert!((found.mean_ji - naive_one_to_one(&alone[0], &alone[1])).abs() < 1e-12);
        }
        let expected = naive_rand_and_voi(&alone);
        for (found, expected) in [found.adapted_rand_error, found.voi_split, found.voi_merge].iter().zip(expected) {
            prop_assert!((found - expected).abs() < 1e-12, "{found} is not {expected}");
        }
        // Of the volumes that consist of the other voxels no score differs.
        let expected = Scores::compare(alone[0].view(), alone[1].view(), &options).unwrap();
        prop_assert_eq!(found, Scores { ignored_fraction: share, ..expected });
    }

    #[test]
    fn pieces_of_a_mask_are_those_of_a_flood(mask in volumes(6, 0u32..4)) {
        let mask = mask.mapv(|value| if value == 0 { 7 } else { 0 });
        let (shape, mut seen, mut pieces) = (mask.dim().into(), BTreeSet::new(), 0);
        for seed in voxels(shape).filter(|&at| mask[at] != 0) {
            let mut open = vec![seed];
            pieces += usize::from(seen.insert(seed));
            while let Some(at) = open.pop() {
                let around = steps_26().filter_map(|step| stepped(at, step, shape));
                open.extend(around.filter(|&next| mask[next] != 0 && seen.insert(next)));
            }
        }
        prop_assert_eq!(pieces::of_only_label(mask.view()), (pieces > 0).then_some(pieces));
    }
}

/// Truth 1 lies in the annotated half with 3 voxels; of prediction 5 the annotated half alone counts, prediction 6 lies in
/// the other half, prediction 7 is false.
#[test]
fn cells_in_part_left_out_count_with_the_other_part() {
    let truth = Annotation {
        labels: array![[[1, 1, 1, 0, 0, 0, 0, 0, 0, 0]]],
        left_out: Some(array![[[false, false, false, false, false, true, true, true, true, true]]]),
    };
    let prediction = array![[[5, 5, 0, 7, 7, 7, 5, 5, 6, 6]]];
    let scores = Scores::compare_annotated(prediction.view(), &truth, &ONE_TO_ONE).unwrap();
    assert_eq!((scores.truth_cells, scores.predicted_cells, scores.false_cells), (1, 2, 1));
    assert_close_f64(scores.mean_ji, 2.0 / 3.0, 1e-15);
    assert_eq!(scores.ignored_fraction, 0.5);
    assert!(scores.to_string().contains("left out              0.5000 of the voxels"), "{scores}");
}

#[test]
fn nothing_that_counts_is_an_error() {
    let of = |left_out| Annotation { labels: Array3::zeros((1, 2, 3)), left_out };
    let error = |left_out| {
        let prediction = Array3::ones((1, 2, 3));
        Scores::compare_annotated(prediction.view(), &of(left_out), &ONE_TO_ONE).unwrap_err().to_string()
    };
    assert!(error(Some(Array3::from_elem((1, 2, 3), true))).contains("every voxel of the truth is left out"));
    let mut some = Array3::from_elem((1, 2, 3), true);
    some[[0, 0, 0]] = false;
    assert!(error(Some(some)).contains("no cell"));
    assert!(error(None).contains("no cell"));
}

#[test]
fn several_labels_are_no_mask() {
    assert_eq!(pieces::of_only_label(array![[[1, 0, 2]]].view()), None);
    assert_eq!(pieces::of_only_label(array![[[0, 0, 0]]].view()), None);
    assert_eq!(pieces::of_only_label(array![[[3, 0, 3]]].view()), Some(2));
}

//! Synthetic volumes as cameras and microscopes give them, and the mixture of kinds that the model learns from.
use ndarray::{Array3, Axis, s};
use tascan::synth::{self, OutlineKind, Parameters, Sample, TissueParameters};

use crate::synth::{SHAPE, pieces, plain, rendered};

#[test]
fn sideways_darkens_the_far_rows() {
    let far_over_near = |sideways| {
        let (_, raw) = rendered(|s| s.sideways = sideways);
        let mean = |rows: std::ops::Range<usize>| raw.slice(s![.., rows, ..]).mean().unwrap();
        f64::from(mean(48..64)) / f64::from(mean(0..16))
    };
    let (even, weak) = (far_over_near(0.0), far_over_near(1.0));
    // 48 of 64 rows apart: exp(-0.75) of the light is left.
    assert!((weak / even - libm::exp(-0.75)).abs() < 0.03, "{even} {weak}");
    assert!(far_over_near(-1.0) > even);
}

#[test]
fn hot_pixels_are_at_the_top_of_the_range() {
    let at_top = |hot| {
        let (_, raw) = rendered(|s| (s.hot, s.exposure) = (hot, 0.1));
        raw.iter().filter(|&&v| v == 65_535.0).count() as f64 / raw.len() as f64
    };
    assert_eq!(at_top(0.0), 0.0);
    let share = at_top(0.004);
    assert!((0.0035..=0.004).contains(&share), "{share}");
}

#[test]
fn a_dark_image_has_few_grey_values() {
    let (_, raw) = rendered(|s| (s.bits, s.exposure) = (8, 0.1));
    let mut counts = [0; 256];
    raw.iter().for_each(|&v| counts[v as usize] += 1);
    let used = counts.iter().filter(|&&n| n > 0).count();
    assert!((10..60).contains(&used), "{used} grey values");
    assert!(counts[..27].iter().sum::<usize>() as f64 >= 0.998 * raw.len() as f64);
}

#[test]
fn twelve_bits_end_at_4095() {
    let (_, raw) = rendered(|s| s.bits = 12);
    assert_eq!(raw.iter().copied().fold(0.0, f32::max), 4095.0);
}

#[test]
fn light_of_other_planes_makes_planes_alike() {
    let change = |crosstalk| {
        let (_, raw) = rendered(|s| (s.crosstalk, s.crosstalk_length, s.axial) = (crosstalk, 8.0, 1.0));
        (&raw.slice(s![1.., .., ..]) - &raw.slice(s![..-1, .., ..])).std(0.0)
    };
    assert!(change(0.0) > 1.3 * change(0.5), "{} {}", change(0.0), change(0.5));
}

/// The plain tissue with a quarter of its columns never photographed, and the same without.
fn padded(axis: [f32; 3]) -> [Sample; 2] {
    [0.25, 0.0].map(|padding| {
        let (labels, stain) = plain();
        let mut parameters = Parameters { stain, ..Parameters::default() };
        parameters.stain.padding = padding;
        parameters.stain.padding_axis = axis;
        parameters.stain.padding_value = 0.125;
        synth::finish(parameters, labels, 7)
    })
}

#[test]
fn what_was_not_photographed_has_one_grey_value_and_no_cell() {
    let [padded, whole] = padded([0.0, 0.0, 1.0]);
    let (seen, unseen) = padded.raw.view().split_at(Axis(2), 54);
    assert!(unseen.iter().all(|&v| v == 8192.0));
    assert_eq!(seen, whole.raw.slice(s![.., .., ..54]));
    let (seen, unseen) = padded.labels.view().split_at(Axis(2), 54);
    assert!(unseen.iter().all(|&label| label == 0));
    assert!(seen.iter().all(|&label| label != 0));
    assert!(pieces(&padded.labels)[1..].iter().all(|&n| n == 1));
}

#[test]
fn a_wedge_cuts_through_all_axes() {
    let [padded, whole] = padded([1.0, 1.0, -1.0]);
    let hidden = |at: [usize; 3]| padded.labels[at] == 0 && padded.raw[at] == 8192.0;
    assert!(hidden([39, 63, 0]) && !hidden([0, 0, 71]) && !hidden([39, 0, 71]) && !hidden([0, 63, 71]));
    for (at, &label) in padded.labels.indexed_iter() {
        // The plain tissue fills the volume.
        let expected = if label == 0 { 8192.0 } else { whole.raw[at] };
        assert_eq!(padded.raw[at], expected, "{at:?}");
    }
}

#[test]
fn an_empty_outline_holds_no_cell_but_an_image() {
    let tissue = TissueParameters { outline: OutlineKind::Empty, ..Default::default() };
    let sample = synth::sample_with(Parameters { tissue, ..Default::default() }, SHAPE, 3);
    assert!(sample.labels.iter().all(|&label| label == 0));
    assert!(sample.raw.std(0.0) > 1.0);
}

fn share(labels: &Array3<u32>) -> f64 {
    labels.iter().filter(|&&label| label != 0).count() as f64 / labels.len() as f64
}

#[test]
fn some_volumes_are_empty_some_sparse_and_many_full() {
    let shares: Vec<f64> = (0..200).map(|seed| share(&synth::draw(seed, [24, 32, 32]).1)).collect();
    let count = |wanted: &dyn Fn(f64) -> bool| shares.iter().filter(|&&share| wanted(share)).count();
    let (empty, sparse, full) = (
        count(&|share| share == 0.0),
        count(&|share| share > 0.0 && share < 0.15),
        count(&|share| share == 1.0),
    );
    assert!((2..=14).contains(&empty), "{empty} of 200 are empty");
    assert!((5..=30).contains(&sparse), "{sparse} of 200 are sparse");
    assert!((50..=140).contains(&full), "{full} of 200 are full");
}

#[test]
fn random_parameters_keep_their_limits() {
    for seed in 0..300 {
        let (parameters, _) = synth::draw(seed, [4, 6, 6]);
        parameters.check().unwrap_or_else(|e| panic!("seed {seed}: {e}"));
    }
}

//! Classes and weights against the authors'.
use ndarray::{Array3, Ix3};
use proptest::prelude::*;
use tascan::ops::loss::NOT_COUNTED;
use tascan::train::masks::Masks;
use tascan::volume::Annotation;

use crate::compare::assert_close;
use crate::ops::small_volumes::{squared_distance, volumes, voxels};
use crate::oracle;

fn labels() -> Option<Array3<u32>> {
    let file = oracle::shared("oracle/train/weights_s64.npz")?;
    Some(oracle::array::<u16>(&file, "gt").mapv(u32::from).into_dimensionality::<Ix3>().unwrap())
}

/// Compares classes exactly, and foreground weights, with the authors' three maps in `file`.
fn assert_targets(masks: &Masks, file: &str) {
    let (Some(labels), Some(file)) = (labels(), oracle::shared(file)) else { return };
    let targets = masks.targets(labels.view());
    let boundary = oracle::array::<u8>(&file, "boundary");
    let foreground = oracle::array::<f32>(&file, "foreground");
    let class = |(&boundary, &foreground): (&u8, &f32)| boundary + 2 * u8::from(foreground > 0.0);
    let expected: Vec<u8> = boundary.iter().zip(&foreground).map(class).collect();
    assert_eq!(targets.class.as_slice().unwrap(), expected);

    let weights = targets.weight.iter().zip(&targets.class);
    let weights: Vec<f32> = weights.map(|(&w, &class)| if class == 2 { w } else { 0.0 }).collect();
    assert_close(&weights, &foreground.iter().copied().collect::<Vec<f32>>(), 1e-6);
}

#[test]
fn targets_equal_the_authors() {
    assert_targets(&Masks::default(), "oracle/train/weights_s64.npz");
    let width = |membrane_width| Masks { membrane_width, ..Masks::default() };
    assert_targets(&width(1.0), "oracle/train/masks_s64_width1.0.npz");
    assert_targets(&width(2.5), "oracle/train/masks_s64_width2.5.npz");
}

#[test]
fn membrane_weights_equal_the_authors() {
    let (Some(labels), Some(file)) = (labels(), oracle::shared("oracle/train/weights_s64.npz")) else {
        return;
    };
    let targets = Masks { membrane_importance: 3.0, ..Masks::default() }.targets(labels.view());
    let maps = ["background", "boundary", "foreground"].map(|class| {
        oracle::array::<f32>(&file, &format!("weights_{class}_imp3")).iter().copied().collect::<Vec<f32>>()
    });
    let own = targets.class.iter().enumerate().map(|(k, &class)| maps[usize::from(class)][k]);
    assert_close(targets.weight.as_slice().unwrap(), &own.collect::<Vec<f32>>(), 1e-6);
}

/// The class of every voxel in plain loops: of a cell's voxels within `width` of a voxel that is left out nothing is known.
fn naive_classes(truth: &Annotation, width: f64) -> Vec<u8> {
    let (labels, left_out) = (&truth.labels, truth.left_out.as_ref().unwrap());
    let shape = labels.dim().into();
    let class = |at| {
        let near = || voxels(shape).filter(|&b| f64::from(squared_distance(at, b, [1; 3])) <= width * width);
        match labels[at] {
            _ if left_out[at] => NOT_COUNTED,
            0 => 0,
            _ if near().any(|b| left_out[b]) => NOT_COUNTED,
            own if near().any(|b| labels[b] != own) => 1,
            _ => 2,
        }
    };
    voxels(shape).map(class).collect()
}

proptest! {
    #[test]
    fn near_what_is_left_out_there_is_no_membrane(codes in volumes(7, 0u32..40), width in 0usize..3) {
        // Large numbers are the first cell, so that it has an inside.
        let labels = codes.mapv(|code| if code < 4 { code } else { 1 });
        let left_out = codes.mapv(|code| code == 3);
        let truth = Annotation { labels: labels.mapv(|label| label % 3), left_out: Some(left_out) };
        let membrane_width = [1.0, 1.5, 2.5][width];
        let masks = Masks { membrane_width, faces_are_borders: false, ..Masks::default() };
        let targets = masks.annotated_targets(&truth);
        prop_assert_eq!(targets.class.as_slice().unwrap(), naive_classes(&truth, membrane_width));
        prop_assert!(targets.weight.iter().all(|weight| weight.is_finite() && *weight > 0.0));
    }
}

#[test]
fn an_annotation_without_voxels_left_out_has_the_targets_of_its_labels() {
    let labels = Array3::from_shape_fn((9, 10, 11), |(z, y, x)| ((z / 4 + 2 * (y / 5) + x / 6) % 4) as u32);
    let of_labels = Masks::default().targets(labels.view());
    let annotated = Masks::default().annotated_targets(&labels.into());
    assert_eq!((of_labels.class, of_labels.weight), (annotated.class, annotated.weight));
}

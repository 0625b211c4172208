//! Spaced peaks against scikit-image, as the authors call it.
use std::path::Path;

use ndarray::Array3;
use tascan::ops::blocks::linear;
use tascan::ops::distance::{self, Metric};
use tascan::ops::peaks;

use crate::oracle;

fn equal_authors(file: &Path) {
    let eroded = oracle::volume::<u8>(file, "eroded");
    let shape = eroded.dim().into();
    let accepted = oracle::array::<u8>(file, "peaks");
    let mut expected: Vec<_> =
        accepted.outer_iter().map(|peak| linear([0, 1, 2].map(|axis| peak[axis].into()), shape)).collect();
    expected.sort_unstable();
    let squared = distance::squared(eroded.view(), 1, &Metric::ISOTROPIC);
    assert_eq!(peaks::spaced(squared.view()), expected);
}

#[test]
fn equal_the_authors() {
    equal_authors(&oracle::data("stage2_s64.npz"));
}

#[test]
fn equal_the_authors_where_the_tissue_is_cut() {
    let Some(file) = oracle::shared("oracle/stage2/stage2_s96.npz") else { return };
    equal_authors(&file);
}

#[test]
fn a_volume_within_the_border_has_none() {
    for shape in [(1, 1, 1), (6, 20, 20), (20, 20, 6)] {
        assert!(peaks::spaced(Array3::from_elem(shape, 3).view()).is_empty());
    }
}

#[test]
fn peaks_three_apart_are_both_kept_and_of_two_nearer_ones_the_first() {
    for (second, expected) in [(6, vec![4]), (7, vec![4, 7])] {
        let mut squared = Array3::zeros((9, 9, 16));
        (squared[[4, 4, 4]], squared[[4, 4, second]]) = (9, 9);
        let x: Vec<_> = peaks::spaced(squared.view()).iter().map(|peak| peak % 16).collect();
        assert_eq!(x, expected);
    }
}

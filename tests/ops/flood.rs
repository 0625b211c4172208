//! Flooding against scikit-image, as the authors call it.
use std::path::Path;

use ndarray::Array3;
use tascan::ops::distance::{self, Metric};
use tascan::ops::{flood, peaks};

use crate::oracle;

fn equals_authors(file: &Path) {
    let eroded = oracle::volume::<u8>(file, "eroded");
    let squared = distance::squared(eroded.view(), 1, &Metric::ISOTROPIC);
    let labels = flood::flood(squared.view(), &peaks::spaced(squared.view())).unwrap();
    assert_eq!(labels, oracle::volume::<u16>(file, "supervoxels").mapv(u32::from));
}

#[test]
fn equals_the_authors_bit_for_bit() {
    equals_authors(&oracle::data("stage2_s64.npz"));
}

#[test]
fn equals_the_authors_where_the_tissue_is_cut() {
    let Some(file) = oracle::shared("oracle/stage2/stage2_s96.npz") else { return };
    equals_authors(&file);
}

#[test]
fn what_no_marker_reaches_stays_free() {
    let mut squared = Array3::zeros((1, 1, 5));
    (squared[[0, 0, 0]], squared[[0, 0, 1]], squared[[0, 0, 3]]) = (2, 1, 4);
    let labels = flood::flood(squared.view(), &[0]).unwrap();
    assert_eq!(labels.into_raw_vec_and_offset().0, [1, 1, 0, 0, 0]);
}

//! Relabelling.
use ndarray::array;
use tascan::ops::relabel;

#[test]
fn every_label_becomes_its_entry() {
    let mut labels = array![[[0, 1, 2], [3, 2, 1]]];
    relabel::relabel(labels.view_mut(), &[0, 7, 0, 9]);
    assert_eq!(labels, array![[[0, 7, 0], [9, 0, 7]]]);
}

//! Squared distances against their definition and the authors' `edt`.
use ndarray::Array3;
use proptest::prelude::*;
use tascan::ops::distance::{self, Metric};
use tascan::{Shape, Spacing};

use super::small_volumes::{classes, squared_distance, voxels};
use crate::oracle;

/// All voxels outside the class, those just beyond the faces included.
fn to_outside(classes: &Array3<u8>, voxel: Shape, step: [u32; 3]) -> u32 {
    let shape: Shape = classes.dim().into();
    let inside = voxels(shape).filter(|&other| classes[other] != 2);
    let inside = inside.map(|other| squared_distance(voxel, other, step)).min().unwrap_or(u32::MAX);
    let beyond =
        (0..3).map(|axis| step[axis] * (voxel[axis] + 1).min(shape[axis] - voxel[axis]).pow(2) as u32);
    beyond.min().unwrap().min(inside)
}

proptest! {
    #[test]
    fn is_the_least_over_all_voxels_outside(classes in classes(8), step in [1..4u32, 1..6, 1..4]) {
        let squared = distance::squared(classes.view(), 2, &Metric { step, unit: 1 });
        for voxel in voxels(classes.dim().into()) {
            let expected = if classes[voxel] == 2 { to_outside(&classes, voxel, step) } else { 0 };
            prop_assert_eq!(squared[voxel], expected, "voxel {:?}", voxel);
        }
    }

    #[test]
    fn sees_far_outside_voxels(holes in proptest::collection::vec([0..40usize, 0..3, 0..30], 1..4)) {
        let mut classes = Array3::from_elem((40, 3, 30), 2);
        holes.iter().for_each(|&hole| classes[hole] = 0);
        // long steps along y keep its faces away
        let step = [1, 1000, 1];
        let squared = distance::squared(classes.view(), 2, &Metric { step, unit: 1 });
        for voxel in voxels([40, 3, 30]).filter(|&voxel| classes[voxel] == 2) {
            prop_assert_eq!(squared[voxel], to_outside(&classes, voxel, step), "voxel {:?}", voxel);
        }
    }
}

fn equals_edt(file: &std::path::Path) {
    let eroded = oracle::volume::<u8>(file, "eroded");
    let edt = oracle::volume::<f32>(file, "edt");
    let squared = distance::squared(eroded.view(), 1, &Metric::ISOTROPIC);
    // squares of such small square roots round to the integer that they came from
    assert_eq!(squared, edt.mapv(|distance| (distance * distance).round() as u32));
}

#[test]
fn equals_the_authors_on_a_damaged_tissue() {
    equals_edt(&oracle::data("stage2_s64.npz"));
}

#[test]
fn equals_the_authors_where_the_tissue_is_cut() {
    let Some(file) = oracle::shared("oracle/stage2/stage2_s96.npz") else { return };
    equals_edt(&file);
}

#[test]
fn lengths_are_in_smallest_voxel_edges() {
    let metric = Metric::new(Some(Spacing([0.5, 0.25, 0.25])), [10, 10, 10]).unwrap();
    assert_eq!(metric.length(metric.step[1]), 1.);
    assert_eq!(metric.length(metric.step[0]), 2.);
    assert_eq!(Metric::new(None, [10; 3]).unwrap(), Metric::ISOTROPIC);
    assert_eq!(Metric::new(Some(Spacing([0.3; 3])), [10; 3]).unwrap(), Metric::ISOTROPIC);
}

#[test]
fn large_anisotropic_volumes_take_a_coarser_unit() {
    let metric = Metric::new(Some(Spacing([2., 1., 1.])), [3000; 3]).unwrap();
    assert!(metric.unit < 256 && metric.step[0] == 4 * metric.step[1], "{metric:?}");
}

#[test]
fn distances_that_would_overflow_are_refused() {
    let error = Metric::new(None, [70_000; 3]).unwrap_err().to_string();
    assert!(error.contains("32 bits"), "{error}");
    for edges in [[0., 1., 1.], [1., -1., 1.], [1., 1., f64::NAN], [f64::INFINITY, 1., 1.]] {
        let error = Metric::new(Some(Spacing(edges)), [8; 3]).unwrap_err().to_string();
        assert!(error.contains("greater than 0"), "{error}");
    }
}

//! Erosion against its definition and the authors' code.
use ndarray::Array3;
use proptest::prelude::*;
use tascan::ops::erosion;

use super::small_volumes::{classes, stepped, steps_26, voxels};
use crate::oracle;

proptest! {
    #[test]
    fn keeps_what_is_surrounded(classes in classes(7)) {
        let kept = erosion::erode(classes.view(), 2);
        let shape = classes.dim().into();
        for voxel in voxels(shape) {
            let mut around = steps_26().filter_map(|step| stepped(voxel, step, shape));
            let expected = classes[voxel] == 2 && around.all(|neighbour| classes[neighbour] == 2);
            prop_assert_eq!(kept[voxel], u8::from(expected), "voxel {:?}", voxel);
        }
    }
}

#[test]
fn a_view_in_another_order_of_axes_gives_the_same() {
    let classes = Array3::from_shape_fn((5, 6, 7), |(z, y, x)| if (z * y + x) % 7 == 0 { 1 } else { 2 });
    let turned = erosion::erode(classes.view().reversed_axes(), 2);
    assert_eq!(turned.reversed_axes(), erosion::erode(classes.view(), 2));
}

#[test]
fn equals_the_authors_on_a_damaged_tissue() {
    let file = oracle::data("stage2_s64.npz");
    let [foreground, eroded] = ["foreground", "eroded"].map(|name| oracle::volume::<u8>(&file, name));
    assert_eq!(erosion::erode(foreground.view(), 1), eroded);
}

#[test]
fn equals_the_authors_where_the_tissue_is_cut() {
    let Some(file) = oracle::shared("oracle/stage2/stage2_s96.npz") else { return };
    let [foreground, eroded] = ["foreground", "eroded"].map(|name| oracle::volume::<u8>(&file, name));
    assert_eq!(erosion::erode(foreground.view(), 1), eroded);
}

//! Basins against plain pointers.
use ndarray::Array3;
use proptest::prelude::*;
use tascan::Shape;
use tascan::ops::basins::{self, Peak};
use tascan::ops::blocks::linear;

use super::small_volumes::{shapes, stepped, steps_26, volumes, voxels};

/// The peak that a voxel leads to, one step after the other.
fn peak_of(squared: &Array3<u32>, mut voxel: Shape) -> Shape {
    let shape = squared.dim().into();
    loop {
        let around = steps_26().filter_map(|step| stepped(voxel, step, shape)).chain([voxel]);
        let highest = around.max_by_key(|&at| (squared[at], linear(at, shape))).unwrap();
        if highest == voxel {
            return voxel;
        }
        voxel = highest;
    }
}

proptest! {
    #[test]
    fn every_voxel_leads_to_its_peak(squared in volumes(9, 0..5u32), block in shapes(5)) {
        let found = basins::ascend(squared.view(), block).unwrap();
        let shape = squared.dim().into();
        for voxel in voxels(shape) {
            if squared[voxel] == 0 {
                prop_assert_eq!(found.labels[voxel], 0);
                continue;
            }
            let peak = peak_of(&squared, voxel);
            let expected = Peak { voxel: linear(peak, shape), squared: squared[peak] };
            prop_assert_eq!(found.peaks[found.labels[voxel] as usize - 1], expected, "voxel {:?}", voxel);
        }
        prop_assert!(found.peaks.windows(2).all(|two| two[0].voxel < two[1].voxel));
    }

    #[test]
    fn blocks_change_nothing(squared in volumes(14, 0..40u32), block in shapes(15)) {
        let whole = basins::ascend(squared.view(), [64; 3]).unwrap();
        let found = basins::ascend(squared.view(), block).unwrap();
        prop_assert_eq!(found.labels, whole.labels);
        prop_assert_eq!(found.peaks, whole.peaks);
    }
}

#[test]
fn a_ridge_through_many_blocks_is_one_basin() {
    let squared = Array3::from_shape_fn((1, 1, 100), |(_, _, x)| x as u32 + 1);
    let found = basins::ascend(squared.view(), [1, 1, 1]).unwrap();
    assert_eq!(found.peaks, [Peak { voxel: 99, squared: 100 }]);
    assert!(found.labels.iter().all(|&label| label == 1));
}

#[test]
fn impossible_blocks_and_distances_are_refused() {
    let squared = Array3::from_elem((2, 2, 2), 1);
    let error =
        |squared: &Array3<u32>, block| basins::ascend(squared.view(), block).err().unwrap().to_string();
    assert!(error(&squared, [0, 4, 4]).contains("at least 1"));
    let highest = Array3::from_elem((2, 2, 2), 1 << 27);
    assert!(error(&highest, [4; 3]).contains("below 134217728"));
}

//! Regions against plain counts.
use proptest::prelude::*;
use tascan::ops::blocks::linear;
use tascan::ops::regions;

use super::small_volumes::{volumes, voxels};

proptest! {
    #[test]
    fn count_voxels_and_find_the_first(labels in volumes(7, 0..6u32)) {
        let shape = labels.dim().into();
        for (region, label) in regions::regions(labels.view(), 6).iter().zip(1..) {
            let mut own = voxels(shape).filter(|&voxel| labels[voxel] == label).map(|voxel| linear(voxel, shape));
            let (first, others) = (own.next(), own.count() as u64);
            prop_assert_eq!(region.first, first.unwrap_or(usize::MAX));
            prop_assert_eq!(region.voxels, others + u64::from(first.is_some()));
        }
    }
}

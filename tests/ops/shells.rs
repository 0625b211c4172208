//! Shells against the contacts that count them.
use proptest::prelude::*;
use tascan::ops::blocks::linear;
use tascan::ops::{contacts, shells};

use super::small_volumes::{stepped, steps_6, volumes, voxels};

proptest! {
    #[test]
    fn hold_the_labelled_voxels_around_each_region(labels in volumes(6, 0..4u32)) {
        let found = shells::shells(labels.view(), None, 3);
        let shape = labels.dim().into();
        for region in 1..=3 {
            let touches = |voxel| {
                steps_6().filter_map(|step| stepped(voxel, step, shape)).any(|other| labels[other] == region)
            };
            let around = voxels(shape).filter(|&voxel| ![0, region].contains(&labels[voxel]) && touches(voxel));
            let expected: Vec<_> = around.map(|voxel| (linear(voxel, shape), labels[voxel])).collect();
            let shell: Vec<_> = found.of(region).iter().map(|found| (found.voxel, found.label)).collect();
            prop_assert_eq!(shell, expected);
        }
    }

    #[test]
    fn agree_with_contacts_in_a_core(labels in volumes(6, 0..4u32)) {
        let core = labels.map(|&label| u8::from(label != 2));
        let found = shells::shells(labels.view(), Some(core.view()), 3);
        let contacts = contacts::contacts(labels.view(), Some(core.view()), 3);
        for (region, neighbour) in [(1, 2), (1, 3), (2, 1), (2, 3), (3, 1), (3, 2)] {
            let area = found.of(region).iter().filter(|found| found.label == neighbour).count();
            prop_assert_eq!(area as u64, contacts.area(region, neighbour));
        }
    }
}

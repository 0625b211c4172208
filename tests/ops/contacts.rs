//! Contacts against a loop over regions, and the authors' counts.
use std::collections::BTreeSet;
use std::path::Path;

use ndarray::Array3;
use proptest::prelude::*;
use tascan::Shape;
use tascan::ops::contacts::{self, Contact};

use super::small_volumes::{classes, stepped, steps_6, volumes, voxels};
use crate::oracle;

/// The voxels around a region.
fn shell(labels: &Array3<u32>, region: u32) -> BTreeSet<Shape> {
    let shape = labels.dim().into();
    let own = voxels(shape).filter(|&voxel| labels[voxel] == region);
    let around = own.flat_map(|voxel| steps_6().filter_map(move |step| stepped(voxel, step, shape)));
    around.filter(|&voxel| labels[voxel] != region).collect()
}

proptest! {
    #[test]
    fn count_the_voxels_around_each_region(labels in volumes(6, 0..4u32)) {
        let found = contacts::contacts(labels.view(), None, 3);
        for region in 1..=3 {
            let shell = shell(&labels, region);
            prop_assert_eq!(found.surfaces[region as usize - 1], shell.len() as u64);
            for neighbour in (1..=3).filter(|&neighbour| neighbour != region) {
                let area = shell.iter().filter(|&&voxel| labels[voxel] == neighbour).count();
                prop_assert_eq!(found.area(region, neighbour), area as u64);
            }
        }
    }

    #[test]
    fn outside_the_core_nothing_is_labelled(labels in volumes(6, 0..4u32), core in classes(6)) {
        let core = Array3::from_shape_fn(labels.dim(), |(z, y, x)| {
            core.get((z, y, x)).copied().unwrap_or(1) / 2
        });
        let masked = &labels * &core.mapv(u32::from);
        let found = contacts::contacts(labels.view(), Some(core.view()), 3);
        prop_assert_eq!(found, contacts::contacts(masked.view(), None, 3));
    }
}

#[test]
fn a_pair_has_the_smaller_of_its_two_areas() {
    // one voxel of 2 in a corner of 1: two voxels of 1 touch it, it touches 1 as one voxel
    let labels = ndarray::array![[[1, 1], [1, 2]]];
    let found = contacts::contacts(labels.view(), None, 2);
    assert_eq!((found.area(2, 1), found.area(1, 2)), (2, 1));
    assert_eq!(found.pairs().collect::<Vec<_>>(), [(1, 2, 1)]);
}

fn equals_authors(volumes: &Path, touching: &Path) {
    let labels = oracle::volume::<u16>(volumes, "supervoxels").mapv(u32::from);
    let count = *labels.iter().max().unwrap();
    let column = |name| oracle::array::<i32>(touching, name).into_iter();
    let rows = column("v").zip(column("neighbour")).zip(column("count"));
    let mut expected: Vec<_> = rows
        .map(|((v, neighbour), area)| Contact {
            region: v as u32,
            neighbour: neighbour as u32,
            area: area as u64,
        })
        .collect();
    expected.sort_unstable();
    let found = contacts::contacts(labels.view(), None, count);
    assert_eq!(found.contacts, expected);
    for (v, surface) in column("v").zip(column("full_shell")) {
        assert_eq!(found.surfaces[v as usize - 1], surface as u64, "super voxel {v}");
    }
    for (v, area) in column("v").zip(column("outlayer_area")) {
        let of_v = found.contacts.iter().filter(|contact| contact.region == v as u32);
        assert_eq!(of_v.map(|contact| contact.area).sum::<u64>(), area as u64, "super voxel {v}");
    }
}

#[test]
fn equal_the_authors_counts() {
    equals_authors(&oracle::data("stage2_s64.npz"), &oracle::data("stage2_s64_touching.npz"));
}

#[test]
fn equal_the_authors_counts_where_the_tissue_is_cut() {
    let [volumes, touching] = ["stage2_s96.npz", "stage2_s96_touching.npz"]
        .map(|file| oracle::shared(&format!("oracle/stage2/{file}")));
    let (Some(volumes), Some(touching)) = (volumes, touching) else { return };
    equals_authors(&volumes, &touching);
}

//! The second stage as a whole: the authors' partition, accuracy on damaged masks, and what must not matter.
use std::path::Path;

use ndarray::{Array3, ArrayView3, s};
use proptest::prelude::*;
use tascan::cells::{Cells, FOREGROUND, MEMBRANE, Options, Tascan, Watershed, label_cells};
use tascan::metrics::matching::Matching;
use tascan::metrics::{self, Scores};
use tascan::ops::contacts::contacts;
use tascan::ops::pockets;
use tascan::ops::regions::regions;
use tascan::ops::shells::shells;
use tascan::tascan::{self as rules, Rule, authors};
use tascan::{Shape, Spacing, boundary};

use crate::damage::damaged_classes;
use crate::ops::small_volumes::{classes, shapes, volumes};
use crate::{compare, oracle};

const AUTHORS: Rule = Rule { min_area: 30, min_relative_area: 0., min_fraction: 0.51 };

fn label(classes: &Array3<u8>, options: &Options) -> Cells {
    label_cells(classes.view(), None, options).unwrap()
}

fn in_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}

fn oracle_classes(file: &Path) -> Array3<u8> {
    let [boundary, foreground] =
        ["boundary", "foreground"].map(|name| oracle::volume::<u8>(file, name).mapv(|value| value != 0));
    // where background and membrane are both set, the authors' last step leaves background
    let background = oracle::volume::<u8>(file, "background");
    Array3::from_shape_fn(boundary.dim(), |at| match (background[at], foreground[at], boundary[at]) {
        (0, true, _) => FOREGROUND,
        (0, false, true) => MEMBRANE,
        _ => 0,
    })
}

fn scores(cells: &Cells, truth: ArrayView3<u32>) -> Scores {
    let options = metrics::Options { matching: Matching::BestIou, min_cell_size: 0 };
    Scores::compare(cells.labels.view(), truth, &options).unwrap()
}

/// The authors' clusters of the authors' super voxels, in their order and in ours.
fn equals_authors_partition(file: &Path) {
    let supervoxels = oracle::volume::<u16>(file, "supervoxels").mapv(u32::from);
    let expected = oracle::volume::<u16>(file, "tascan").mapv(u32::from);
    let count = *supervoxels.iter().max().unwrap();
    let shells = shells(supervoxels.view(), None, count);
    let theirs: Vec<u32> = oracle::array::<i32>(file, "tascan_order").iter().map(|&n| n as u32).collect();
    let ours = authors::by_size(&regions(supervoxels.view(), count));
    for order in [theirs, ours] {
        let clusters = authors::fit(&shells, &order, &AUTHORS);
        let found = supervoxels.mapv(|label| label.checked_sub(1).map_or(0, |n| clusters[n as usize]));
        compare::assert_same_partition(found.as_slice().unwrap(), expected.as_slice().unwrap());
    }
}

#[test]
fn the_authors_rule_gives_their_partition() {
    equals_authors_partition(&oracle::data("stage2_s64.npz"));
}

#[test]
fn the_authors_rule_gives_their_partition_where_the_tissue_is_cut() {
    let Some(file) = oracle::shared("oracle/stage2/stage2_s96.npz") else { return };
    equals_authors_partition(&file);
}

#[test]
fn the_authors_options_give_their_super_voxels_and_cells() {
    let file = oracle::data("stage2_s64.npz");
    let found = label(&oracle_classes(&file), &Options { keep_supervoxels: true, ..Options::authors() });
    assert_eq!(found.supervoxels.unwrap(), oracle::volume::<u16>(&file, "supervoxels").mapv(u32::from));
    let kept = oracle::volume::<u16>(&file, "after_small").mapv(u32::from);
    // where their cells already stand, ours are the same; the rest goes to the nearest cell instead of theirs
    let cells = found.labels * &kept.mapv(|label| u32::from(label != 0));
    compare::assert_same_partition(cells.as_slice().unwrap(), kept.as_slice().unwrap());
}

/// The authors' code: 0.586 and 0.370.
#[test]
fn a_damaged_tissue_is_found_again() {
    let file = oracle::data("stage2_s64.npz");
    let truth = oracle::volume::<u16>(&file, "gt").mapv(u32::from);
    let scores = scores(&label(&oracle_classes(&file), &Options::default()), truth.view());
    assert!(scores.mean_ji >= 0.84, "{}", scores.mean_ji);
    assert!(scores.adapted_rand_error <= 0.10, "{}", scores.adapted_rand_error);
}

/// The authors' code: 0.507 and 0.530.
#[test]
fn a_damaged_tissue_that_is_cut_is_found_again() {
    let Some(file) = oracle::shared("oracle/stage2/stage2_s96.npz") else { return };
    let truth = oracle::volume::<u16>(&file, "gt").mapv(u32::from);
    let scores = scores(&label(&oracle_classes(&file), &Options::default()), truth.view());
    assert!(scores.mean_ji >= 0.88, "{}", scores.mean_ji);
    assert!(scores.adapted_rand_error <= 0.10, "{}", scores.adapted_rand_error);
}

/// A crop of real cells, some 30 voxels wide, with 1.5 holes a cell.
#[test]
fn large_cells_with_leaky_walls_are_told_apart() {
    let Some(file) = oracle::shared("data/ovule_geometry_labels.tif") else { return };
    let volume = tascan::io::open(&file, tascan::io::Role::Labels).unwrap();
    let truth = volume.read_labels([20, 80, 150], [110, 160, 160]).unwrap();
    let truth = renumbered(truth);
    let scores = scores(&label(&damaged_classes(truth.view(), 1.5, 1), &Options::default()), truth.view());
    assert!(scores.mean_ji >= 0.84, "{}", scores.mean_ji);
    assert!(scores.adapted_rand_error <= 0.05, "{}", scores.adapted_rand_error);
}

/// Labels 1 to n, as many as there are.
fn renumbered(labels: Array3<u32>) -> Array3<u32> {
    let mut present: Vec<u32> = labels.iter().copied().filter(|&label| label != 0).collect();
    present.sort_unstable();
    present.dedup();
    labels.mapv(|label| present.binary_search(&label).map_or(0, |n| n as u32 + 1))
}

proptest! {
    #[test]
    fn neither_blocks_nor_threads_matter(
        classes in classes(16),
        block in shapes(17),
        threads in 1..5usize,
        tascan in prop_oneof![Just(Tascan::Full), Just(Tascan::Authors)],
    ) {
        let options = Options { min_cell_size: 1, keep_supervoxels: true, tascan, ..Options::default() };
        let whole = in_threads(1, || label(&classes, &options));
        let found = in_threads(threads, || label(&classes, &Options { block, ..options.clone() }));
        prop_assert_eq!(found.labels, whole.labels);
        prop_assert_eq!(found.supervoxels, whole.supervoxels);
        prop_assert_eq!(found.count, whole.count);
    }

    #[test]
    fn the_order_of_super_voxels_does_not_matter(labels in volumes(8, 0..9u32), keys in any::<[u32; 8]>()) {
        let mut order: Vec<u32> = (1..9).collect();
        order.sort_by_key(|&label| keys[label as usize - 1]);
        let renamed = labels.mapv(|label| label.checked_sub(1).map_or(0, |n| order[n as usize]));
        let rule = Rule { min_area: 3, min_relative_area: 0.4, min_fraction: 0.5 };
        let clusters = |labels: &Array3<u32>| {
            let contacts = contacts(labels.view(), None, 8);
            let clusters = rules::full_surface(&contacts, &regions(labels.view(), 8), &rule);
            labels.mapv(|label| label.checked_sub(1).map_or(0, |n| clusters[n as usize]))
        };
        let [one, other] = [&labels, &renamed].map(clusters);
        compare::assert_same_partition(one.as_slice().unwrap(), other.as_slice().unwrap());
    }

    #[test]
    fn every_tissue_voxel_but_debris_is_labelled_and_nothing_else(classes in classes(12), drop_debris: bool) {
        let classes = pockets::fill(classes.view()).into_owned();
        let found = label(&classes, &Options { min_cell_size: 1, drop_debris, ..Options::default() });
        for (&class, &label) in classes.iter().zip(&found.labels) {
            let inside = class != 0 && found.count > 0;
            prop_assert!(inside == (label != 0) || drop_debris && label == 0, "{class} has label {label}");
            prop_assert!(label <= found.count);
        }
        let present = regions(found.labels.view(), found.count);
        prop_assert!(present.iter().all(|region| region.voxels > 0));
    }
}

#[test]
fn blocks_and_threads_do_not_matter_in_a_tissue() {
    let file = oracle::data("stage2_s64.npz");
    let classes = oracle_classes(&file);
    let whole = in_threads(1, || label(&classes, &Options { block: [64; 3], ..Options::default() }));
    for (threads, block) in [(2, [7, 64, 13]), (3, [16; 3]), (8, [1, 5, 64])] {
        let found = in_threads(threads, || label(&classes, &Options { block, ..Options::default() }));
        assert_eq!(found.labels, whole.labels, "block {block:?}, {threads} threads");
    }
}

/// Two cubes of foreground in one sheath of membrane, joined by a square tunnel through the wall between.
fn two_cubes(edge: usize, tunnel: usize) -> Array3<u8> {
    let shape = [edge + 2, edge + 2, 2 * edge + 5];
    let mut classes = Array3::from_elem(shape, MEMBRANE);
    for start in [1, edge + 4] {
        classes.slice_mut(s![1..=edge, 1..=edge, start..start + edge]).fill(FOREGROUND);
    }
    classes.slice_mut(s![1..=tunnel, 1..=tunnel, edge..edge + 5]).fill(FOREGROUND);
    classes
}

#[test]
fn the_size_of_a_contact_decides_beside_the_size_of_the_cells() {
    let no_persistence =
        Options { peak_height: 0., peak_fraction: 0., peak_distance: 0, ..Options::default() };
    // eroded, the tunnels are 2 voxels narrower
    let cases = [
        (0.4, 10, 5, 2),
        (0.4, 10, 9, 1),
        (0.4, 24, 9, 2),
        (0.4, 24, 18, 1),
        (0.7, 24, 18, 2),
        (0.7, 24, 24, 1),
    ];
    for (min_relative_area, edge, tunnel, cells) in cases {
        let options = Options { min_relative_area, ..no_persistence };
        let found = label(&two_cubes(edge, tunnel), &options).count;
        assert_eq!(found, cells, "{min_relative_area}: cubes of {edge}, tunnel of {tunnel}");
    }
    let without = Options { min_relative_area: 0., ..no_persistence };
    assert_eq!(label(&two_cubes(24, 9), &without).count, 1);
}

#[test]
fn volumes_without_cells_or_with_one_are_no_exception() {
    for shape in [[1, 1, 1], [1, 9, 9], [9, 1, 9], [9, 9, 1], [1, 1, 40], [2, 3, 7], [5, 7, 6], [20, 9, 12]] {
        for watershed in [Watershed::Ascent, Watershed::Flood] {
            let options = Options { min_cell_size: 1, watershed, ..Options::default() };
            for class in [0, MEMBRANE] {
                let found = label(&Array3::from_elem(shape, class), &options);
                assert_eq!(found.count, 0, "{shape:?} of class {class}");
                assert!(found.labels.iter().all(|&label| label == 0));
            }
        }
        let options = Options { min_cell_size: 1, ..Options::default() };
        let found = label(&Array3::from_elem(shape, FOREGROUND), &options);
        assert_eq!(found.count, 1, "{shape:?} of foreground");
        assert!(found.labels.iter().all(|&label| label == 1));
    }
}

#[test]
fn small_cells_and_fragments_are_dropped_and_their_voxels_given_away() {
    let mut classes = Array3::from_elem([12, 12, 30], MEMBRANE);
    classes.slice_mut(s![1..11, 1..11, 1..11]).fill(FOREGROUND);
    classes.slice_mut(s![1..4, 1..4, 20..23]).fill(FOREGROUND);
    let of = |min_cell_size| label(&classes, &Options { min_cell_size, ..Options::default() });
    assert_eq!(of(27).count, 2);
    let one = of(28);
    assert_eq!(one.count, 1);
    assert!(one.labels.iter().all(|&label| label == 1));
}

#[test]
fn distances_follow_the_voxel_size() {
    // a peak every 6 voxels along z: steep where they are 6 long edges apart, one cell where they are short
    let classes = Array3::from_shape_fn([13, 11, 11], |(z, y, x)| {
        let wide = if z % 6 == 3 { 5 } else { 3 };
        if y.abs_diff(5).max(x.abs_diff(5)) <= wide { FOREGROUND } else { MEMBRANE }
    });
    let options = Options {
        min_touching_area: 1000,
        min_touching_fraction: 2.,
        keep_supervoxels: true,
        ..Options::default()
    };
    let supervoxels = |z: f64| {
        let found = label_cells(classes.view(), Some(Spacing([z, 1., 1.])), &options).unwrap();
        found.supervoxels.unwrap().iter().max().copied().unwrap()
    };
    assert!(supervoxels(4.) > supervoxels(0.25));
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let classes = Array3::from_elem([4; 3], FOREGROUND);
    let error = |options: Options| label_cells(classes.view(), None, &options).err().unwrap().to_string();
    let default = Options::default;
    assert!(error(Options { peak_height: f64::NAN, ..default() }).contains("peak height NaN"));
    assert!(error(Options { min_touching_fraction: -0.1, ..default() }).contains("fraction -0.1"));
    assert!(error(Options { fragment_fraction: 1.5, ..default() }).contains("from 0 to 1"));
    assert!(error(Options { block: [8, 0, 8], ..default() }).contains("at least 1"));
    let spacing = Some(Spacing([0., 1., 1.]));
    assert!(label_cells(classes.view(), spacing, &default()).is_err());
}

#[test]
fn options_survive_a_file_and_unknown_ones_do_not() {
    let options = Options { tascan: Tascan::Authors, peak_height: 0.25, ..Options::default() };
    let text = toml::to_string(&options).unwrap();
    assert_eq!(toml::from_str::<Options>(&text).unwrap(), options);
    assert_eq!(toml::from_str::<Options>("").unwrap(), Options::default());
    assert!(toml::from_str::<Options>("min_touching = 3").is_err());
}

#[test]
fn the_authors_rule_counts_a_voxel_once_that_touches_two_members() {
    // five voxels of 2 touch 1, so they become a cluster; three voxels of 3 lie between, touching both
    let labels =
        ndarray::array![[[1, 1, 1, 1, 1, 1, 1, 1], [3, 3, 3, 2, 2, 2, 2, 2], [2, 2, 2, 2, 2, 2, 2, 2]]];
    let shells = shells(labels.view(), None, 3);
    let fit = |min_area| {
        authors::fit(&shells, &[1, 2, 3], &Rule { min_area, min_relative_area: 0., min_fraction: 2. })
    };
    assert_eq!(fit(3), [1, 1, 1]);
    assert_eq!(fit(4), [1, 1, 3]);
    assert_eq!(fit(6), [1, 2, 3]);
}

/// Two boxes of foreground: one in a wall of one voxel, one in the open but for a wall at one side.
fn a_cell_and_debris() -> Array3<u8> {
    Array3::from_shape_fn((9, 9, 24), |(z, y, x)| match [z.abs_diff(4).max(y.abs_diff(4)), x] {
        [0..3, 2..7] | [0..3, 15..20] => FOREGROUND,
        [0..4, 1..8] | [0..3, 20] => MEMBRANE,
        _ => 0,
    })
}

#[test]
fn debris_becomes_background_with_its_membrane() {
    let classes = a_cell_and_debris();
    let found = label(&classes, &Options::default());
    let cell = Array3::from_shape_fn(classes.dim(), |(z, y, x)| u32::from(x < 10 && classes[[z, y, x]] > 0));
    assert_eq!((found.count, found.labels), (1, cell));
    let all = label(&classes, &Options { drop_debris: false, ..Options::default() });
    assert_eq!((all.count, all.labels[[4, 4, 17]], all.labels[[4, 4, 20]]), (2, 2, 2));
}

fn probability_map(shape: Shape) -> Array3<f32> {
    // a block of eight cells of 8 voxels an edge, walls of 2, in an empty volume
    Array3::from_shape_fn(shape, |(z, y, x)| {
        let inside = |at: usize| (10..32).contains(&at);
        let wall = |at: usize| [10, 11, 20, 21, 30, 31].contains(&at);
        let all = [z, y, x].into_iter().all(inside);
        if all && [z, y, x].into_iter().any(wall) { 0.9 } else { 0.1 }
    })
}

#[test]
fn a_boundary_map_gives_cells_and_its_outside_is_background() {
    let map = probability_map([42; 3]);
    let volume = tascan::Volume::from_array(map.clone(), None);
    let classes = boundary::classes(&volume, 0.5).unwrap();
    let mut cells = label(&classes, &Options::default());
    assert_eq!(cells.count, 9);
    boundary::drop_background(&mut cells, 10.);
    assert_eq!(cells.count, 8);
    assert_eq!(cells.labels[[0, 0, 0]], 0);
    assert_eq!(cells.labels[[15, 15, 15]], 1);
    assert_eq!(regions(cells.labels.view(), 8).len(), 8);
    // the same from bytes
    let bytes = tascan::Volume::from_array(map.mapv(|p| (p * 255.) as u8), None);
    assert_eq!(boundary::classes(&bytes, 0.5).unwrap(), classes);
}

#[test]
fn values_that_are_no_probabilities_are_refused() {
    let error = |value: f32| {
        let mut map = Array3::zeros([3; 3]);
        map[[1, 2, 0]] = value;
        boundary::classes(&tascan::Volume::from_array(map, None), 0.5).unwrap_err().to_string()
    };
    assert!(error(f32::NAN).contains("voxel z 1, y 2, x 0"), "{}", error(f32::NAN));
    assert!(error(200.).contains("values from 0 to 200"), "{}", error(200.));
    assert!(error(-0.5).contains("from 0 to 1"), "{}", error(-0.5));
}

//! What a step sees depends on the seed and the step alone.
use std::collections::BTreeSet;
use std::path::Path;

use ndarray::Array3;
use tascan::intensity::Normalization;
use tascan::ops::loss::NOT_COUNTED;
use tascan::train::augment::Augmentation;
use tascan::train::batches::{Batch, Batches};
use tascan::train::config::{Config, Cuboids, Pair, Synthetic};
use tascan::train::masks::Masks;

fn config(shape: [usize; 3]) -> Config {
    Config {
        synthetic: Some(Synthetic { shape, window: 3, uses: 2, ..Synthetic::default() }),
        cuboids: Cuboids { batch: 3, smallest: 10, largest: 14 },
        ..Config::default()
    }
}

fn assert_equal(a: &Batch, b: &Batch) {
    assert_eq!((a.shape, &a.class), (b.shape, &b.class));
    assert!(a.raw.iter().map(|v| v.to_bits()).eq(b.raw.iter().map(|v| v.to_bits())), "grey values differ");
    assert_eq!(a.weight, b.weight);
}

#[test]
fn a_batch_does_not_depend_on_those_before() {
    let config = config([20, 24, 28]);
    let mut from_start = Batches::open(&config).unwrap();
    let all: Vec<Batch> = (0..6).map(|step| from_start.draw(step).unwrap()).collect();
    let mut resumed = Batches::open(&config).unwrap();
    for step in [4, 5, 1] {
        assert_equal(&resumed.draw(step).unwrap(), &all[step as usize]);
    }
    assert!(all.iter().any(|batch| batch.raw != all[0].raw), "every step sees the same");
}

#[test]
fn a_batch_does_not_depend_on_the_threads() {
    let config = config([20, 24, 28]);
    let with_threads = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| Batches::open(&config).unwrap().draw(2).unwrap())
    };
    assert_equal(&with_threads(1), &with_threads(4));
}

#[test]
fn sides_stay_within_their_bounds() {
    let mut batches = Batches::open(&config([20, 24, 28])).unwrap();
    let mut sides = std::collections::BTreeSet::new();
    for step in 0..12 {
        let batch = batches.draw(step).unwrap();
        assert_eq!(batch.raw.len(), 3 * batch.shape.iter().product::<usize>());
        assert_eq!((batch.class.len(), batch.weight.len()), (batch.raw.len(), batch.raw.len()));
        sides.extend(batch.shape);
    }
    assert_eq!(sides.into_iter().collect::<Vec<_>>(), [10, 11, 12, 13, 14]);
}

#[test]
fn a_thin_volume_gives_thin_cuboids() {
    let mut batches = Batches::open(&config([6, 24, 28])).unwrap();
    for step in 0..8 {
        let shape = batches.draw(step).unwrap().shape;
        assert!(shape.contains(&6), "{shape:?}");
    }
}

/// A pair whose grey values number the voxels; voxels of the truth are -1 where `unknown` says so, else one of two cells.
fn numbered(folder: &Path, shape: [usize; 3], unknown: impl Fn([usize; 3]) -> bool) -> Config {
    let [_, height, width] = shape;
    let raw = Array3::from_shape_fn(shape, |(z, y, x)| ((z * height + y) * width + x) as f32);
    let labels = Array3::from_shape_fn(shape, |(z, y, x)| match unknown([z, y, x]) {
        true => -1i16,
        false => 1 + i16::from(y > height / 2),
    });
    let [raw_file, labels_file] = ["raw.npy", "labels.npy"].map(|name| folder.join(name));
    ndarray_npy::write_npy(&raw_file, &raw).unwrap();
    ndarray_npy::write_npy(&labels_file, &labels).unwrap();
    Config {
        pairs: vec![Pair { raw: raw_file, labels: labels_file, channel: None, time: None }],
        normalization: Normalization::None,
        cuboids: Cuboids { batch: 3, smallest: 5, largest: 7 },
        augmentation: Augmentation { flip: 0.5, swap: 0.7, ..Augmentation::none() },
        masks: Masks { membrane_width: 1.0, faces_are_borders: false, ..Masks::default() },
        ..Config::default()
    }
}

#[test]
fn cuboids_carry_what_is_left_out_along() {
    let folder = tempfile::tempdir().unwrap();
    let shape = [12, 13, 14];
    let unknown = |[z, y, x]: [usize; 3]| z < 3 || (x > 9 && y > 4);
    let mut batches = Batches::open(&numbered(folder.path(), shape, unknown)).unwrap();
    // Left out with the voxels of cells that have a voxel left out at one of their faces.
    let expected = |at: [usize; 3]| {
        let beside = |axis: usize, step: isize| {
            let mut next = at;
            next[axis] = at[axis].saturating_add_signed(step).min(shape[axis] - 1);
            unknown(next)
        };
        unknown(at) || (0..3).any(|axis| beside(axis, -1) || beside(axis, 1))
    };
    let mut seen = BTreeSet::new();
    for step in 0..20 {
        let batch = batches.draw(step).unwrap();
        for (&number, &class) in batch.raw.iter().zip(&batch.class) {
            let number = number as usize;
            let at = [number / (13 * 14), number / 14 % 13, number % 14];
            assert_eq!(class == NOT_COUNTED, expected(at), "step {step}, voxel {at:?}");
            seen.insert(class);
        }
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [1, 2, NOT_COUNTED]);
}

#[test]
fn cuboids_lie_where_something_counts() {
    let folder = tempfile::tempdir().unwrap();
    // One corner of 8 voxels a side counts: a cuboid lies in the rest alone more often than not.
    let unknown = |at: [usize; 3]| at.iter().any(|&place| place > 8);
    let mut batches = Batches::open(&numbered(folder.path(), [24; 3], unknown)).unwrap();
    for step in 0..10 {
        let batch = batches.draw(step).unwrap();
        let voxels: usize = batch.shape.iter().product();
        for cuboid in batch.class.chunks(voxels) {
            assert!(cuboid.iter().any(|&class| class != NOT_COUNTED), "step {step}");
        }
    }
}

//! Cells of real shapes: parts of label volumes, scaled, turned, mirrored and bent.
use std::path::{Path, PathBuf};

use ndarray::Array3;
use tascan::Spacing;
use tascan::io;
use tascan::synth::shapes::Shapes;
use tascan::synth::{self, Parameters, TissueParameters};
use tascan::train::config::{Config, Synthetic};
use tascan::train::volumes::{Generator, Preparation};

use crate::synth::{files, on_threads, pieces, synthesize};

/// Writes cells of 16 pixels as a label volume with gaps in the numbering.
fn tissue(folder: &Path) -> PathBuf {
    let tissue = TissueParameters { diameter: 16.0, anisotropy: 1.0, ..Default::default() };
    let labels = synth::grow(&tissue, [48, 56, 64], 2).mapv(|label| 3 * label);
    let path = folder.join("tissue.tif");
    io::write_labels(&path, labels.view(), Some(Spacing([0.2; 3]))).unwrap();
    path
}

fn shapes(path: PathBuf) -> Shapes {
    Shapes::read(&[path]).unwrap()
}

#[test]
fn any_number_of_threads_gives_the_same_cells_in_one_piece() {
    let folder = tempfile::tempdir().unwrap();
    let shapes = shapes(tissue(folder.path()));
    for seed in 0..4 {
        let [one, four] = [1, 4].map(|threads| on_threads(threads, || shapes.sample(seed, [40, 48, 56])));
        assert!(one.labels == four.labels && one.raw == four.raw, "seed {seed}");
        assert!(one.labels.iter().any(|&label| label > 0), "seed {seed}: no cell");
        assert!(pieces(&one.labels)[1..].iter().all(|&n| n == 1), "seed {seed}");
    }
}

#[test]
fn two_seeds_see_two_parts() {
    let folder = tempfile::tempdir().unwrap();
    let shapes = shapes(tissue(folder.path()));
    let labels = |seed| shapes.sample_with(Parameters::default(), [32; 3], seed).labels;
    let inside = |labels: &Array3<u32>| labels.mapv(|label| label != 0);
    assert!(inside(&labels(1)) != inside(&labels(2)));
}

/// A ball, scaled to the given diameter with voxels of the given height: its voxels and its extents.
fn ball(anisotropy: f32, diameter: f32) -> (f64, [usize; 3]) {
    let folder = tempfile::tempdir().unwrap();
    let source = Array3::from_shape_fn((15, 30, 30), |(z, y, x)| {
        let d = [2.0 * (z as f32 - 7.0), y as f32 - 14.5, x as f32 - 14.5];
        u32::from(d.iter().map(|d| d * d).sum::<f32>() < 144.0)
    });
    let path = folder.path().join("ball.tif");
    io::write_labels(&path, source.view(), Some(Spacing([0.4, 0.2, 0.2]))).unwrap();
    let tissue = TissueParameters { anisotropy, diameter, warp: 0.0, ..Default::default() };
    let parameters = Parameters { tissue, ..Default::default() };
    let labels = shapes(path).sample_with(parameters, [100, 100, 100], 5).labels;
    let mut ends = [[usize::MAX, 0]; 3];
    for ((z, y, x), _) in labels.indexed_iter().filter(|(_, label)| **label == 1) {
        for (end, i) in ends.iter_mut().zip([z, y, x]) {
            *end = [end[0].min(i), end[1].max(i)];
        }
    }
    let voxels = labels.iter().filter(|&&label| label == 1).count();
    (voxels as f64, ends.map(|[first, last]| last + 1 - first))
}

#[test]
fn a_turned_ball_stays_a_ball_of_the_size_asked_for() {
    let (voxels, extents) = ball(1.0, 44.0);
    let expected = std::f64::consts::FRAC_PI_6 * 44.0_f64.powi(3);
    assert!((voxels / expected - 1.0).abs() < 0.06, "{voxels} voxels, expected {expected}");
    assert!(extents.iter().all(|n| (41..=47).contains(n)), "{extents:?}");
}

#[test]
fn high_voxels_hold_more_of_it() {
    let (_, extents) = ball(2.0, 44.0);
    assert!((20..=24).contains(&extents[0]), "{extents:?}");
    assert!(extents[1..].iter().all(|n| (41..=47).contains(n)), "{extents:?}");
}

#[test]
fn the_manifest_renders_the_same_files_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = tissue(folder.path());
    let (first, again) = (folder.path().join("first"), folder.path().join("again"));
    let source = ["--shapes", path.to_str().unwrap(), "--blur", "0.8"];
    synthesize(&first, &[&["--seed", "9", "--shape", "20,48,40"], &source[..]].concat()).unwrap();
    synthesize(&again, &["--manifest", first.join("synthetic_9.json").to_str().unwrap()]).unwrap();
    assert!(files(&first) == files(&again));
    let message = synthesize(&first, &[&source[..2], &["--labels", source[1]]].concat()).unwrap_err();
    assert!(message.contains("--shapes"), "{message}");
}

#[test]
fn a_source_without_cells_or_with_too_many_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (label, expected) in [(0, "background alone"), (40_000, "40000")] {
        let path = folder.path().join("labels.tif");
        io::write_labels(&path, Array3::from_elem((4, 4, 4), label).view(), None).unwrap();
        let error = Shapes::read(&[path]).err().unwrap().to_string();
        assert!(error.contains(expected) && error.contains("labels.tif"), "{error}");
    }
}

fn generator(synthetic: Synthetic) -> Generator {
    Generator::open(&synthetic, Preparation::of(&Config::default())).unwrap()
}

#[test]
fn training_takes_the_share_that_was_asked_for_from_shapes() {
    let folder = tempfile::tempdir().unwrap();
    let (path, shape) = (tissue(folder.path()), [20, 24, 28]);
    let shapes = shapes(path.clone());
    let of_shapes = |shapes_share| {
        let generator =
            generator(Synthetic { shape, shapes: vec![path.clone()], shapes_share, ..Synthetic::default() });
        let is_of_shapes = |seed| {
            let labels = generator.render(seed).unwrap().truth.labels;
            let [grown, cut] = [synth::sample(seed, shape).labels, shapes.sample(seed, shape).labels];
            assert!(labels == grown || labels == cut, "seed {seed}: neither");
            labels == cut
        };
        (0..30).filter(|&seed| is_of_shapes(seed)).count()
    };
    assert_eq!((of_shapes(0.0), of_shapes(1.0)), (0, 30));
    assert!((8..=22).contains(&of_shapes(0.5)), "{} of 30", of_shapes(0.5));
}

#[test]
fn held_out_volumes_hold_cells() {
    let generator = generator(Synthetic { shape: [24, 32, 32], ..Synthetic::default() });
    let sizes = |labels: &Array3<u32>| {
        let mut sizes = vec![0; *labels.iter().max().unwrap() as usize + 1];
        labels.iter().for_each(|&label| sizes[label as usize] += 1);
        sizes[1..].iter().copied().max().unwrap_or(0)
    };
    let rendered = (1..=40).map(|i| generator.render(1_000_000 - i).unwrap());
    let empty = rendered.filter(|volume| sizes(&volume.truth.labels) < 100).count();
    assert!(empty > 0, "none of the volumes had to be left out");
    let held_out = generator.held_out(40, 100).unwrap();
    assert_eq!(held_out.len(), 40);
    assert!(held_out.iter().all(|volume| sizes(&volume.truth.labels) >= 100));
}

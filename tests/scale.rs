//! The scale at which the network sees a volume, against naive f64 loops.
use ndarray::{Array3, Array4, s};
use tascan::grey::Grey;
use tascan::intensity::Normalization;
use tascan::metrics::{self, Scores};
use tascan::network::prediction::{Prediction, Predictor};
use tascan::pipeline::{self, Model, Segmentation};
use tascan::scale::choice::{self, Choice, Look};
use tascan::scale::{Sampled, Sampling, Scale, Step};
use tascan::synth::{self, Parameters, Sample};
use tascan::{Shape, Spacing, Volume};

use crate::ops::grids;
use crate::recipe;

/// Whole and cut-off last boxes, boxes of more voxels than an axis has, of parts of voxels and of less than one.
const CASES: [(Shape, &str); 12] = [
    ([6, 8, 10], "2,2,2"),
    ([7, 9, 11], "2,3,4"),
    ([5, 13, 8], "1,5,3"),
    ([1, 1, 9], "3,3,3"),
    ([4, 6, 5], "8,1,2"),
    ([3, 4, 5], "1,1,1"),
    ([7, 8, 9], "2/3,3/2,5/2"),
    ([5, 7, 13], "1/4,4/3,3/2"),
    ([9, 5, 7], "1/3,1/2,1/2"),
    ([1, 2, 3], "3/4,2/3,2/3"),
    ([1, 1, 1], "1/2,1/4,3/4"),
    ([3, 2, 4], "5/2,3/2,8"),
];

/// The grid of `--scale Z,Y,X`.
pub fn grid(text: &str) -> Sampling {
    match text.parse() {
        Ok(Scale::Steps(sampling)) => sampling,
        other => panic!("{text}: {other:?}"),
    }
}

/// Shapes of volumes and grids.
pub fn cases() -> impl Iterator<Item = (Shape, Sampling)> {
    CASES.into_iter().map(|(shape, text)| (shape, grid(text)))
}

fn noise(shape: Shape, seed: u64) -> Array3<f32> {
    Array3::from_shape_vec(shape, grids::noise(shape.iter().product(), seed)).unwrap()
}

/// What point `i` is made of: the share of each voxel of an axis of `extent`, by real numbers.
fn shares(step: Step, i: usize, extent: usize) -> Vec<f64> {
    let width = step.voxels();
    let [begin, end] = [i, i + 1].map(|i| (i as f64 * width).min(extent as f64));
    let middle = ((begin + end) / 2.0 - 0.5).clamp(0.0, extent as f64 - 1.0);
    let of_voxel = |voxel: usize| {
        let voxel = voxel as f64;
        match width >= 1.0 {
            true => ((voxel + 1.0).min(end) - voxel.max(begin)).max(0.0) / (end - begin),
            false => (1.0 - (voxel - middle).abs()).max(0.0),
        }
    };
    (0..extent).map(of_voxel).collect()
}

/// A point of the grid as a plain sum over all voxels.
fn point(raw: &Array3<f64>, sampling: Sampling, at: Shape) -> f64 {
    let shares = [0, 1, 2].map(|axis| shares(sampling.0[axis], at[axis], raw.shape()[axis]));
    raw.indexed_iter().map(|((z, y, x), value)| shares[0][z] * shares[1][y] * shares[2][x] * value).sum()
}

#[test]
fn points_are_means_of_what_they_stand_for_or_lie_between_voxels() {
    for (shape, sampling) in cases() {
        let raw = noise(shape, 1);
        let volume = Volume::from_array(raw.clone(), None);
        let sampled = Sampled::new(&volume, sampling);
        let points = sampled.read_f32([0; 3], sampled.shape());
        let raw = raw.mapv(f64::from);
        for ((z, y, x), &found) in points.indexed_iter() {
            // One rounding to f32 of numbers below 4.
            let error = (f64::from(found) - point(&raw, sampling, [z, y, x])).abs();
            assert!(error <= 1.3e-7 * 4.0, "{shape:?} {sampling}: {error}");
        }
    }
}

#[test]
fn a_region_of_a_grid_is_a_part_of_it() {
    let volume = Volume::from_array(noise([17, 19, 23], 2), None);
    for (text, shape) in [("2,3,4", [9, 7, 6]), ("2/3,3/2,5/2", [26, 13, 10])] {
        let sampled = Sampled::new(&volume, grid(text));
        assert_eq!(sampled.shape(), shape);
        let whole = sampled.read_f32([0; 3], sampled.shape());
        assert_eq!(sampled.read_f32([3, 2, 1], [6, 4, 5]), whole.slice(s![3..9, 2..6, 1..6]), "{text}");
    }
}

/// Whether the means of numbers whose sums are exact have a single rounding, also those of a region that begins anywhere.
fn has_exact_means<T: tascan::volume::Sample>(convert: fn(f32) -> T) {
    let voxels = |i: usize, factor: usize, extent: usize| i * factor..((i + 1) * factor).min(extent);
    for (shape, sampling) in cases() {
        let Some(factors) = sampling.as_whole() else { continue };
        let raw = noise(shape, 3).mapv(|x| convert(x * 120.0));
        let numbers = raw.mapv(|x| f64::from(x.grey()));
        let volume = Volume::from_array(raw, None);
        let sampled = Sampled::new(&volume, sampling);
        let extent = sampled.shape();
        let first = extent.map(|extent| extent / 2);
        let means = sampled.read_f32(first, [0, 1, 2].map(|axis| extent[axis] - first[axis]));
        for ((z, y, x), mean) in means.indexed_iter() {
            let [z, y, x] = [(0, z), (1, y), (2, x)]
                .map(|(a, i)| voxels(first[a] + i, factors[a], shape[a]))
                .map(|range| ndarray::Slice::from(range.start as isize..range.end as isize));
            let voxels = numbers.slice_each_axis(|axis| [z, y, x][axis.axis.index()]);
            assert_eq!(
                *mean,
                (voxels.sum() / voxels.len() as f64) as f32,
                "{} {shape:?} {factors:?}",
                T::DTYPE
            );
        }
    }
}

#[test]
fn whole_numbers_of_any_type_have_exact_means() {
    has_exact_means(|x| x.abs() as u8);
    has_exact_means(|x| x as i8);
    has_exact_means(|x| (x.abs() * 500.0) as u16);
    has_exact_means(|x| (x * 200.0) as i16);
    has_exact_means(|x| x.abs() as u32);
    has_exact_means(|x| x as i64);
    has_exact_means(f32::round);
    has_exact_means(|x| f64::from(x.round()));
}

#[test]
fn sums_of_large_boxes_do_not_overflow() {
    // Of 64^3 numbers, and of more rows than 32 bits hold the sum of a column of.
    for (shape, factors) in [([64; 3], [64; 3]), ([300, 300, 1], [300, 300, 1])] {
        let volume = Volume::from_array(Array3::from_elem(shape, u16::MAX), None);
        let sampled = Sampled::new(&volume, Sampling::whole(factors));
        assert_eq!(sampled.read_f32([0; 3], [1; 3])[[0, 0, 0]], 65535.0);
    }
}

#[test]
fn a_reduced_integer_volume_has_fractions() {
    let volume = Volume::from_array(Array3::from_shape_vec((1, 1, 3), vec![1u8, 2, 7]).unwrap(), None);
    let means = Sampled::new(&volume, grid("1,1,2")).read_f32([0; 3], [1, 1, 2]);
    assert_eq!(means.as_slice().unwrap(), [1.5, 7.0]);
}

fn predict(predictor: &Predictor, volume: &Volume, sampling: Sampling, block: Shape) -> Prediction {
    let sampled = Sampled::new(volume, sampling);
    let mut read = |start: Shape, shape: Shape| Ok(sampled.read_f32(start, shape).into());
    predictor.predict_sampled(volume.shape(), sampling, block, &mut read, &mut |_| ()).unwrap()
}

#[test]
fn a_prediction_on_a_grid_of_all_voxels_has_the_bits_of_one_without() {
    let volume = Volume::from_array(noise([13, 21, 34], 4), None);
    for transposes in [false, true] {
        let mut predictor = Predictor::new(&recipe::cellsegnet_weights(3), transposes);
        predictor.keep_probabilities = true;
        let mut read = |start: Shape, shape: Shape| Ok(volume.read_f32(start, shape).into());
        let expected = predictor.predict(volume.shape(), [16; 3], &mut read, &mut |_| ()).unwrap();
        let found = predict(&predictor, &volume, Sampling::STORED, [16; 3]);
        assert!(found.classes == expected.classes && found.probabilities == expected.probabilities);
    }
}

#[test]
fn blocks_and_threads_change_no_bit_of_a_prediction_on_a_grid() {
    for (shape, text) in [([41, 62, 135], "1,2,3"), ([17, 61, 134], "1/2,3/2,5/2")] {
        blocks_and_threads_change_no_bit(shape, grid(text));
    }
}

fn blocks_and_threads_change_no_bit(shape: Shape, sampling: Sampling) {
    let volume = Volume::from_array(noise(shape, 5), None);
    let mut predictor = Predictor::new(&recipe::cellsegnet_weights(3), true);
    predictor.keep_probabilities = true;
    let whole = predict(&predictor, &volume, sampling, [1000; 3]);
    assert_eq!(whole.classes.dim(), shape.into());
    let sums = whole.probabilities.as_ref().map(|p: &Array4<f32>| p.sum_axis(ndarray::Axis(0))).unwrap();
    assert!(sums.iter().all(|sum| (sum - 1.0).abs() <= 1e-5));
    for (block, threads) in [([8, 16, 24], 1), ([16, 8, 40], 3)] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let found = pool.install(|| predict(&predictor, &volume, sampling, block));
        assert!(found.classes == whole.classes, "classes differ in blocks of {block:?}");
        assert!(found.probabilities == whole.probabilities, "probabilities differ in blocks of {block:?}");
    }
}

#[test]
fn points_are_nearly_cubes() {
    let steps = |width: f64, spacing: Option<Spacing>| Sampling::cubes(width, spacing).to_string();
    assert_eq!(steps(3.0, None), "3 x 3 x 3");
    assert_eq!(steps(1.0, Some(Spacing([0.235, 0.15, 0.15]))), "2/3 x 1 x 1");
    assert_eq!(steps(2.5, Some(Spacing([1.0, 0.2, 0.2]))), "1/2 x 5/2 x 5/2");
    assert_eq!(steps(4.0, Some(Spacing([0.4, 0.2, 0.2]))), "2 x 4 x 4");
    // No finer than four points for a voxel, and two along x.
    assert_eq!(steps(1.0, Some(Spacing([2.0, 0.2, 0.1]))), "1/4 x 1/2 x 1");
    assert_eq!(steps(1.0, Some(Spacing([0.1, 0.2, 0.8]))), "1 x 1/2 x 1/2");
}

#[test]
fn scales_are_written_as_they_are_read() {
    for text in ["auto", "1", "2", "64", "1.5", "2/3,1,1", "5/8,3/2,7/3", "1/4,1/4,1/2"] {
        assert_eq!(text.parse::<Scale>().unwrap().to_string(), text);
    }
    assert_eq!("0.667,1.5,2".parse::<Scale>().unwrap(), Scale::Steps(grid("2/3,3/2,2")));
    for text in
        ["", "0", "65", "-1", "1/0", "Auto", "1,1", "1,1,1,1", "1,1,1/4", "nan", "99999999999999999999"]
    {
        let message = text.parse::<Scale>().unwrap_err().to_string();
        assert!(message.contains("expected auto, a number, or Z,Y,X"), "{message}");
    }
}

/// Cells of a network that finds boxes of `cells` stored voxels (z, y, x) as they are, where they have 6 to 40 points on the
/// grid; that shreds wider ones into boxes of 20 points, and finds none that are narrower.
fn fake(cells: [f64; 3], sampling: Sampling, volume: Shape) -> Look {
    let steps = sampling.steps();
    let points = [0, 1, 2].map(|axis| cells[axis] / steps[axis]);
    let found = points.map(|points| if points > 40.0 { 20.0 } else { points });
    let (start, extent) = choice::region(sampling.shape(volume), sampling, volume.map(|extent| extent / 2));
    // As bricks lie: each row is shifted beside the next one.
    let labels = Array3::from_shape_fn(extent, |(z, y, x)| {
        let at = [(0, z), (1, y), (2, x)].map(|(axis, i)| (start[axis] + i) as f64 / found[axis]);
        let z = (at[0] + 0.37 * at[1].floor() + 0.61 * at[2].floor()) as u32;
        let is_found = found.iter().all(|&points| points >= 6.0);
        u32::from(is_found) * (1 + z + 1000 * at[1] as u32 + 1_000_000 * at[2] as u32)
    });
    Look { sampling, start, labels }
}

fn chosen(cells: [f64; 3], spacing: Option<Spacing>) -> Choice {
    choice::choose(spacing, |sampling| Ok(fake(cells, sampling, [600; 3]))).unwrap()
}

#[test]
fn chords_are_the_mean_extents_of_cells() {
    let look = fake([12.0, 24.0, 30.0], grid("1,2,3/2"), [240; 3]);
    let chords = look.chords().unwrap();
    for (chord, expected) in chords.iter().zip([12.0, 24.0, 30.0]) {
        // Cells at the faces of the region are cut.
        assert!((chord / expected - 1.0).abs() <= 0.2, "{chords:?}");
    }
    assert_eq!(Look { labels: Array3::zeros((4, 4, 4)), ..look }.chords(), None);
}

#[test]
fn the_grid_suits_the_width_of_the_cells_and_not_of_their_shreds() {
    let cubes = Some(Spacing([0.2; 3]));
    for width in [20.0, 45.0, 70.0, 100.0, 140.0] {
        let Choice { sampling, spacing, assumption, doubt } = chosen([width; 3], cubes);
        let points = width / sampling.0[0].voxels();
        assert!((0.6..=1.6).contains(&(points / choice::CHORD)), "{width}: {points} points at {sampling}");
        assert_eq!((spacing, assumption, doubt), (cubes, None, None));
    }
}

#[test]
fn cells_wider_than_any_look_suits_are_doubted() {
    let choice = chosen([250.0; 3], Some(Spacing([1.0; 3])));
    assert!(choice.doubt.unwrap().contains("--scale"));
}

#[test]
fn planes_are_as_far_apart_as_cells_look_where_nothing_is_stated() {
    for proportion in [1.0, 1.2, 2.0, 4.0] {
        let choice = chosen([40.0 / proportion, 40.0, 40.0], None);
        let Spacing([z, y, x]) = choice.spacing.unwrap_or(Spacing([1.0; 3]));
        assert!((z / proportion / y).ln().abs() <= 0.3 && y == x, "{proportion}: {z} x {y} x {x}");
        assert!(choice.assumption.unwrap().contains("no voxel size is stated"));
        // Points are longer along z than cubes would be, and shorter than voxels are.
        let [z, y, x] = choice.sampling.steps();
        assert!(z <= y && y <= z * proportion * 1.35 && y == x, "{proportion}: {}", choice.sampling);
    }
}

#[test]
fn a_stated_voxel_size_is_believed_unless_cells_look_quite_different() {
    let stated = Some(Spacing([0.5, 0.25, 0.25]));
    for cells in [[20.0, 40.0, 40.0], [35.0, 40.0, 40.0], [12.0, 40.0, 40.0]] {
        let choice = chosen(cells, stated);
        assert_eq!((choice.spacing, choice.assumption), (stated, None), "{cells:?}");
    }
    let wrong = chosen([48.0; 3], Some(Spacing([1.5, 0.25, 0.25])));
    assert!(wrong.assumption.unwrap().contains("6.0 pixels apart"));
    let Spacing([z, y, x]) = wrong.spacing.unwrap();
    assert!((z / y).ln().abs() <= 0.3 && y == 0.25 && x == 0.25, "{z} x {y} x {x}");
}

#[test]
fn a_volume_without_cells_stays_as_it_is() {
    let nothing = |sampling| Ok(Look { sampling, start: [0; 3], labels: Array3::zeros((8, 8, 8)) });
    let choice = choice::choose(None, nothing).unwrap();
    assert_eq!((choice.sampling, choice.doubt), (Sampling::STORED, None));
}

#[test]
fn regions_lie_around_their_centre_and_within_the_volume() {
    assert_eq!(choice::region([5, 100, 200], grid("1,2,2"), [2, 100, 200]), ([0, 14, 64], [5, 72, 72]));
    assert_eq!(choice::region([100, 100, 100], grid("1/2,1,1"), [49, 3, 99]), ([28, 0, 28], [72; 3]));
}

/// A tissue with cubic voxels and cells of this diameter.
fn tissue(diameter: f32, shape: Shape) -> Sample {
    let mut parameters = Parameters::default();
    parameters.tissue.diameter = diameter;
    parameters.tissue.anisotropy = 1.0;
    synth::sample_with(parameters, shape, 8)
}

fn segment(sample: &Sample, options: &pipeline::Options) -> Segmentation {
    let volume = Volume::from_array(sample.raw.clone(), Some(sample.spacing));
    pipeline::segment(&volume, &Model::embedded().unwrap(), options, &mut ()).unwrap()
}

#[test]
fn large_cells_are_reduced_and_found_better_for_it() {
    let sample = tissue(70.0, [96, 144, 144]);
    let score = |found: &Segmentation| {
        let options = metrics::Options::default();
        Scores::compare(found.cells.labels.view(), sample.labels.view(), &options).unwrap().mean_dsc
    };
    let auto = segment(&sample, &pipeline::Options::default());
    let [z, y, x] = auto.sampling.0;
    assert!(z.voxels() > 1.0 && z == y && y == x, "{}", auto.sampling);
    let full = segment(&sample, &pipeline::Options { scale: Scale::Cubes(1.0), ..Default::default() });
    assert_eq!(full.sampling, Sampling::STORED);
    let (auto, full) = (score(&auto), score(&full));
    assert!(auto > full, "mean DSC {auto}, {full} at full size");
}

#[test]
fn small_cells_stay_as_they_are() {
    let sample = tissue(16.0, [64, 72, 80]);
    let found = segment(&sample, &pipeline::Options::default());
    assert_eq!(found.sampling, Sampling::STORED);
    let model = Model::embedded().unwrap();
    let volume = Volume::from_array(sample.raw, None);
    let scaling = model.normalization.fit_volume(&volume).unwrap();
    let contrast = (model.normalization == Normalization::Local).then_some(model.contrast);
    let mut read = |start: Shape, shape: Shape| {
        let block = |start, shape| Grey::of_block(&volume, start, shape, scaling);
        Ok(Grey::seen(contrast, start, shape, volume.shape(), block))
    };
    let predictor = Predictor::new(&model.weights, false);
    let expected = predictor.predict(volume.shape(), [1000; 3], &mut read, &mut |_| ()).unwrap();
    assert_eq!(found.prediction.classes, expected.classes);
}

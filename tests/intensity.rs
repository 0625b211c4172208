//! Normalisation against sorted values and against the authors' formula.
use ndarray::Array3;
use proptest::prelude::*;
use tascan::intensity::survey::Survey;
use tascan::intensity::{Fit, Normalization, Percentiles, Scaling};
use tascan::volume::{Sample, Volume};

use crate::compare::assert_close;

/// NumPy's `percentile` with its linear interpolation.
fn percentile(volume: &Array3<f32>, percent: f64) -> f64 {
    let mut sorted: Vec<f64> = volume.iter().copied().map(f64::from).collect();
    sorted.sort_by(f64::total_cmp);
    let position = percent / 100.0 * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[position.floor() as usize], sorted[position.ceil() as usize]);
    below + (above - below) * position.fract()
}

fn volume(values: impl Fn(usize) -> f32) -> Array3<f32> {
    Array3::from_shape_fn((9, 20, 30), |(z, y, x)| values((z * 20 + y) * 30 + x))
}

fn message(of: Array3<f32>, normalization: Normalization) -> String {
    normalization.fit(of.view()).unwrap_err().to_string()
}

#[test]
fn robust_maps_the_percentiles_to_0_and_1() {
    let image = volume(|i| ((i * 7919) % 5400) as f32 - 1000.0);
    let scaling = Normalization::Robust.fit(image.view()).unwrap();
    let ends = [percentile(&image, 1.0), percentile(&image, 99.8)].map(|p| scaling.apply(p as f32));
    assert_close(&ends, &[0.0, 1.0], 1e-6);
}

#[test]
fn robust_falls_back_to_the_whole_range_where_the_percentiles_meet() {
    let image = volume(|i| if i == 77 { 9.0 } else { 1.0 });
    assert_eq!(Normalization::Robust.fit(image.view()).unwrap(), Scaling { offset: 1.0, scale: 0.125 });
}

#[test]
fn authors_formula_is_reproduced() {
    let image = volume(|i| ((i * 31) % 211) as f32 + 3.5);
    let scaling = Normalization::Authors.fit(image.view()).unwrap();
    let percentile = percentile(&image.mapv(|x| x - 3.5), 99.0) as f32;
    let expected: Vec<f32> = image.iter().map(|&x| (x - 3.5) / percentile * 255.0).collect();
    let actual: Vec<f32> = image.iter().map(|&x| scaling.apply(x)).collect();
    assert_close(&actual, &expected, 1e-4);
}

#[test]
fn none_changes_nothing() {
    let image = volume(|i| i as f32);
    assert_eq!(Normalization::None.fit(image.view()).unwrap(), Scaling::IDENTITY);
}

#[test]
fn names_survive_the_way_through_metadata() {
    for normalization in [
        Normalization::Robust,
        Normalization::Local,
        Normalization::MinMax,
        Normalization::Authors,
        Normalization::None,
    ] {
        assert_eq!(normalization.to_string().parse::<Normalization>().unwrap(), normalization);
    }
    let message = "histogram".parse::<Normalization>().unwrap_err().to_string();
    assert!(message.contains("histogram") && message.contains("robust"), "{message}");
}

#[test]
fn the_first_voxel_that_is_no_number_is_named() {
    let mut image = volume(|i| i as f32);
    image[[7, 3, 2]] = f32::NAN;
    image[[5, 19, 5]] = f32::INFINITY;
    image[[5, 19, 4]] = f32::NEG_INFINITY;
    let message = message(image, Normalization::None);
    assert!(message.contains("z 5, y 19, x 4 is -inf"), "{message}");
}

#[test]
fn constant_and_empty_volumes_are_errors() {
    for normalization in [Normalization::Robust, Normalization::Authors, Normalization::None] {
        let constant = message(volume(|_| 42.0), normalization);
        assert!(constant.contains("every voxel is 42"), "{constant}");
    }
    let empty = message(Array3::zeros((0, 4, 4)), Normalization::Robust);
    assert!(empty.contains("[0, 4, 4]"), "{empty}");
}

/// Numbers of a type, against the same numbers as `f32`.
fn fits_as_its_grey_values<T: Sample>(make: impl Fn(usize) -> T) {
    let stored =
        Volume::from_array(Array3::from_shape_fn((9, 20, 30), |(z, y, x)| make((z * 20 + y) * 30 + x)), None);
    let grey = stored.to_f32();
    for normalization in [Normalization::Robust, Normalization::MinMax, Normalization::Authors] {
        let scaling = normalization.fit_volume(&stored).unwrap();
        assert_eq!(scaling, normalization.fit(grey.view()).unwrap(), "{} {normalization}", T::DTYPE);
    }
    let ends = [percentile(&grey, 1.0), percentile(&grey, 99.8)];
    let robust = Normalization::Robust.fit_volume(&stored).unwrap();
    assert_eq!(robust.offset, ends[0] as f32, "{}", T::DTYPE);
    assert_eq!(robust.scale, (1.0 / (ends[1] - ends[0])) as f32, "{}", T::DTYPE);
}

#[test]
fn stored_numbers_of_every_type_fit_as_their_grey_values() {
    fits_as_its_grey_values(|i| (i * 31 % 251) as u8);
    fits_as_its_grey_values(|i| (i * 31 % 251) as i8);
    fits_as_its_grey_values(|i| (i * 7919 % 65521) as u16);
    fits_as_its_grey_values(|i| (i * 7919 % 65521) as i16);
    fits_as_its_grey_values(|i| (i * 7919 % 65521) as u32 * 65537);
    fits_as_its_grey_values(|i| (i * 7919 % 65521) as i32 * 32749 - 1_000_000_000);
    fits_as_its_grey_values(|i| (i * 7919 % 65521) as u64 * 1_000_003);
    fits_as_its_grey_values(|i| (i * 7919 % 65521) as i64 * 1_000_003 - 30_000_000_000);
    fits_as_its_grey_values(|i| ((i * 7919 % 65521) as f32 - 40_000.0) / 7.0);
    fits_as_its_grey_values(|i| ((i * 7919 % 65521) as f64 - 40_000.0) / 7.0);
}

#[test]
fn percentiles_reach_over_the_slabs_of_a_large_volume() {
    let image =
        Array3::from_shape_fn((5, 1024, 1024), |(z, y, x)| (x * 1024 + y) as f32 / 7.0 - (z as f32).exp());
    let scaling = Normalization::Robust.fit(image.view()).unwrap();
    let ends = [percentile(&image, 1.0), percentile(&image, 99.8)];
    assert_eq!(scaling.offset, ends[0] as f32);
    assert_eq!(scaling.scale, (1.0 / (ends[1] - ends[0])) as f32);
}

proptest! {
    #[test]
    fn minmax_is_exact_for_any_numbers(values in prop::collection::vec(-1e6f32..1e6, 2..200)) {
        let image = Array3::from_shape_vec((1, 1, values.len()), values.clone()).unwrap();
        let (min, max) = values.iter().fold((f32::MAX, f32::MIN), |(a, b), &x| (a.min(x), b.max(x)));
        prop_assume!(min < max);
        let scaling = Normalization::MinMax.fit(image.view()).unwrap();
        prop_assert_eq!(scaling.offset, min);
        prop_assert_eq!(scaling.scale, (1.0 / (f64::from(max) - f64::from(min))) as f32);
    }
}

/// Walls of brightness 1 in darkness of brightness 0, both with a little noise: planes along all axes every 12 voxels of
/// the region `from` on, in a volume of this shape.
fn walls(shape: [usize; 3], from: [usize; 3]) -> Array3<f32> {
    let noise = crate::ops::grids::noise(shape.iter().product(), 7);
    let mut noise = noise.into_iter();
    Array3::from_shape_fn(shape, |(z, y, x)| {
        let at = [z, y, x];
        let is_wall = (0..3).all(|a| at[a] >= from[a]) && (0..3).any(|a| at[a] % 12 < 2);
        f32::from(u8::from(is_wall)) + 0.05 * noise.next().unwrap()
    })
}

/// What darkness and walls of such a volume become, the volume being changed.
fn local(shape: [usize; 3], from: [usize; 3], change: impl Fn(usize, &mut f32)) -> [f32; 2] {
    let mut volume = walls(shape, from);
    volume.iter_mut().enumerate().for_each(|(i, value)| change(i, value));
    let scaling = Normalization::Local.fit(volume.view()).unwrap();
    [0.0, 1.0].map(|value| scaling.apply(value))
}

#[track_caller]
fn assert_near_0_and_1([dark, bright]: [f32; 2]) {
    assert!(dark.abs() <= 0.1 && (bright - 1.0).abs() <= 0.1, "darkness becomes {dark}, walls {bright}");
}

#[test]
fn local_maps_darkness_and_walls_to_0_and_1() {
    assert_near_0_and_1(local([40, 50, 60], [0; 3], |_, _| ()));
}

#[test]
fn hot_and_dead_pixels_change_nothing() {
    assert_near_0_and_1(local([40, 50, 60], [0; 3], |i, value| match ((i * 2_654_435_761) >> 12) % 1000 {
        0..5 => *value = 65535.0,
        5..10 => *value = -65535.0,
        _ => (),
    }));
}

#[test]
fn a_volume_mostly_padded_has_the_range_of_the_rest() {
    for padding in [-3.0, 0.0, 9.0] {
        // Three quarters of the planes, and a wedge as deskewing leaves it.
        assert_near_0_and_1(local([64, 50, 60], [0; 3], |i, value| {
            let (z, x) = (i / 3000, i % 60);
            if z % 64 < 48 || x + z < 70 {
                *value = padding;
            }
        }));
    }
}

#[test]
fn few_cells_in_a_large_dark_volume_have_the_range_of_their_walls() {
    let shape = [128, 128, 128];
    let volume = walls(shape, [88; 3]);
    let share = volume.iter().filter(|&&value| value > 0.5).count() as f64 / volume.len() as f64;
    assert!(share < 0.02, "{share}");
    assert_near_0_and_1(local(shape, [88; 3], |_, _| ()));
    // Percentiles of all voxels lie in the darkness where there are still fewer.
    let corner = [104; 3];
    let robust = Normalization::Robust.fit(walls([256, 128, 128], [232, 104, 104]).view()).unwrap();
    assert!(robust.apply(1.0) > 5.0, "walls {}", robust.apply(1.0));
    assert_near_0_and_1(local(shape, corner, |_, _| ()));
}

#[test]
fn dark_walls_are_turned_bright() {
    let scaling = Scaling { offset: 10.0, scale: 0.125 };
    let inverted = scaling.inverted();
    assert_eq!([10.0, 14.0, 18.0].map(|x| inverted.apply(x)), [1.0, 0.5, 0.0]);
}

#[test]
fn percentiles_of_the_user_become_0_and_1() {
    let image = volume(|i| ((i * 7919) % 5400) as f32);
    let stored = Volume::from_array(image.clone(), None);
    for normalization in [Normalization::Robust, Normalization::Local] {
        let fit = Fit { normalization, percentiles: Some("5,60".parse().unwrap()) };
        let scaling = fit.volume(&stored, &Survey::of(&stored)).unwrap();
        let ends = [percentile(&image, 5.0), percentile(&image, 60.0)].map(|p| scaling.apply(p as f32));
        assert_close(&ends, &[0.0, 1.0], 1e-6);
    }
    let fit = Fit { normalization: Normalization::MinMax, percentiles: Some(Percentiles([1.0, 99.0])) };
    assert!(
        fit.volume(&stored, &Survey::of(&stored))
            .unwrap_err()
            .to_string()
            .contains("minmax has no percentiles")
    );
    let flat = Volume::from_array(volume(|i| f32::from(u8::from(i < 9))), None);
    let fit = Fit { normalization: Normalization::Local, percentiles: Some(Percentiles([1.0, 99.0])) };
    assert!(
        fit.volume(&flat, &Survey::of(&flat))
            .unwrap_err()
            .to_string()
            .contains("percentiles 1 and 99 are both 0")
    );
}

fn survey(volume: &Array3<f32>) -> Survey {
    Survey::of(&Volume::from_array(volume.clone(), None))
}

#[test]
fn the_region_that_shows_the_most_has_the_tissue() {
    let shape = [128, 96, 112];
    let everywhere = survey(&walls(shape, [0; 3]));
    assert_eq!(
        everywhere.richest(shape, [40, 40, 50]),
        [44, 28, 31],
        "the middle where there is tissue everywhere"
    );
    let corner = survey(&walls(shape, [88, 60, 70]));
    let start = corner.richest(shape, [40, 36, 42]);
    assert!(start[0] >= 72 && start[1] >= 44 && start[2] >= 54, "{start:?}");
    assert!((0..3).all(|a| start[a] + [40, 36, 42][a] <= shape[a]), "{start:?}");
    assert_eq!(corner.richest(shape, shape), [0; 3]);
    let nothing = survey(&Array3::from_elem(shape, 3.0));
    assert_eq!((nothing.range(), nothing.richest(shape, [8, 8, 8])), (None, [60, 44, 52]));
}

#[test]
fn dark_walls_are_told_from_bright_ones() {
    // Cells of 22 voxels in walls of two.
    let noise = walls([48, 50, 60], [48, 50, 60]);
    let wide = Array3::from_shape_fn([48, 50, 60], |(z, y, x)| {
        f32::from(u8::from([z, y, x].iter().any(|i| i % 24 < 2))) + noise[[z, y, x]]
    });
    let dark = wide.mapv(|value| 1.0 - value);
    let skewness = [&wide, &dark].map(|volume| survey(volume).skewness());
    assert!(skewness[0] > 0.0 && skewness[1] < 0.0, "{skewness:?}");
    for (volume, invert, doubted) in
        [(&wide, false, false), (&wide, true, true), (&dark, false, true), (&dark, true, false)]
    {
        let doubt = tascan::doubts::of_walls(&survey(volume), invert);
        assert_eq!(doubt.as_ref().is_some_and(|doubt| doubt.contains("--invert")), doubted, "{doubt:?}");
    }
    assert_eq!(tascan::doubts::of_walls(&survey(&Array3::zeros([20, 20, 20])), false), None);
}

#[test]
fn classes_without_membrane_are_doubted() {
    let classes = |membrane: usize| {
        Array3::from_shape_fn([10, 10, 10], |(z, y, x)| if (z * 10 + y) * 10 + x < membrane { 1 } else { 2 })
    };
    assert!(tascan::doubts::of_classes(classes(20).view()).unwrap().contains("--scale"));
    assert_eq!(tascan::doubts::of_classes(classes(100).view()), None);
    assert_eq!(tascan::doubts::of_classes(Array3::zeros([4, 4, 4]).view()), None);
}

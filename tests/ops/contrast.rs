//! Local contrast against plain loops over cubes in f64.
use ndarray::{Array3, ArrayView3, s};
use tascan::ops::contrast::{Contrast, LEVELS, LOWEST};
use tascan::volume::{Ranges, all};
use tascan::{Shape, Volume};

use super::grids;

/// What a voxel becomes by the formula, from levels.
fn by_formula(levels: ArrayView3<f64>, [z, y, x]: Shape, contrast: Contrast) -> f64 {
    let window = |at: usize, extent: usize| {
        at.saturating_sub(contrast.half_width)..(at + contrast.half_width + 1).min(extent)
    };
    let (depth, height, width) = levels.dim();
    let cube = levels.slice(s![window(z, depth), window(y, height), window(x, width)]);
    let mean = cube.mean().unwrap();
    let variance = cube.mapv(|q| (q - mean) * (q - mean)).mean().unwrap();
    let floor = f64::from((contrast.floor * LEVELS).round());
    (levels[[z, y, x]] - mean) / (variance + floor * floor).sqrt()
}

fn levels(fitted: &Array3<f32>) -> Array3<f64> {
    fitted.mapv(|v| f64::from((v - LOWEST) * LEVELS).round_ties_even().clamp(0.0, 65535.0))
}

fn noise(shape: Shape, seed: u64) -> Array3<f32> {
    Array3::from_shape_vec(shape, grids::noise(shape.iter().product(), seed)).unwrap()
}

/// Shapes with cubes that the faces clip on both sides, on one, on none.
const CASES: [(Shape, usize); 6] =
    [([5, 6, 7], 12), ([1, 1, 1], 3), ([9, 20, 41], 1), ([23, 9, 33], 4), ([1, 40, 3], 6), ([35, 3, 40], 16)];

#[test]
fn voxels_differ_from_their_cubes_by_the_formula() {
    for (shape, half_width) in CASES {
        for floor in [0.001, 0.05, 1.0] {
            let contrast = Contrast { half_width, floor };
            // From intensities below the lowest level to some above the highest.
            let fitted = noise(shape, 1).mapv(|v| 0.5 + 1.1 * v);
            let levels = levels(&fitted);
            let found = contrast.normalise(fitted.view(), &all(shape));
            for ((z, y, x), &found) in found.indexed_iter() {
                let expected = by_formula(levels.view(), [z, y, x], contrast);
                // Two conversions, a square root and a division, each rounded to 24 bits.
                let error = (f64::from(found) - expected).abs();
                assert!(error <= 2.4e-7 * expected.abs() + 1e-12, "{shape:?} {contrast:?}: {error}");
            }
        }
    }
}

#[test]
fn a_part_has_the_bits_that_it_has_in_the_whole() {
    let (shape, contrast) = ([31, 40, 53], Contrast { half_width: 5, floor: 0.05 });
    let fitted = noise(shape, 2);
    let whole = contrast.normalise(fitted.view(), &all(shape));
    for (start, extent) in [([0; 3], [8, 8, 8]), ([7, 9, 1], [20, 11, 52]), ([30, 39, 52], [1; 3])] {
        let (first, covered, part) = contrast.covered(start, extent, shape);
        let region = cut(fitted.view(), first, covered);
        for threads in [1, 2, 5] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let found = pool.install(|| contrast.normalise(region, &part));
            assert_eq!(found, cut(whole.view(), start, extent), "{extent:?} at {start:?}");
        }
    }
}

fn cut<T>(volume: ArrayView3<'_, T>, [z, y, x]: Shape, [depth, height, width]: Shape) -> ArrayView3<'_, T> {
    volume.slice_move(s![z..z + depth, y..y + height, x..x + width])
}

#[test]
fn brightness_and_contrast_far_above_the_floor_change_nothing() {
    let contrast = Contrast { half_width: 6, floor: 0.001 };
    let fitted = noise([13, 14, 15], 3).mapv(|v| 0.5 + 0.4 * v);
    let dim = fitted.mapv(|v| 0.1 + 0.25 * v);
    let [bright, dim] = [fitted, dim].map(|volume| contrast.normalise(volume.view(), &all([13, 14, 15])));
    let worst = bright.iter().zip(&dim).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= 1e-3, "{worst}");
}

#[test]
fn what_is_flat_becomes_zero_and_faint_noise_stays_faint() {
    let contrast = Contrast { half_width: 4, floor: 0.05 };
    let shape = [9, 10, 11];
    for value in [-7.0, 0.0, 0.3, 1.5, 80.0] {
        let flat = Array3::from_elem(shape, value);
        assert!(contrast.normalise(flat.view(), &all(shape)).iter().all(|&v| v == 0.0), "{value}");
    }
    let faint = noise(shape, 4).mapv(|v| 0.2 + 0.005 * v);
    assert!(contrast.normalise(faint.view(), &all(shape)).iter().all(|v| v.abs() <= 0.11));
}

#[test]
fn parameters_have_limits() {
    let message = |half_width, floor| Contrast { half_width, floor }.check().unwrap_err();
    assert!(message(0, 0.05).contains("half width of 0"));
    assert!(message(17, 0.05).contains("from 1 to 16"));
    assert!(message(12, 0.0).contains("floor of 0"));
    assert!(message(12, f32::NAN).contains("NaN"));
    Contrast::default().check().unwrap();
}

#[test]
fn a_block_of_a_volume_is_normalised_with_what_is_around_it() {
    use tascan::grey::Grey;
    use tascan::intensity::Scaling;
    let raw = noise([20, 21, 22], 5).mapv(|v| (1000.0 * (v + 1.0)) as u16);
    let scaling = Scaling { offset: 200.0, scale: 1.0 / 1500.0 };
    let contrast = Contrast { half_width: 3, floor: 0.02 };
    let fitted = raw.mapv(|v| scaling.apply(f32::from(v)));
    let volume = Volume::from_array(raw, None);
    let (start, extent): (Shape, Shape) = ([4, 0, 10], [9, 8, 12]);
    let (first, covered, part): (Shape, Shape, Ranges) = contrast.covered(start, extent, volume.shape());
    let grey = Grey::of_block(&volume, first, covered, scaling).with_contrast(contrast, part);
    assert_eq!((grey.shape(), grey.extent()), (extent, covered));
    let whole = contrast.normalise(fitted.view(), &all(volume.shape()));
    assert_eq!(grey.normalised(), cut(whole.view(), start, extent));
    assert_eq!(grey.into_normalised(), cut(whole.view(), start, extent));
}

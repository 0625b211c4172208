//! Augmentation: blur and bias field as the authors', turns that keep raw and truth together.
use ndarray::{Array3, s};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tascan::synth::field::gaussian_blur;
use tascan::train::augment::{Augmentation, bias_field};

use crate::compare::assert_close;
use crate::oracle;

/// The oracle's volume, and its every eighth plane after the named change.
fn reference(name: &str) -> Option<(Array3<f32>, Array3<f32>)> {
    let file = oracle::shared("oracle/train/augment_s64.npz")?;
    let input = oracle::array::<u8>(&file, "input").mapv(f32::from).into_dimensionality().unwrap();
    Some((input, oracle::array::<f32>(&file, name).into_dimensionality().unwrap()))
}

#[test]
fn blur_is_that_of_the_reference() {
    let Some((mut volume, expected)) = reference("blur_1.3_0.4_0.9") else { return };
    gaussian_blur(&mut volume, [1.3, 0.4, 0.9], 4.0);
    let planes = volume.slice(s![..;8, .., ..]).to_owned();
    // The reference sums in f64 within an axis; f32 differs in the seventh digit of 255.
    assert_close(planes.as_slice().unwrap(), expected.as_slice().unwrap(), 1e-4);
}

#[test]
fn bias_field_is_that_of_the_reference() {
    let Some((volume, expected)) = reference("biasfield") else { return };
    let file = oracle::shared("oracle/train/augment_s64.npz").unwrap();
    let coefficients: Vec<f32> =
        oracle::array::<f64>(&file, "biasfield_coefficients").iter().map(|&c| c as f32).collect();
    let changed = volume * bias_field([64; 3], &coefficients.try_into().unwrap());
    let planes = changed.slice(s![..;8, .., ..]).to_owned();
    assert_close(planes.as_slice().unwrap(), expected.as_slice().unwrap(), 2e-4);
}

/// Two cells side by side with a bright wall between.
fn wall() -> (Array3<f32>, Array3<u32>) {
    let raw = Array3::from_shape_fn((20, 22, 24), |(_, _, x)| if (11..13).contains(&x) { 1.0 } else { 0.1 });
    let labels = Array3::from_shape_fn(raw.dim(), |(_, _, x)| if x < 12 { 1 } else { 2 });
    (raw, labels)
}

fn only(change: impl FnOnce(&mut Augmentation)) -> Augmentation {
    let mut augmentation = Augmentation::none();
    change(&mut augmentation);
    augmentation
}

fn degraded(augmentation: &Augmentation, seed: u64) -> Array3<f32> {
    let (mut raw, labels) = wall();
    augmentation.degrade(&mut raw, labels.view(), &mut ChaCha8Rng::seed_from_u64(seed));
    raw
}

#[test]
fn nothing_changes_nothing() {
    let orientation = Augmentation::none().orientation(true, &mut ChaCha8Rng::seed_from_u64(1));
    assert_eq!(orientation.turn(wall().0.view()), wall().0);
    assert_eq!(degraded(&Augmentation::none(), 1), wall().0);
}

#[test]
fn the_same_generator_gives_the_same_bits() {
    let all = Augmentation {
        gaps: 1.0,
        blur: 1.0,
        noise: 1.0,
        bias: 1.0,
        gamma: 1.0,
        brightness: 1.0,
        ..Default::default()
    };
    assert_eq!(degraded(&all, 5), degraded(&all, 5));
    assert_ne!(degraded(&all, 5), degraded(&all, 6));
}

#[test]
fn gaps_darken_the_wall_and_nothing_else() {
    let (before, _) = wall();
    let after = degraded(&only(|a| a.gaps = 1.0), 3);
    assert!(after.iter().zip(&before).all(|(a, b)| a <= b && *a >= 0.1 - 1e-6));
    let mean = |v: &Array3<f32>| v.slice(s![.., .., 11..13]).mean().unwrap();
    assert!(mean(&after) < mean(&before) - 0.001, "{} {}", mean(&after), mean(&before));
    let open = after.slice(s![.., .., 11..13]).iter().filter(|&&v| v < 0.5).count();
    assert!(open > 3, "{open} voxels of the wall are open");
}

#[test]
fn noise_has_the_strength_asked_for() {
    let (before, _) = wall();
    for seed in 0..20 {
        let noise = degraded(&only(|a| a.noise = 1.0), seed) - &before;
        assert!(noise.std(0.0) <= 0.08 * 1.05, "{}", noise.std(0.0));
        assert!(noise.mean().unwrap().abs() < 0.08 * 0.05);
    }
}

proptest! {
    /// A voxel keeps its label and its neighbours whatever the turn.
    #[test]
    fn turns_keep_raw_and_truth_together(seed: u64, isotropic: bool, z in 1usize..6, y in 1usize..6, x in 1usize..6) {
        let orientation = Augmentation::default().orientation(isotropic, &mut ChaCha8Rng::seed_from_u64(seed));
        let source = orientation.source_shape([z, y, x]);
        let labels = Array3::from_shape_fn(source, |(z, y, x)| (z * 100 + y * 10 + x) as u32);
        let raw = labels.mapv(|l| l as f32);
        let (turned, turned_raw) = (orientation.turn(labels.view()), orientation.turn(raw.view()));
        prop_assert_eq!(turned.dim(), (z, y, x));
        prop_assert_eq!(turned.mapv(|l| l as f32), turned_raw);
        let sorted = |labels: &Array3<u32>| { let mut v: Vec<u32> = labels.iter().copied().collect(); v.sort_unstable(); v };
        prop_assert_eq!(sorted(&turned), sorted(&labels));
        if !isotropic {
            prop_assert!(turned.outer_iter().all(|plane| plane.iter().all(|l| l / 100 == plane[[0, 0]] / 100)));
        }
    }
}

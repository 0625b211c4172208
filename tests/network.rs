//! 3DCellSegNet against the authors' PyTorch model, and against itself: blocks, threads, instruction sets.
use std::path::Path;

use ndarray::{Array3, Array4, ArrayView3, Axis, Ix3, s};
use tascan::network::axes::{ORDERS, transposed};
use tascan::network::prediction::{Prediction, Predictor};
use tascan::network::{Network, TrainingNetwork};
use tascan::ops::softmax;
use tascan::tiles;
use tascan::volume::{Ranges, all};
use tascan::weights::Weights;

use crate::ops::grids;
use crate::{compare, oracle, recipe};

/// Probabilities `[class][z][y][x]`.
fn probabilities(network: &Network, block: ArrayView3<f32>) -> Array4<f32> {
    let (z, y, x) = block.dim();
    let mut found = Array4::from_elem([3, z, y, x], f32::NAN);
    network.logits(block, &all([z, y, x]), &mut |z, plane| {
        for (i, logits) in plane.iter().enumerate() {
            for (c, p) in softmax::softmax(*logits).into_iter().enumerate() {
                found[[c, z, i / x, i % x]] = p;
            }
        }
    });
    found
}

/// Bound on the difference from PyTorch in f32; the worst seen is 8e-7.
const TOLERANCE: f32 = 1e-5;

fn assert_like_pytorch(weights: &Weights, npz: &Path) {
    let input = oracle::array::<f32>(npz, "input");
    let input = input.index_axis_move(Axis(0), 0).index_axis_move(Axis(0), 0);
    let input = input.into_dimensionality::<Ix3>().unwrap();
    let found = probabilities(&Network::new(weights), input.view());
    if oracle::names(npz).iter().any(|name| name.trim_end_matches(".npy") == "out") {
        let expected = oracle::array::<f32>(npz, "out");
        let expected = expected.as_standard_layout();
        compare::assert_close(found.as_slice().unwrap(), expected.as_slice().unwrap(), TOLERANCE);
    } else {
        let planes = oracle::array::<i64>(npz, "out_slices_idx");
        let expected = oracle::array::<f32>(npz, "out_slices");
        for (i, z) in planes.iter().enumerate() {
            let plane = found.slice(s![.., *z as usize, .., ..]).as_standard_layout().into_owned();
            let expected = expected.slice(s![0, .., i, .., ..]).as_standard_layout().into_owned();
            compare::assert_close(plane.as_slice().unwrap(), expected.as_slice().unwrap(), TOLERANCE);
        }
    }
}

#[test]
fn probabilities_equal_pytorch_with_recipe_weights() {
    let weights = recipe::cellsegnet_weights(3);
    for name in ["11x13x19", "17x23x30", "24x24x24"] {
        if let Some(npz) = oracle::shared(&format!("oracle/net/cellsegnet_recipe_{name}.npz")) {
            assert_like_pytorch(&weights, &npz);
        }
    }
}

#[test]
fn probabilities_equal_pytorch_with_a_checkpoint_at_odd_sizes() {
    let Some(checkpoint) = oracle::shared("oracle/net/cellsegnet.pkl") else { return };
    let weights = Weights::load(checkpoint).unwrap();
    for name in ["7x15x1", "8x8x8", "9x10x11", "17x23x30", "40x33x56", "64x64x64"] {
        let npz =
            oracle::shared(&format!("oracle/net/cellsegnet_{name}.npz")).expect("beside the checkpoint");
        assert_like_pytorch(&weights, &npz);
    }
}

/// A volume without any structure: every voxel of a block then depends on all that it should.
fn noise(shape: [usize; 3]) -> Array3<f32> {
    Array3::from_shape_vec(shape, grids::noise(shape.iter().product(), 1)).unwrap()
}

fn predict(predictor: &Predictor, volume: &Array3<f32>, block: [usize; 3]) -> Prediction {
    let mut read = |start: [usize; 3], shape: [usize; 3]| {
        let [z, y, x] = start;
        Ok(volume.slice(s![z..z + shape[0], y..y + shape[1], x..x + shape[2]]).to_owned().into())
    };
    let shape = volume.dim().into();
    predictor.predict(shape, block, &mut read, &mut |_| ()).unwrap()
}

#[test]
fn blocks_and_threads_give_the_bits_of_the_whole_volume() {
    let mut predictor = Predictor::new(&recipe::cellsegnet_weights(3), false);
    predictor.keep_probabilities = true;
    let volume = noise([21, 61, 131]);
    let whole = predict(&predictor, &volume, [1000; 3]);
    for (block, threads) in [([8, 16, 24], 1), ([16, 40, 56], 3), ([24, 64, 8], 2), ([1000; 3], 5)] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let found = pool.install(|| predict(&predictor, &volume, block));
        assert!(found.classes == whole.classes, "classes differ in blocks of {block:?}");
        assert!(found.probabilities == whole.probabilities, "probabilities differ in blocks of {block:?}");
    }
}

#[test]
fn a_part_has_the_bits_of_the_whole() {
    let network = Network::new(&recipe::cellsegnet_weights(3));
    let shape = [41, 9, 14];
    let volume = noise(shape);
    let logits = |part: &Ranges| {
        let mut planes = Vec::new();
        network.logits(volume.view(), part, &mut |z, plane| planes.push((z, plane.to_vec())));
        planes
    };
    let whole = logits(&all(shape));
    // Beginning and ending anywhere, in one slab and in several.
    for part in [
        [0..41, 0..9, 0..14],
        [5..6, 8..9, 13..14],
        [7..40, 0..3, 1..9],
        [39..41, 4..5, 0..14],
        [8..32, 2..9, 3..4],
    ] {
        let [planes, rows, columns] = part.clone();
        let row = |(z, y): (usize, usize)| whole[z].1[14 * y..14 * (y + 1)][columns.clone()].to_vec();
        let plane = |z| rows.clone().flat_map(|y| row((z, y))).collect();
        let expected: Vec<_> = planes.enumerate().map(|(i, z)| (i, plane(z))).collect();
        assert!(logits(&part) == expected, "{part:?}");
    }
}

#[test]
fn any_size_from_one_voxel_up_has_probabilities() {
    let network = Network::new(&recipe::cellsegnet_weights(3));
    for shape in [[1, 1, 1], [1, 1, 9], [2, 1, 3], [1, 17, 5], [3, 3, 3]] {
        let found = probabilities(&network, noise(shape).view());
        for voxel in found.lanes(Axis(0)) {
            let sum: f32 = voxel.iter().sum();
            compare::assert_close(&[sum], &[1.0], 1e-6);
        }
    }
}

#[test]
fn transposed_weights_equal_a_transposed_volume() {
    let weights = recipe::cellsegnet_weights(3);
    let volume = noise([9, 14, 21]);
    for order in ORDERS {
        let turned = volume.view().permuted_axes(order).as_standard_layout().into_owned();
        let expected = probabilities(&Network::new(&weights), turned.view());
        // Axis a of the turned volume is axis order[a] of the volume.
        let mut back = [0; 4];
        for (a, axis) in order.into_iter().enumerate() {
            back[axis + 1] = a + 1;
        }
        let expected = expected.permuted_axes(back).as_standard_layout().into_owned();
        let found = probabilities(&Network::new(&transposed(&weights, order)), volume.view());
        compare::assert_close(found.as_slice().unwrap(), expected.as_slice().unwrap(), TOLERANCE);
    }
}

/// The authors' own tiling (`segment_super_vox_3_channel`): tiles clamped to the volume's end, each one
/// averaged with what earlier ones left there; they are visited in the order of the transposed volume.
fn authors_tiling(order: [usize; 3], volume: ArrayView3<f32>, crop: usize) -> Array4<f64> {
    let network = Network::new(&transposed(&recipe::cellsegnet_weights(3), order));
    let (z, y, x) = volume.dim();
    let mut blended = Array4::from_elem([3, z, y, x], f64::NAN);
    let starts = |extent: usize| (0..extent).step_by(crop).map(move |i| i.min(extent - crop));
    let mut tiles: Vec<[usize; 3]> =
        starts(z).flat_map(|i| starts(y).flat_map(move |j| starts(x).map(move |k| [i, j, k]))).collect();
    tiles.sort_by_key(|at| order.map(|axis| at[axis]));
    for [i, j, k] in tiles {
        let found = probabilities(&network, volume.slice(s![i..i + crop, j..j + crop, k..k + crop]));
        let mut part = blended.slice_mut(s![.., i..i + crop, j..j + crop, k..k + crop]);
        part.zip_mut_with(&found, |old, new| {
            let new = f64::from(*new);
            *old = if old.is_nan() { new } else { (*old + new) / 2.0 };
        });
    }
    blended
}

#[test]
fn the_four_axis_orders_give_the_masks_of_the_authors() {
    let Some(npz) = oracle::shared("oracle/tiles/tile_20x28x25_c64_s32_bigcrop.npz") else { return };
    let raw = oracle::array::<f32>(&npz, "raw").into_dimensionality::<Ix3>().unwrap();
    let mask = |name: &str| oracle::array::<u8>(&npz, name).into_dimensionality::<Ix3>().unwrap();
    // Their crop of 64 is halved until it fits, which gives 16.
    let maps = ORDERS.map(|order| authors_tiling(order, raw.view(), 16));
    let argmax = |map: &Array4<f64>, at: [usize; 3]| {
        let p = [0, 1, 2].map(|c| map[[c, at[0], at[1], at[2]]]);
        (0..3).rev().max_by(|a, b| p[*a].total_cmp(&p[*b])).unwrap()
    };
    for (class, name) in ["background", "boundary"].into_iter().enumerate() {
        for ((z, y, x), expected) in mask(name).indexed_iter() {
            let found = maps.iter().any(|map| argmax(map, [z, y, x]) == class);
            assert_eq!(u8::from(found), *expected, "{name} at {:?}", [z, y, x]);
        }
    }
}

#[test]
fn a_voxel_has_the_lowest_class_that_any_axis_order_gives_it() {
    let weights = recipe::cellsegnet_weights(3);
    let volume = noise([12, 9, 17]);
    let all = ORDERS.map(|order| {
        let mut one = Array3::from_elem(volume.raw_dim(), 9u8);
        Network::new(&transposed(&weights, order)).logits(
            volume.view(),
            &all([12, 9, 17]),
            &mut |z, plane| {
                for (class, logits) in one.index_axis_mut(Axis(0), z).iter_mut().zip(plane) {
                    *class = softmax::class(*logits);
                }
            },
        );
        one
    });
    let found = predict(&Predictor::new(&weights, true), &volume, [8; 3]).classes;
    for (at, class) in found.indexed_iter() {
        assert_eq!(*class, all.iter().map(|one| one[at]).min().unwrap());
    }
}

#[test]
fn training_mode_with_the_batch_as_running_statistics_equals_inference() {
    let shape = [11, 8, 13];
    let volume = noise(shape);
    let mut training = TrainingNetwork::new(recipe::cellsegnet_weights(3));
    let mut found = Vec::new();
    // The running statistics follow the batch's with momentum 0.1; the same batch over and over brings them there.
    for _ in 0..200 {
        found = training.forward(volume.as_slice().unwrap(), 1, shape).to_vec();
    }
    let inference = probabilities(&Network::new(training.weights()), volume.view());
    let expected = inference.permuted_axes([1, 2, 3, 0]).as_standard_layout().into_owned();
    // Running variances are unbiased, the batch's are not: 4 voxels at the coarsest grid make the difference.
    let mean: f32 = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).sum::<f32>() / found.len() as f32;
    assert!(mean <= 0.02, "mean difference {mean}");
}

#[test]
fn blocks_fit_the_memory_and_read_the_least() {
    let lrp = [2000, 1000, 500];
    // Found by trying all cuts in another language: they read 1.308 and 1.200 times the volume.
    assert_eq!(tiles::best_block(lrp, 81_818_181, 1), [336, 336, 504]);
    assert_eq!(tiles::best_block(lrp, 125_000_000, 1), [400, 504, 504]);
    let reads = |block: &tiles::Block| block.read_shape.iter().product::<usize>();
    for (most, volume) in [(600_000, [300, 200, 90]), (100_000_000, [20_001, 13, 700]), (90_000_000, lrp)] {
        let block = tiles::best_block(volume, most, 1);
        let blocks = tiles::blocks(volume, block);
        assert!(blocks.iter().all(|block| reads(block) as u64 <= most), "{block:?} of {volume:?}");
    }
    // Nothing fits.
    assert_eq!(tiles::best_block([300; 3], 1000, 1), [8; 3]);
}

#[test]
fn devices_share_a_volume_evenly() {
    // A single device has nothing to gain from smaller blocks.
    assert_eq!(tiles::best_block([100; 3], u64::MAX, 1), [104; 3]);
    assert_eq!(tiles::best_block([100; 3], u64::MAX, 2), [56, 104, 104]);
    assert_eq!(tiles::best_block([12, 16, 128], u64::MAX, 2), [16, 16, 64]);
    // Where memory asks for smaller blocks, there is an even number of them.
    let volume = [300, 400, 500];
    assert_eq!(tiles::blocks(volume, tiles::best_block(volume, 8_000_000, 2)).len() % 2, 0);
}

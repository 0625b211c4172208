//! The transposed convolutions on parts of their output; the whole of it is compared with the CPU by `tascan selftest`.
use std::sync::Arc;

use bytemuck::Pod;
use half::{bf16, f16};
use tascan::device::Precision;
use tascan::device::cuda::Gpu;
use tascan::device::cuda::convolution::Grid;
use tascan::network::needed;
use tascan::ops::batch_norm::Affine;
use tascan::ops::conv_transpose3d::NETWORK_SHAPES;
use tascan::volume::{Ranges, Shape, all};

use super::driver::emulated;
use crate::ops::grids::noise;

const SHAPE: Shape = [9, 18, 37];
const COARSER: Shape = [5, 9, 19];

/// From odd and even voxels on, in several tiles and in one, at the far end, and all.
fn parts() -> [Ranges; 4] {
    [[3..6, 1..17, 7..36], [8..9, 17..18, 35..37], [0..1, 4..8, 2..19], all(SHAPE)]
}

/// `values`, `[z][y][x][channel]`, within the part, and `others` outside it.
fn within<T: Copy>(part: &Ranges, shape: Shape, values: &[T], others: &[T]) -> Vec<T> {
    let ([_, rows, columns], channels) = (shape, values.len() / shape.iter().product::<usize>());
    let is_inside = |voxel: usize| {
        let place = [voxel / (rows * columns), voxel / columns % rows, voxel % columns];
        (0..3).all(|axis| part[axis].contains(&place[axis]))
    };
    let both = values.iter().zip(others).enumerate();
    both.map(|(i, (value, other))| if is_inside(i / channels) { *value } else { *other }).collect()
}

/// Each part by itself, the input beyond what it needs being no numbers.
fn compute_parts<T: Pod>(gpu: &Arc<Gpu>, precision: Precision, round: fn(f32) -> T) {
    let rounded = |values: Vec<f32>| values.into_iter().map(round).collect::<Vec<T>>();
    for conv in NETWORK_SHAPES {
        let weight: Vec<f32> = noise(conv.cin * conv.cout * 64, 2).into_iter().map(|w| 0.05 * w).collect();
        let norm = Affine { scale: noise(conv.cout, 3), shift: noise(conv.cout, 4) };
        let conv_on_gpu = conv.on_gpu(gpu, precision, &weight, &noise(conv.cout, 5), &norm).unwrap();
        let x = rounded(noise(COARSER.iter().product::<usize>() * conv.cin, 6));
        let skip = rounded(noise(SHAPE.iter().product::<usize>() * conv.cout, 7));
        let run = |x: &[T], part: &Ranges| -> Vec<T> {
            let (x, y) = (Grid::upload(gpu, COARSER, x).unwrap(), Grid::upload(gpu, SHAPE, &skip).unwrap());
            conv_on_gpu.run(&x, &y, &y, part).unwrap();
            y.download(gpu).unwrap()
        };
        let whole = run(&x, &all(SHAPE));
        let poison = vec![round(f32::NAN); x.len()];
        for part in parts() {
            let needed = [0, 1, 2].map(|axis| needed::by_doubling(&part[axis], COARSER[axis]));
            let found = run(&within(&needed, COARSER, &x, &poison), &part);
            let expected = within(&part, SHAPE, &whole, &skip);
            let same = bytemuck::cast_slice::<T, u8>(&found) == bytemuck::cast_slice::<T, u8>(&expected);
            assert!(same, "{part:?} to {} channels in {precision}", conv.cout);
        }
    }
}

#[test]
fn a_part_has_the_bits_of_the_whole_and_the_rest_stays() {
    emulated("cuda::doubling::a_part_has_the_bits_of_the_whole_and_the_rest_stays", |gpu| {
        compute_parts(gpu, Precision::F32, |value| value);
        compute_parts(gpu, Precision::F16, f16::from_f32);
        if gpu.check_precision(Precision::Bf16).is_ok() {
            compute_parts(gpu, Precision::Bf16, bf16::from_f32);
        }
    });
}

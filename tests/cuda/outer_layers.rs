//! The first and the last layer against plain loops in f64, down to a single voxel and beyond what a block of threads
//! computes.
use std::sync::Arc;

use bytemuck::Pod;
use half::{bf16, f16};
use ndarray::Array3;
use tascan::device::Precision;
use tascan::device::cuda::Gpu;
use tascan::device::cuda::convolution::Grid;
use tascan::grey::{Grey, Stored};
use tascan::intensity::Scaling;
use tascan::ops::activations::Activations;
use tascan::ops::batch_norm::Affine;
use tascan::ops::class_conv::{self, CIN, CLASSES, Part};
use tascan::ops::cuda::places::{Places, Target};
use tascan::ops::first_conv::{COUT, Voxels};
use tascan::volume::Shape;

use super::driver::emulated;
use crate::compare;
use crate::ops::grids::{noise, voxels};
use crate::ops::{class_conv as plain_class, first_conv as plain_first};

/// Those at the end go beyond what a block of threads computes.
pub(super) const SHAPES: [Shape; 5] = [[1, 1, 1], [2, 1, 3], [1, 9, 2], [3, 2, 34], [26, 17, 18]];

/// A precision's numbers, and how far they may be off, as a fraction of the greatest: weights and results are rounded
/// once each. Worst seen: 1e-6 in f32, 4.5e-4 in f16, 3.1e-3 in bf16.
pub(super) trait Value: Pod + Into<f64> {
    const PRECISION: Precision;
    const TOLERANCE: f64;
    fn of(value: f32) -> Self;
}

impl Value for f32 {
    const PRECISION: Precision = Precision::F32;
    const TOLERANCE: f64 = 1e-5;
    fn of(value: f32) -> Self {
        value
    }
}

impl Value for f16 {
    const PRECISION: Precision = Precision::F16;
    const TOLERANCE: f64 = 1e-3;
    fn of(value: f32) -> Self {
        f16::from_f32(value)
    }
}

impl Value for bf16 {
    const PRECISION: Precision = Precision::Bf16;
    const TOLERANCE: f64 = 8e-3;
    fn of(value: f32) -> Self {
        bf16::from_f32(value)
    }
}

/// Panics unless all are within the tolerance, as a fraction of the greatest that is expected.
#[track_caller]
fn assert_near<V: Value>(what: &str, found: impl Iterator<Item = f64>, expected: &[f64]) {
    let greatest = expected.iter().fold(0.0, |greatest: f64, value| greatest.max(value.abs()));
    let mut worst = 0.0_f64;
    for (found, expected) in found.zip(expected) {
        compare::assert_close_f64(found, *expected, V::TOLERANCE * greatest);
        worst = worst.max((found - expected).abs() / greatest);
    }
    println!("{what} in {}: worst {worst:e}", V::PRECISION);
}

fn first_layer<V: Value>(gpu: &Arc<Gpu>) {
    let parameters = plain_first::parameters();
    let norm = Affine { scale: noise(COUT, 6), shift: noise(COUT, 7) };
    let conv = plain_first::conv(&parameters).on_gpu(gpu, V::PRECISION, &norm).unwrap();
    for shape in SHAPES {
        let numbers = Array3::from_shape_vec(shape, noise(shape.iter().product(), 8)).unwrap();
        let numbers = numbers.mapv(|x| (1000.0 + 900.0 * x) as u16);
        let grey = Grey::new(Stored::U16(numbers), Scaling { offset: 987.6, scale: 1.0 / 345.6 });
        let output =
            Grid::upload(gpu, shape, &vec![V::of(f32::NAN); shape.iter().product::<usize>() * COUT]).unwrap();
        conv.run(&Voxels::send(gpu, &grey).unwrap(), &output).unwrap();
        let x = grey.into_normalised();
        let relu = |place, o| {
            let sum = plain_first::plain(&parameters, &x, place, o);
            (f64::from(norm.scale[o]) * sum + f64::from(norm.shift[o])).max(0.0)
        };
        let expected: Vec<f64> = voxels(1, shape)
            .flat_map(|(_, place)| (0..COUT).map(move |o| (place, o)))
            .map(|(place, o)| relu(place, o))
            .collect();
        let found = output.download::<V>(gpu).unwrap().into_iter().map(V::into);
        assert_near::<V>(&format!("first layer {shape:?}"), found, &expected);
    }
}

/// Sixteenths, which all precisions have.
pub(super) fn sixteenths(shape: Shape) -> Activations {
    let mut grid = Activations::zeros(1, shape, CIN);
    let values = noise(shape.iter().product::<usize>() * CIN, 3);
    let row_len = shape[2] * CIN;
    grid.par_rows_mut(
        || (),
        |(), at, row| {
            let from = &values[(at.z * shape[1] + at.y) * row_len..];
            row.iter_mut().zip(from).for_each(|(to, from)| *to = (from * 16.0).round() / 16.0);
        },
    );
    grid
}

fn last_layer<V: Value>(gpu: &Arc<Gpu>) {
    let (weight, bias) = (noise(CLASSES * CIN * 27, 1), noise(CLASSES, 2));
    let conv = class_conv::on_gpu(gpu, V::PRECISION, &weight, &bias).unwrap();
    for shape in SHAPES {
        let x = sixteenths(shape);
        let values: Vec<V> = x.rows().flat_map(|at| x.row(at)).map(|value| V::of(*value)).collect();
        let input = Grid::upload(gpu, shape, &values).unwrap();
        let run = |first: Shape, shape: Shape| -> Vec<f32> {
            let poison = vec![f32::NAN; shape.iter().product::<usize>() * CLASSES];
            let logits = Grid::upload(gpu, shape, &poison).unwrap();
            let places = Places::alone(Target::Logits(&logits));
            conv.run(&input, &Part { first, shape, places }).unwrap();
            logits.download(gpu).unwrap()
        };
        let whole = run([0; 3], shape);
        let logit = |place, class| plain_class::plain(&weight, &bias, &x, 0, place, class);
        let expected: Vec<f64> = voxels(1, shape)
            .flat_map(|(_, place)| (0..CLASSES).map(move |class| (place, class)))
            .map(|(place, class)| logit(place, class))
            .collect();
        assert_near::<V>(
            &format!("last layer {shape:?}"),
            whole.iter().map(|value| f64::from(*value)),
            &expected,
        );
        // From the middle on: the same bits, though other blocks of threads compute them.
        let first = shape.map(|n| n / 2);
        let part = [0, 1, 2].map(|axis| shape[axis] - first[axis]);
        let of_part = voxels(1, part).flat_map(|(_, place)| {
            let [z, y, x] = [0, 1, 2].map(|axis| first[axis] + place[axis] as usize);
            let start = ((z * shape[1] + y) * shape[2] + x) * CLASSES;
            &whole[start..start + CLASSES]
        });
        assert!(run(first, part).iter().eq(of_part), "{shape:?} in {}", V::PRECISION);
    }
}

#[test]
fn the_first_layer_equals_plain_loops() {
    emulated("cuda::outer_layers::the_first_layer_equals_plain_loops", |gpu| {
        first_layer::<f32>(gpu);
        first_layer::<f16>(gpu);
        if gpu.check_precision(Precision::Bf16).is_ok() {
            first_layer::<bf16>(gpu);
        }
    });
}

#[test]
fn the_last_layer_equals_plain_loops() {
    emulated("cuda::outer_layers::the_last_layer_equals_plain_loops", |gpu| {
        last_layer::<f32>(gpu);
        last_layer::<f16>(gpu);
        if gpu.check_precision(Precision::Bf16).is_ok() {
            last_layer::<bf16>(gpu);
        }
    });
}

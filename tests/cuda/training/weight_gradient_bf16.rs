//! The gradients to the weights of batches in bf16 against those of the CPU in f32, of the same values.
use std::sync::Arc;

use tascan::device::Precision;
use tascan::device::cuda::Gpu;
use tascan::device::cuda::training::packing::Packing;
use tascan::device::cuda::training::{Batch, Parameters, weight_gradient};
use tascan::error::Result;
use tascan::ops::activations::Activations;
use tascan::ops::class_conv;
use tascan::ops::conv_transpose3d::ConvTranspose3d;
use tascan::ops::conv3d::{Conv3d, Method};
use tascan::ops::first_conv::{self, FirstConv};

use super::super::driver::emulated;
use super::{assert_near, parameters, upload, values, weights};
use crate::ops::grids::{noise, noisy};

/// That of f32: products of bf16 are exact in f32, and sums are made there. Worst seen: 4e-7.
const TOLERANCE: f32 = 5e-6;
/// Volumes and the extent of the finer grid. The coarser one of the last has rows of three tiles, two rows of them, and more tiles
/// than four chunks have.
const SHAPES: [(usize, [usize; 3]); 3] = [(2, [1, 1, 1]), (1, [3, 5, 9]), (2, [5, 11, 37])];

struct Layers {
    gpu: Arc<Gpu>,
    parameters: Parameters,
    packing: Packing,
}

impl Layers {
    fn new(gpu: &Arc<Gpu>) -> Self {
        let packing = Packing::new(gpu, Precision::Bf16).unwrap();
        Layers { gpu: gpu.clone(), parameters: parameters(gpu), packing }
    }

    fn upload(&self, grid: &Activations) -> Batch {
        Batch::upload(&self.gpu, Precision::Bf16, grid.n, grid.shape, &values(grid)).unwrap()
    }

    /// What `write` writes there, the same bits each time.
    #[track_caller]
    fn assert_gradients(&self, expected: &[(&str, &[f32])], write: impl Fn() -> Result<()>) {
        let gradient = |(name, _): &(&str, _)| self.parameters.gradient_of(name).unwrap();
        let [first, again] = [(); 2].map(|()| {
            write().unwrap();
            expected.iter().map(gradient).collect::<Vec<_>>()
        });
        assert!(first == again);
        for ((name, expected), found) in expected.iter().zip(first) {
            assert_near(name, &found, expected, TOLERANCE);
        }
    }
}

/// Runs `work` for each shape where there are tensor cores for bf16.
#[track_caller]
fn on_each(test: &str, work: impl Fn(&Layers, usize, [usize; 3])) {
    emulated(&format!("cuda::training::weight_gradient_bf16::{test}"), |gpu| {
        if gpu.check_precision(Precision::Bf16).is_ok() {
            let layers = Layers::new(gpu);
            SHAPES.iter().for_each(|(n, shape)| work(&layers, *n, *shape));
        }
    });
}

/// Noise of values that bf16 has.
fn rounded(n: usize, shape: [usize; 3], channels: usize, seed: u64) -> Activations {
    let mut grid = noisy(n, shape, channels, seed);
    let round = |row: &mut [f32]| {
        let rounded = Precision::Bf16.decode(&Precision::Bf16.encode(row));
        row.copy_from_slice(&rounded);
    };
    grid.par_rows_mut(|| (), |(), _, row| round(row));
    grid
}

fn halved(shape: [usize; 3]) -> [usize; 3] {
    shape.map(|extent| extent.div_ceil(2))
}

#[test]
fn of_halving_ones_equal_those_of_the_cpu() {
    on_each("of_halving_ones_equal_those_of_the_cpu", |layers, n, shape| {
        for (name, cin) in [("conv3", 32), ("conv4", 64)] {
            let (x, dy) = (rounded(n, shape, cin, 1), rounded(n, halved(shape), 64, 2));
            let [x_gpu, dy_gpu] = [&x, &dy].map(|grid| layers.upload(grid));
            let mut dw = vec![f32::NAN; 64 * cin * 27];
            let conv = Conv3d { cin, cout: 64, stride: 2, method: Method::Plain };
            conv.backward_weights(&x, &dy, &mut dw);
            layers.assert_gradients(&[(&format!("{name}.weight"), &dw)], || {
                weight_gradient::halve(&layers.parameters, &layers.packing, name, &x_gpu, &dy_gpu)
            });
        }
    });
}

#[test]
fn of_residual_ones_equal_those_of_the_cpu() {
    on_each("of_residual_ones_equal_those_of_the_cpu", |layers, n, shape| {
        let (a, dy) = (rounded(n, shape, 64, 1), rounded(n, shape, 64, 3));
        let [a_gpu, dy_gpu] = [&a, &dy].map(|grid| layers.upload(grid));
        let mut dw = vec![f32::NAN; 64 * 64 * 27];
        let conv = Conv3d { cin: 64, cout: 64, stride: 1, method: Method::Plain };
        conv.backward_weights(&a, &dy, &mut dw);
        let name = "resmodule2.conv_module";
        layers.assert_gradients(&[(&format!("{name}.weight"), &dw)], || {
            weight_gradient::residual(&layers.parameters, &layers.packing, name, &a_gpu, &dy_gpu)
        });
    });
}

#[test]
fn of_doubling_ones_equal_those_of_the_cpu() {
    on_each("of_doubling_ones_equal_those_of_the_cpu", |layers, n, shape| {
        for (name, cout) in [("deconv2", 64), ("deconv3", 32)] {
            let (x, dy) = (rounded(n, halved(shape), 64, 5), rounded(n, shape, cout, 4));
            let [x_gpu, dy_gpu] = [&x, &dy].map(|grid| layers.upload(grid));
            let mut dw = vec![f32::NAN; 64 * cout * 64];
            let deconv = ConvTranspose3d { cin: 64, cout, method: Method::Plain };
            deconv.backward_weights(&x, &dy, &mut dw);
            layers.assert_gradients(&[(&format!("{name}.weight"), &dw)], || {
                weight_gradient::double(&layers.parameters, &layers.packing, name, &x_gpu, &dy_gpu)
            });
        }
    });
}

#[test]
fn of_the_first_one_equals_that_of_the_cpu() {
    on_each("of_the_first_one_equals_that_of_the_cpu", |layers, n, shape| {
        let weights = weights();
        let [[weight1, bias1], [weight2, bias2]] = ["conv1", "conv2"]
            .map(|name| ["weight", "bias"].map(|kind| weights.get(&format!("{name}.{kind}"))));
        let (raw, dy) = (noise(n * shape.iter().product::<usize>(), 6), rounded(n, shape, 32, 7));
        let volumes = raw.chunks_exact(raw.len() / n);
        let views: Vec<_> =
            volumes.map(|volume| ndarray::ArrayView3::from_shape(shape, volume).unwrap()).collect();
        let conv = FirstConv { weight1, bias1, weight2, bias2 };
        let expected = conv.backward_weights(&first_conv::input(&views), &dy);
        let x_gpu = Batch::upload(&layers.gpu, Precision::F32, n, shape, &raw).unwrap();
        let dy_gpu = layers.upload(&dy);
        // The gradients to conv1 and conv2 come from that to their product.
        layers.packing.pack(&layers.parameters).unwrap();
        let gradients = [
            ("conv1.weight", &*expected.weight1),
            ("conv1.bias", &*expected.bias1),
            ("conv2.weight", &*expected.weight2),
        ];
        layers.assert_gradients(&gradients, || {
            weight_gradient::first(&layers.parameters, &layers.packing, &x_gpu, &dy_gpu)
        });
    });
}

#[test]
fn of_the_last_one_equals_that_of_the_cpu() {
    on_each("of_the_last_one_equals_that_of_the_cpu", |layers, n, shape| {
        let (u1, dy) = (rounded(n, shape, 32, 8), noisy(n, shape, 3, 9));
        let (u1_gpu, dy_gpu) = (layers.upload(&u1), upload(&layers.gpu, Precision::F32, &dy));
        let mut dw = vec![f32::NAN; 3 * 32 * 27];
        class_conv::backward_weights(&u1, &dy, &mut dw);
        layers.assert_gradients(&[("conv6.weight", &dw)], || {
            weight_gradient::classes(&layers.parameters, &layers.packing, &u1_gpu, &dy_gpu)
        });
    });
}

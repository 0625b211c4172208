//! The convolutions, and their gradients to input and weights.
use std::sync::Arc;

use tascan::device::Precision;
use tascan::device::cuda::Gpu;
use tascan::device::cuda::training::packing::Packing;
use tascan::device::cuda::training::{Batch, Parameters, convolution, weight_gradient};
use tascan::network::layout;
use tascan::ops::activations::Activations;
use tascan::ops::class_conv;
use tascan::ops::conv_transpose3d::ConvTranspose3d;
use tascan::ops::conv3d::{Conv3d, Method};
use tascan::ops::first_conv::{self, FirstConv};
use tascan::weights::Weights;

use super::super::driver::emulated;
use super::{assert_near, assert_rounded, noisy, parameters, precisions, upload, values, weights};
use crate::ops::grids::{self, poisoned};

/// Worst seen: 7e-7.
const TOLERANCE: f32 = 5e-6;
/// Volumes and the extent of the finer grid. The coarser one of the last has rows of three tiles, two rows of them, and more tiles
/// than the chunks of a gradient to weights.
const SHAPES: [(usize, [usize; 3]); 4] = [(2, [1, 1, 1]), (1, [3, 5, 9]), (2, [5, 4, 2]), (2, [5, 11, 37])];

struct Layers {
    gpu: Arc<Gpu>,
    precision: Precision,
    /// As the kernels have them.
    weights: Weights,
    parameters: Parameters,
    packing: Packing,
}

impl Layers {
    /// In all precisions that the GPU has.
    fn each(gpu: &Arc<Gpu>) -> impl Iterator<Item = Layers> {
        precisions(gpu).map(|precision| Layers::new(gpu, precision))
    }

    fn new(gpu: &Arc<Gpu>, precision: Precision) -> Self {
        let (parameters, packing) = (parameters(gpu), Packing::new(gpu, precision).unwrap());
        packing.pack(&parameters).unwrap();
        let mut weights = weights();
        for (parameter, range) in layout::tensors() {
            let is_wide = parameter.shape.len() == 5
                && !["conv1", "conv2", "conv6"].contains(&layer_of(parameter.name));
            if is_wide {
                let tensor = &mut weights.values[range];
                tensor.copy_from_slice(&precision.decode(&precision.encode(tensor)));
            }
        }
        Layers { gpu: gpu.clone(), precision, weights, parameters, packing }
    }

    fn layer(&self, name: &str) -> [&[f32]; 2] {
        ["weight", "bias"].map(|kind| self.weights.get(&format!("{name}.{kind}")))
    }

    fn noisy(&self, n: usize, shape: [usize; 3], channels: usize, seed: u64) -> Activations {
        noisy(self.precision, n, shape, channels, seed)
    }

    fn upload(&self, grid: &Activations) -> Batch {
        upload(&self.gpu, self.precision, grid)
    }

    /// Voxels and logits have no other precision.
    fn upload_f32(&self, grid: &Activations) -> Batch {
        upload(&self.gpu, Precision::F32, grid)
    }

    #[track_caller]
    fn assert_gradient(&self, name: &str, expected: &[f32]) {
        assert_near(name, &self.parameters.gradient_of(name).unwrap(), expected, TOLERANCE);
    }
}

fn layer_of(tensor: &str) -> &str {
    tensor.rsplit_once('.').map_or(tensor, |(layer, _)| layer)
}

#[track_caller]
fn assert_batch(what: &str, found: &Batch, expected: &Activations) {
    assert_rounded(what, found, &values(expected), TOLERANCE);
}

fn halved(shape: [usize; 3]) -> [usize; 3] {
    shape.map(|extent| extent.div_ceil(2))
}

#[test]
fn halving_ones_equal_those_of_the_cpu() {
    emulated("cuda::training::convolution::halving_ones_equal_those_of_the_cpu", |gpu| {
        for layers in Layers::each(gpu) {
            for (name, cin) in [("conv3", 32), ("conv4", 64)] {
                for (n, shape) in SHAPES {
                    halve(&layers, name, layers.noisy(n, shape, cin, 1));
                }
            }
        }
    });
}

fn halve(layers: &Layers, name: &'static str, x: Activations) {
    let conv = Conv3d { cin: x.channels, cout: 64, stride: 2, method: Method::Plain };
    let ([weight, bias], n, coarse) = (layers.layer(name), x.n, halved(x.shape));
    let [dy, skip] = [layers.noisy(n, coarse, 64, 2), layers.noisy(n, x.shape, x.channels, 3)];
    let [x_gpu, dy_gpu] = [&x, &dy].map(|grid| layers.upload(grid));
    let Layers { parameters, packing, .. } = layers;

    let mut y = poisoned(n, coarse, 64);
    conv.forward(weight, bias).all(&x, &mut y);
    assert_batch(name, &convolution::halve(parameters, packing, name, &x_gpu).unwrap(), &y);
    let mut dx = poisoned(n, x.shape, x.channels);
    conv.backward_input(weight, &dy, &mut dx);
    dx.par_rows_mut(|| (), |(), at, row| row.iter_mut().zip(skip.row(at)).for_each(|(dx, skip)| *dx += skip));
    let found = convolution::halve_to_input(packing, name, &dy_gpu, &layers.upload(&skip)).unwrap();
    assert_batch("to input", &found, &dx);
    let mut dw = vec![f32::NAN; weight.len()];
    conv.backward_weights(&x, &dy, &mut dw);
    weight_gradient::halve(parameters, packing, name, &x_gpu, &dy_gpu).unwrap();
    layers.assert_gradient(&format!("{name}.weight"), &dw);
}

#[test]
fn residual_ones_equal_those_of_the_cpu() {
    emulated("cuda::training::convolution::residual_ones_equal_those_of_the_cpu", |gpu| {
        for layers in Layers::each(gpu) {
            for (n, shape) in SHAPES {
                residual(&layers, "resmodule2.conv_module", n, shape);
            }
        }
    });
}

fn residual(layers: &Layers, name: &'static str, n: usize, shape: [usize; 3]) {
    let conv = Conv3d { cin: 64, cout: 64, stride: 1, method: Method::Plain };
    let [weight, bias] = layers.layer(name);
    let [a, h, dy] = [1, 2, 3].map(|seed| layers.noisy(n, shape, 64, seed));
    let [a_gpu, dy_gpu] = [&a, &dy].map(|grid| layers.upload(grid));
    let Layers { parameters, packing, .. } = layers;

    let mut y = poisoned(n, shape, 64);
    conv.forward(weight, bias).run(&a, &mut y, |at, result, row| {
        row.iter_mut().zip(result).zip(h.row(at)).for_each(|((y, r), h)| *y = r + h);
    });
    let found = convolution::residual(parameters, packing, name, &a_gpu, &layers.upload(&h)).unwrap();
    assert_batch(name, &found, &y);
    let mut da = poisoned(n, shape, 64);
    conv.backward_input(weight, &dy, &mut da);
    assert_batch("to input", &convolution::residual_to_input(packing, name, &dy_gpu).unwrap(), &da);
    let mut dw = vec![f32::NAN; weight.len()];
    conv.backward_weights(&a, &dy, &mut dw);
    weight_gradient::residual(parameters, packing, name, &a_gpu, &dy_gpu).unwrap();
    layers.assert_gradient(&format!("{name}.weight"), &dw);
}

#[test]
fn doubling_ones_equal_those_of_the_cpu() {
    emulated("cuda::training::convolution::doubling_ones_equal_those_of_the_cpu", |gpu| {
        for layers in Layers::each(gpu) {
            for (name, cout) in [("deconv2", 64), ("deconv3", 32)] {
                for (n, shape) in SHAPES {
                    double(&layers, name, layers.noisy(n, shape, cout, 4));
                }
            }
        }
    });
}

fn double(layers: &Layers, name: &'static str, dy: Activations) {
    let deconv = ConvTranspose3d { cin: 64, cout: dy.channels, method: Method::Plain };
    let ([weight, bias], n) = (layers.layer(name), dy.n);
    let x = layers.noisy(n, halved(dy.shape), 64, 5);
    let [x_gpu, dy_gpu] = [&x, &dy].map(|grid| layers.upload(grid));
    let Layers { parameters, packing, .. } = layers;

    let mut y = poisoned(n, dy.shape, dy.channels);
    deconv.forward(weight, bias).all(&x, &mut y);
    assert_batch(name, &convolution::double(parameters, packing, name, &x_gpu, &dy_gpu).unwrap(), &y);
    let mut dx = poisoned(n, x.shape, 64);
    deconv.backward_input(weight, &dy, &mut dx);
    assert_batch("to input", &convolution::double_to_input(packing, name, &dy_gpu, &x_gpu).unwrap(), &dx);
    let mut dw = vec![f32::NAN; weight.len()];
    deconv.backward_weights(&x, &dy, &mut dw);
    weight_gradient::double(parameters, packing, name, &x_gpu, &dy_gpu).unwrap();
    layers.assert_gradient(&format!("{name}.weight"), &dw);
}

#[test]
fn the_first_and_the_last_equal_those_of_the_cpu() {
    emulated("cuda::training::convolution::the_first_and_the_last_equal_those_of_the_cpu", |gpu| {
        for layers in Layers::each(gpu) {
            for (n, shape) in SHAPES.into_iter().chain([(2, [9, 8, 10])]) {
                first(&layers, n, shape);
                classes(&layers, n, shape);
            }
        }
    });
}

fn first(layers: &Layers, n: usize, shape: [usize; 3]) {
    let ([weight1, bias1], [weight2, bias2]) = (layers.layer("conv1"), layers.layer("conv2"));
    let conv = FirstConv { weight1, bias1, weight2, bias2 };
    let (raw, dy) = (grids::noisy(n, shape, 1, 6), layers.noisy(n, shape, 32, 7));
    let volumes = values(&raw);
    let volumes = volumes.chunks_exact(volumes.len() / n);
    let views: Vec<_> =
        volumes.map(|volume| ndarray::ArrayView3::from_shape(shape, volume).unwrap()).collect();
    let x = first_conv::input(&views);
    let (x_gpu, dy_gpu) = (layers.upload_f32(&raw), layers.upload(&dy));
    let Layers { parameters, packing, .. } = layers;

    let mut y = poisoned(n, shape, 32);
    conv.forward().all(&x, &mut y);
    assert_batch("first", &convolution::first(parameters, packing, &x_gpu).unwrap(), &y);
    let expected = conv.backward_weights(&x, &dy);
    weight_gradient::first(parameters, packing, &x_gpu, &dy_gpu).unwrap();
    layers.assert_gradient("conv1.weight", &expected.weight1);
    layers.assert_gradient("conv1.bias", &expected.bias1);
    layers.assert_gradient("conv2.weight", &expected.weight2);
}

fn classes(layers: &Layers, n: usize, shape: [usize; 3]) {
    let [weight, bias] = layers.layer("conv6");
    let (u1, dy) = (layers.noisy(n, shape, 32, 8), grids::noisy(n, shape, 3, 9));
    let (u1_gpu, dy_gpu) = (layers.upload(&u1), layers.upload_f32(&dy));
    let Layers { parameters, packing, .. } = layers;

    let conv = class_conv::ClassConv::new(weight, bias);
    let mut y = poisoned(n, shape, 3);
    y.par_rows_mut(
        || (),
        |(), at, row| {
            let isa = tascan::device::cpu::simd::Isa::detect();
            conv.row(isa, &u1, at.n, [at.z, at.y, 0], row.as_chunks_mut::<3>().0);
        },
    );
    assert_batch("classes", &convolution::classes(parameters, packing, &u1_gpu).unwrap(), &y);
    let mut du1 = poisoned(n, shape, 32);
    class_conv::backward_input(weight, &dy, &mut du1);
    assert_batch("to input", &convolution::classes_to_input(packing, &dy_gpu).unwrap(), &du1);
    let mut dw = vec![f32::NAN; weight.len()];
    class_conv::backward_weights(&u1, &dy, &mut dw);
    weight_gradient::classes(parameters, packing, &u1_gpu, &dy_gpu).unwrap();
    layers.assert_gradient("conv6.weight", &dw);
}

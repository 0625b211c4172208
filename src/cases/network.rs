//! The layers of the network at inference, and the network as a whole.
use std::sync::Arc;

use half::{bf16, f16};
use ndarray::Array3;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::{About, Case, Pipe, Visit, Work, absolute, exact, relative};
use crate::device::cpu::simd::Isa;
use crate::device::cuda::Gpu;
use crate::device::cuda::convolution::{Convolution, Grid};
use crate::device::cuda::volume::DeviceVolume;
use crate::device::{Device, Precision};
use crate::error::Result;
use crate::network::engine::Engine;
use crate::network::multiply_adds;
use crate::ops::activations::Activations;
use crate::ops::batch_norm::Affine;
use crate::ops::class_conv::{self, CLASSES, ClassConv};
use crate::ops::conv_transpose3d::ConvTranspose3d;
use crate::ops::conv3d::{Conv3d, Method};
use crate::ops::first_conv::{self, FirstConv, MIDDLE};
use crate::ops::{cuda, softmax};
use crate::pipeline::Model;
use crate::volume::Shape;

/// Sums of f32 in another order: some hundred roundings of 2^-24, of which most cancel.
const F32_TOLERANCE: f64 = 1e-5;
/// Weights and results rounded to 11 bits, once each.
const F16_TOLERANCE: f64 = 2e-3;
/// As above to 8 bits: a rounding is off by 2^-8 of the value at most, where that to f16 is by 2^-11.
const BF16_TOLERANCE: f64 = 8.0 * F16_TOLERANCE;

/// Greatest deviations that are rounding: of a layer, as a fraction of its greatest value, and of the network's
/// probabilities, which is what it may make of the former.
fn tolerances(precision: Precision) -> [f64; 2] {
    match precision {
        Precision::F32 => [F32_TOLERANCE, 1e-5],
        Precision::F16 => [F16_TOLERANCE, 5e-3],
        Precision::Bf16 => [BF16_TOLERANCE, 4e-2],
    }
}

/// `values` in `precision`.
fn rounded(precision: Precision, values: &mut [f32]) {
    let each = |round: fn(f32) -> f32, values: &mut [f32]| values.iter_mut().for_each(|v| *v = round(*v));
    match precision {
        Precision::F32 => (),
        Precision::F16 => each(|value| f16::from_f32(value).to_f32(), values),
        Precision::Bf16 => each(|value| bf16::from_f32(value).to_f32(), values),
    }
}

pub(super) fn visit_all(gpu: Option<&Arc<Gpu>>, edge: usize, visit: Visit) -> Result<()> {
    // The CPU knows f32 alone.
    let has = |precision: &Precision| match gpu {
        Some(gpu) => gpu.check_precision(*precision).is_ok(),
        None => *precision == Precision::F32,
    };
    for precision in Precision::ALL.into_iter().filter(has) {
        let layers = Layers { gpu, precision, edge };
        layers.first_conv(visit)?;
        layers.conv3d(32, 0, visit)?;
        layers.conv3d(64, 1, visit)?;
        layers.residual(visit)?;
        layers.conv_transpose3d(64, 2, visit)?;
        layers.conv_transpose3d(32, 1, visit)?;
        layers.class_conv(visit)?;
        layers.network(visit)?;
    }
    classes(gpu, edge, visit)
}

/// The class of every voxel, of logits of which some are equal.
fn classes(gpu: Option<&Arc<Gpu>>, edge: usize, visit: Visit) -> Result<()> {
    let voxels = edge.pow(3);
    let logits: Vec<f32> = noise(1, CLASSES * voxels, 2.5).into_iter().map(f32::round).collect();
    let sent = gpu.map(|gpu| Grid::upload(gpu, [edge; 3], &logits)).transpose()?;
    let about = About {
        operation: "softmax class",
        shape: format!("{edge}^3x{CLASSES} to {edge}^3x1"),
        dtype: "f32",
        work: Work { operations: (2 * voxels) as f64, bytes: (voxels * (4 * CLASSES + 1)) as f64 },
        pipe: Pipe::Scalar,
        tolerance: 0.0,
    };
    let cpu = || logits.as_chunks().0.par_iter().map(|logits| softmax::class(*logits)).collect::<Vec<_>>();
    let launch = gpu.zip(sent).map(|(gpu, sent)| move || cuda::classes::classes(gpu, &sent));
    let compare = |expected: &Vec<u8>, found: &DeviceVolume<u8>| match gpu {
        Some(gpu) => Ok(exact(expected, &found.download(gpu)?.into_raw_vec_and_offset().0)),
        None => Ok(0.0),
    };
    visit(&Case::new(about, cpu, launch, compare))
}

/// Repeatable numbers, evenly spread over plus or minus `bound`.
pub(super) fn noise(seed: u64, len: usize, bound: f32) -> Vec<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    (0..len).map(|_| bound * (2.0 * random.random::<f32>() - 1.0)).collect()
}

/// Weights of a layer with so many factors in a sum that it gives about what it gets.
fn weights(seed: u64, len: usize, factors: usize) -> Vec<f32> {
    noise(seed, len, (3.0 / factors as f32).sqrt())
}

/// Some scaling of each channel.
fn norm(channels: usize) -> Affine {
    Affine { scale: noise(7, channels, 1.0), shift: noise(8, channels, 0.5) }
}

/// The values without border.
fn inner(grid: &Activations) -> Vec<f32> {
    grid.rows().flat_map(|at| grid.row(at).to_vec()).collect()
}

fn upload(gpu: &Arc<Gpu>, precision: Precision, shape: Shape, values: &[f32]) -> Result<Grid> {
    match precision {
        Precision::F32 => Grid::upload(gpu, shape, values),
        Precision::F16 => {
            let halves: Vec<f16> = values.iter().map(|value| f16::from_f32(*value)).collect();
            Grid::upload(gpu, shape, &halves)
        }
        Precision::Bf16 => {
            let halves: Vec<bf16> = values.iter().map(|value| bf16::from_f32(*value)).collect();
            Grid::upload(gpu, shape, &halves)
        }
    }
}

fn download(gpu: &Gpu, precision: Precision, grid: &Grid) -> Result<Vec<f32>> {
    Ok(match precision {
        Precision::F32 => grid.download(gpu)?,
        Precision::F16 => grid.download::<f16>(gpu)?.into_iter().map(f32::from).collect(),
        Precision::Bf16 => grid.download::<bf16>(gpu)?.into_iter().map(f32::from).collect(),
    })
}

/// One layer: what goes in and comes out.
struct Layer<'a> {
    operation: &'static str,
    /// Per output voxel.
    multiply_adds: usize,
    input: &'a Activations,
    /// Added to the result.
    skip: Option<&'a Activations>,
    output: (Shape, usize),
    /// Of input and output on the GPU.
    precisions: [Precision; 2],
    pipe: Pipe,
}

/// All layers in one precision, for a volume of `edge` voxels each way.
struct Layers<'a> {
    gpu: Option<&'a Arc<Gpu>>,
    precision: Precision,
    edge: usize,
}

impl<'a> Layers<'a> {
    /// The grid `level` halvings down.
    fn shape(&self, level: usize) -> Shape {
        [self.edge.div_ceil(1 << level); 3]
    }

    /// Numbers that the precision has, so that GPU and CPU begin with the same.
    fn activations(&self, level: usize, channels: usize, seed: u64) -> Activations {
        let mut grid = Activations::zeros(1, self.shape(level), channels);
        let values = noise(seed, grid.shape.iter().product::<usize>() * channels, 1.0);
        let row = grid.shape[2] * channels;
        let height = grid.shape[1];
        grid.par_rows_mut(
            || (),
            |(), at, to| {
                to.copy_from_slice(&values[(at.z * height + at.y) * row..][..row]);
                rounded(self.precision, to);
            },
        );
        grid
    }

    fn pipe(&self) -> Pipe {
        if self.precision == Precision::F32 { Pipe::Scalar } else { Pipe::Tensor }
    }

    fn on_gpu(&self, make: impl FnOnce(&Arc<Gpu>) -> Result<Convolution>) -> Result<Option<Convolution>> {
        self.gpu.map(make).transpose()
    }

    /// `cpu` computes the values, voxel by voxel.
    fn visit(
        &self,
        layer: Layer,
        conv: Option<Convolution>,
        cpu: impl Fn() -> Activations,
        visit: Visit,
    ) -> Result<()> {
        let Layer { operation, input, skip, output: (shape, channels), precisions, .. } = layer;
        let count = |shape: Shape| shape.iter().product::<usize>();
        let size =
            |[voxels, channels]: [usize; 2], precision: Precision| voxels * channels * precision.size();
        let (read, written) = ([count(input.shape), input.channels], [count(shape), channels]);
        let skipped = skip.map_or(0, |_| size(written, precisions[1]));
        let about = About {
            operation,
            shape: format!("{}^3x{} to {}^3x{channels}", input.shape[0], input.channels, shape[0]),
            dtype: self.precision.name(),
            work: Work {
                operations: (2 * layer.multiply_adds * written[0]) as f64,
                bytes: (size(read, precisions[0]) + size(written, precisions[1]) + skipped) as f64,
            },
            pipe: layer.pipe,
            tolerance: tolerances(self.precision)[0],
        };
        let sent = |grid: &Activations, precision| {
            // The first layer's constant channel is not stored on a GPU.
            let step = if operation == "first_conv" { 2 } else { 1 };
            let values: Vec<f32> = inner(grid).into_iter().step_by(step).collect();
            self.gpu.map(|gpu| upload(gpu, precision, grid.shape, &values)).transpose()
        };
        let x = sent(input, precisions[0])?;
        let skip = skip.map(|skip| sent(skip, precisions[1])).transpose()?.flatten();
        let launch = self.gpu.zip(conv).zip(x).map(|((gpu, conv), x)| {
            move || {
                let y = Grid::new(gpu, shape, channels, precisions[1].size())?;
                conv.run(&x, skip.as_ref(), &y)?;
                Ok(y)
            }
        });
        let compare = |expected: &Activations, found: &Grid| match self.gpu {
            Some(gpu) => Ok(relative(&inner(expected), &download(gpu, precisions[1], found)?)),
            None => Ok(0.0),
        };
        visit(&Case::new(about, cpu, launch, compare))
    }

    fn first_conv(&self, visit: Visit) -> Result<()> {
        let (weight1, bias1) = (noise(1, MIDDLE, 1.0), noise(2, MIDDLE, 0.5));
        let weight2 = weights(3, first_conv::COUT * MIDDLE * 27, MIDDLE * 27);
        let bias2 = noise(4, first_conv::COUT, 0.5);
        let conv = FirstConv { weight1: &weight1, bias1: &bias1, weight2: &weight2, bias2: &bias2 };
        let norm = norm(first_conv::COUT);
        let voxels = Array3::from_shape_vec(self.shape(0), noise(5, self.edge.pow(3), 1.0));
        let input = first_conv::input(&[voxels.expect("as many as the shape has").view()]);
        let on_gpu = self.on_gpu(|gpu| conv.on_gpu(gpu, self.precision, &norm))?;
        let forward = conv.forward();
        let layer = Layer {
            operation: "first_conv",
            multiply_adds: 2 * 27 * first_conv::COUT,
            input: &input,
            skip: None,
            output: (input.shape, first_conv::COUT),
            precisions: [Precision::F32, self.precision],
            pipe: Pipe::Scalar,
        };
        let cpu = || {
            let mut out = Activations::zeros(1, input.shape, first_conv::COUT);
            forward.all(&input, &mut out);
            out.par_rows_mut(|| (), |(), _, row| norm.relu_in_place(row));
            out
        };
        self.visit(layer, on_gpu, cpu, visit)
    }

    fn conv3d(&self, cin: usize, level: usize, visit: Visit) -> Result<()> {
        let conv = Conv3d { cin, cout: 64, stride: 2, method: Method::Winograd };
        let (weight, bias) = (weights(1, 64 * cin * 27, cin * 27), noise(2, 64, 0.5));
        let input = self.activations(level, cin, 3);
        let on_gpu = self.on_gpu(|gpu| conv.on_gpu(gpu, self.precision, &weight, &bias, None))?;
        let forward = conv.forward(&weight, &bias);
        let layer = Layer {
            operation: "conv3d",
            multiply_adds: conv.multiply_adds(),
            input: &input,
            skip: None,
            output: (self.shape(level + 1), 64),
            precisions: [self.precision; 2],
            pipe: self.pipe(),
        };
        let cpu = || {
            let mut out = Activations::zeros(1, self.shape(level + 1), 64);
            forward.all(&input, &mut out);
            out
        };
        self.visit(layer, on_gpu, cpu, visit)
    }

    /// `h + conv(relu(norm(h)))`
    fn residual(&self, visit: Visit) -> Result<()> {
        let conv = Conv3d { cin: 64, cout: 64, stride: 1, method: Method::Winograd };
        let (weight, bias) = (weights(1, 64 * 64 * 27, 64 * 27), noise(2, 64, 0.5));
        let (norm, h) = (norm(64), self.activations(1, 64, 3));
        let on_gpu = self.on_gpu(|gpu| conv.on_gpu(gpu, self.precision, &weight, &bias, Some(&norm)))?;
        let forward = conv.forward(&weight, &bias);
        let layer = Layer {
            operation: "conv3d residual",
            multiply_adds: conv.multiply_adds(),
            input: &h,
            skip: Some(&h),
            output: (h.shape, 64),
            precisions: [self.precision; 2],
            pipe: self.pipe(),
        };
        let cpu = || {
            let (mut a, mut out) = (h.clone(), h.clone());
            a.par_rows_mut(|| (), |(), _, row| norm.relu_in_place(row));
            forward.run(&a, &mut out, |_, result, row| {
                row.iter_mut().zip(result).for_each(|(out, r)| *out += r);
            });
            out
        };
        self.visit(layer, on_gpu, cpu, visit)
    }

    /// From `level` halvings down to one less.
    fn conv_transpose3d(&self, cout: usize, level: usize, visit: Visit) -> Result<()> {
        let conv = ConvTranspose3d { cin: 64, cout, method: Method::Winograd };
        // A result has an eighth of the window's factors.
        let (weight, bias) = (weights(1, 64 * cout * 64, 64 * 8), noise(2, cout, 0.5));
        let (norm, input) = (norm(cout), self.activations(level, 64, 3));
        let skip = self.activations(level - 1, cout, 4);
        let on_gpu = self.on_gpu(|gpu| conv.on_gpu(gpu, self.precision, &weight, &bias, &norm))?;
        let forward = conv.forward(&weight, &bias);
        let layer = Layer {
            operation: "conv_transpose3d",
            multiply_adds: conv.multiply_adds(),
            input: &input,
            skip: Some(&skip),
            output: (skip.shape, cout),
            precisions: [self.precision; 2],
            pipe: self.pipe(),
        };
        let cpu = || {
            let mut out = skip.clone();
            forward.run(&input, &mut out, |_, result, row| norm.relu_accumulate(result, row));
            out
        };
        self.visit(layer, on_gpu, cpu, visit)
    }

    fn class_conv(&self, visit: Visit) -> Result<()> {
        let cin = class_conv::CIN;
        let (weight, bias) = (weights(1, CLASSES * cin * 27, cin * 27), noise(2, CLASSES, 0.5));
        let input = self.activations(0, cin, 3);
        let on_gpu = self.on_gpu(|gpu| class_conv::on_gpu(gpu, self.precision, &weight, &bias))?;
        let conv = ClassConv::new(&weight, &bias);
        let layer = Layer {
            operation: "class_conv",
            multiply_adds: CLASSES * cin * 27,
            input: &input,
            skip: None,
            output: (input.shape, CLASSES),
            precisions: [self.precision, Precision::F32],
            pipe: self.pipe(),
        };
        let cpu = || {
            let mut out = Activations::zeros(1, input.shape, CLASSES);
            let isa = Isa::detect();
            out.par_rows_mut(
                || (),
                |(), at, row| conv.row(isa, &input, 0, [at.z, at.y], row.as_chunks_mut::<CLASSES>().0),
            );
            out
        };
        self.visit(layer, on_gpu, cpu, visit)
    }

    /// The shipped model on noise.
    fn network(&self, visit: Visit) -> Result<()> {
        let weights = Model::embedded()?.weights;
        let volume = Array3::from_shape_vec(self.shape(0), noise(5, self.edge.pow(3), 1.0));
        let volume = volume.expect("as many as the shape has");
        let cpu = Engine::new(&Device::Cpu, &weights)?;
        let cuda = |gpu: &Arc<Gpu>| Engine::new(&Device::cuda(gpu.clone(), self.precision), &weights);
        let on_gpu = self.gpu.map(cuda).transpose()?;
        let logits = |engine: &Engine| {
            let mut found = Vec::with_capacity(volume.len());
            engine.logits(volume.view(), &mut |_, plane| found.extend_from_slice(plane))?;
            Ok(found)
        };
        let about = About {
            operation: "network",
            shape: format!("{}^3", self.edge),
            dtype: self.precision.name(),
            work: Work {
                operations: 2.0 * multiply_adds() * volume.len() as f64,
                bytes: (16 * volume.len()) as f64,
            },
            pipe: self.pipe(),
            tolerance: tolerances(self.precision)[1],
        };
        let launch = on_gpu.as_ref().map(|engine| || logits(engine));
        let probabilities = |logits: &[[f32; CLASSES]]| -> Vec<f32> {
            logits.par_iter().flat_map_iter(|logits| softmax::softmax(*logits)).collect()
        };
        let compare = |expected: &Result<Vec<_>>, found: &Vec<_>| match expected {
            Ok(expected) => Ok(absolute(&probabilities(expected), &probabilities(found))),
            Err(_) => Ok(f64::NAN),
        };
        visit(&Case::new(about, || logits(&cpu), launch, compare))
    }
}

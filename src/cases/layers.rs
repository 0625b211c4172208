//! The layers of the network at inference.
use std::sync::Arc;

use ndarray::Array3;

use super::network::{noise, tolerances};
use super::{About, Case, Pipe, Visit, Work, relative};
use crate::device::Precision;
use crate::device::cpu::simd::Isa;
use crate::device::cuda::Gpu;
use crate::device::cuda::convolution::{Convolution, Grid};
use crate::error::{Error, Result};
use crate::grey::{Grey, Stored};
use crate::intensity::Scaling;
use crate::ops::activations::Activations;
use crate::ops::batch_norm::Affine;
use crate::ops::class_conv::{self, CLASSES, ClassConv, Part};
use crate::ops::conv_transpose3d::ConvTranspose3d;
use crate::ops::conv3d::{Conv3d, Method};
use crate::ops::cuda::places::Target;
use crate::ops::first_conv::{self, FirstConv, MIDDLE, Voxels};
use crate::volume::{Shape, all};

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

/// One layer: what goes in and comes out.
struct Layer<'a> {
    operation: &'static str,
    /// Per output voxel.
    multiply_adds: usize,
    input: &'a Activations,
    /// Bytes that are read of a voxel of the input, and in how many channels.
    reads: [usize; 2],
    /// Added to the result.
    skip: Option<&'a Activations>,
    output: (Shape, usize),
    /// Of input and output on the GPU.
    precisions: [Precision; 2],
    pipe: Pipe,
}

/// All layers in one precision, for a volume of `edge` voxels each way.
pub(super) struct Layers<'a> {
    pub(super) gpu: Option<&'a Arc<Gpu>>,
    pub(super) precision: Precision,
    pub(super) edge: usize,
}

impl<'a> Layers<'a> {
    /// The grid `level` halvings down.
    pub(super) fn shape(&self, level: usize) -> Shape {
        [self.edge.div_ceil(1 << level); 3]
    }

    /// Numbers that the precision has, so that GPU and CPU begin with the same.
    fn activations(&self, level: usize, channels: usize, seed: u64) -> Activations {
        let mut grid = Activations::zeros(1, self.shape(level), channels);
        let values = noise(seed, grid.shape.iter().product::<usize>() * channels, 1.0);
        let values = self.precision.decode(&self.precision.encode(&values));
        let row = grid.shape[2] * channels;
        let height = grid.shape[1];
        grid.par_rows_mut(
            || (),
            |(), at, to| {
                to.copy_from_slice(&values[(at.z * height + at.y) * row..][..row]);
            },
        );
        grid
    }

    pub(super) fn pipe(&self) -> Pipe {
        if self.precision == Precision::F32 { Pipe::Scalar } else { Pipe::Tensor }
    }

    pub(super) fn on_gpu<C>(&self, make: impl FnOnce(&Arc<Gpu>) -> Result<C>) -> Result<Option<C>> {
        self.gpu.map(make).transpose()
    }

    /// What computes the layer on the GPU.
    fn launch(
        &self,
        layer: &Layer,
        conv: Option<Convolution>,
    ) -> Result<Option<impl Fn() -> Result<Grid> + use<'a>>> {
        let x = self.sent(layer.input, layer.precisions[0])?;
        let skip = layer.skip.map(|skip| self.sent(skip, layer.precisions[1])).transpose()?.flatten();
        let output = self.output(layer);
        Ok(conv.zip(x).map(|(conv, x)| {
            move || {
                let y = output()?;
                conv.run(&x, skip.as_ref(), &y)?;
                Ok(y)
            }
        }))
    }

    fn reads(&self, input: &Activations) -> [usize; 2] {
        [input.channels * self.precision.size(), input.channels]
    }

    /// The values on the GPU.
    fn sent(&self, grid: &Activations, precision: Precision) -> Result<Option<Grid>> {
        self.gpu.map(|gpu| Grid::upload_in(gpu, precision, grid.shape, &inner(grid))).transpose()
    }

    /// Makes room for the result.
    fn output(&self, layer: &Layer) -> impl Fn() -> Result<Grid> + use<'a> {
        let ((shape, channels), gpu, size) = (layer.output, self.gpu, layer.precisions[1].size());
        move || match gpu {
            Some(gpu) => Grid::new(gpu, shape, channels, size),
            None => Err(Error::invalid("there is no GPU")),
        }
    }

    /// `cpu` and `launch` compute the values, voxel by voxel.
    fn visit(
        &self,
        layer: Layer,
        launch: Option<impl Fn() -> Result<Grid>>,
        cpu: impl Fn() -> Activations,
        visit: Visit,
    ) -> Result<()> {
        let Layer { operation, input, skip, output: (shape, channels), precisions, .. } = layer;
        let count = |shape: Shape| shape.iter().product::<usize>();
        let [read, read_channels] = layer.reads;
        let written = count(shape) * channels * precisions[1].size();
        let skipped = skip.map_or(0, |_| written);
        let about = About {
            operation,
            shape: format!("{}^3x{read_channels} to {}^3x{channels}", input.shape[0], shape[0]),
            dtype: self.precision.name(),
            work: Work {
                operations: (2 * layer.multiply_adds * count(shape)) as f64,
                bytes: (read * count(input.shape) + written + skipped) as f64,
            },
            pipe: layer.pipe,
            tolerance: tolerances(self.precision)[0],
        };
        let compare = |expected: &Activations, found: &Grid| match self.gpu {
            Some(gpu) => Ok(relative(&inner(expected), &found.download_in(gpu, precisions[1])?)),
            None => Ok(0.0),
        };
        visit(&Case::new(about, cpu, launch, compare))
    }

    /// Of voxels in each of the types that the kernel reads.
    pub(super) fn first_conv(&self, visit: Visit) -> Result<()> {
        let values = noise(5, self.edge.pow(3), 1.0);
        let voxels = Array3::from_shape_vec(self.shape(0), values).expect("as many as the shape has");
        let scaling = Scaling { offset: 17.3, scale: 0.0137 };
        let grey = [
            ("first_conv u8", Stored::U8(voxels.mapv(|x| (128.0 + 127.0 * x) as u8))),
            ("first_conv u16", Stored::U16(voxels.mapv(|x| (128.0 + 127.0 * x) as u16))),
            ("first_conv f32", Stored::F32(voxels.mapv(|x| 128.0 + 127.0 * x))),
        ];
        grey.into_iter()
            .try_for_each(|(operation, stored)| self.first(operation, &Grey::new(stored, scaling), visit))
    }

    fn first(&self, operation: &'static str, grey: &Grey, visit: Visit) -> Result<()> {
        let (weight1, bias1) = (noise(1, MIDDLE, 1.0), noise(2, MIDDLE, 0.5));
        let weight2 = weights(3, first_conv::COUT * MIDDLE * 27, MIDDLE * 27);
        let bias2 = noise(4, first_conv::COUT, 0.5);
        let conv = FirstConv { weight1: &weight1, bias1: &bias1, weight2: &weight2, bias2: &bias2 };
        let norm = norm(first_conv::COUT);
        let input = first_conv::input(&[grey.normalised().view()]);
        let on_gpu = self.on_gpu(|gpu| conv.on_gpu(gpu, self.precision, &norm))?;
        let forward = conv.forward();
        let layer = Layer {
            operation,
            multiply_adds: 2 * 27 * first_conv::COUT,
            input: &input,
            reads: [grey.size(), 1],
            skip: None,
            output: (input.shape, first_conv::COUT),
            precisions: [Precision::F32, self.precision],
            pipe: self.pipe(),
        };
        let voxels = self.on_gpu(|gpu| Voxels::send(gpu, grey))?;
        let output = self.output(&layer);
        let launch = on_gpu.zip(voxels).map(|(conv, voxels)| {
            move || {
                let y = output()?;
                conv.run(&voxels, &y)?;
                Ok(y)
            }
        });
        let cpu = || {
            let mut out = Activations::zeros(1, input.shape, first_conv::COUT);
            forward.all(&input, &mut out);
            out.par_rows_mut(|| (), |(), _, row| norm.relu_in_place(row));
            out
        };
        self.visit(layer, launch, cpu, visit)
    }

    pub(super) fn conv3d(&self, cin: usize, level: usize, visit: Visit) -> Result<()> {
        let conv = Conv3d { cin, cout: 64, stride: 2, method: Method::Winograd };
        let (weight, bias) = (weights(1, 64 * cin * 27, cin * 27), noise(2, 64, 0.5));
        let input = self.activations(level, cin, 3);
        let on_gpu = self.on_gpu(|gpu| conv.on_gpu(gpu, self.precision, &weight, &bias, None))?;
        let forward = conv.forward(&weight, &bias);
        let layer = Layer {
            operation: "conv3d",
            multiply_adds: conv.multiply_adds(),
            input: &input,
            reads: self.reads(&input),
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
        let launch = self.launch(&layer, on_gpu)?;
        self.visit(layer, launch, cpu, visit)
    }

    /// `h + conv(relu(norm(h)))`
    pub(super) fn residual(&self, visit: Visit) -> Result<()> {
        let conv = Conv3d { cin: 64, cout: 64, stride: 1, method: Method::Winograd };
        let (weight, bias) = (weights(1, 64 * 64 * 27, 64 * 27), noise(2, 64, 0.5));
        let (norm, h) = (norm(64), self.activations(1, 64, 3));
        let on_gpu = self.on_gpu(|gpu| conv.on_gpu(gpu, self.precision, &weight, &bias, Some(&norm)))?;
        let forward = conv.forward(&weight, &bias);
        let layer = Layer {
            operation: "conv3d residual",
            multiply_adds: conv.multiply_adds(),
            input: &h,
            reads: self.reads(&h),
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
        let launch = self.launch(&layer, on_gpu)?;
        self.visit(layer, launch, cpu, visit)
    }

    /// From `level` halvings down to one less.
    pub(super) fn conv_transpose3d(&self, cout: usize, level: usize, visit: Visit) -> Result<()> {
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
            reads: self.reads(&input),
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
        let output = self.output(&layer);
        let sent = self.sent(&input, self.precision)?.zip(self.sent(&skip, self.precision)?);
        let launch = on_gpu.zip(sent).map(|(conv, (x, skip))| {
            move || {
                let y = output()?;
                conv.run(&x, &skip, &y, &all(y.shape))?;
                Ok(y)
            }
        });
        self.visit(layer, launch, cpu, visit)
    }

    pub(super) fn class_conv(&self, visit: Visit) -> Result<()> {
        let cin = class_conv::CIN;
        let (weight, bias) = (weights(1, CLASSES * cin * 27, cin * 27), noise(2, CLASSES, 0.5));
        let input = self.activations(0, cin, 3);
        let on_gpu = self.on_gpu(|gpu| class_conv::on_gpu(gpu, self.precision, &weight, &bias))?;
        let conv = ClassConv::new(&weight, &bias);
        let layer = Layer {
            operation: "class_conv",
            multiply_adds: CLASSES * cin * 27,
            input: &input,
            reads: self.reads(&input),
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
                |(), at, row| conv.row(isa, &input, 0, [at.z, at.y, 0], row.as_chunks_mut::<CLASSES>().0),
            );
            out
        };
        let output = self.output(&layer);
        let launch = on_gpu.zip(self.sent(&input, self.precision)?).map(|(conv, x)| {
            move || {
                let logits = output()?;
                conv.run(&x, &Part::all(x.shape, Target::Logits(&logits)))?;
                Ok(logits)
            }
        });
        self.visit(layer, launch, cpu, visit)
    }
}

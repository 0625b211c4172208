//! The network's first two convolutions as one.
//!
//! Between conv1 (1x1x1, 1 -> 16) and conv2 (3x3x3, 16 -> 32) stands no non-linearity, so that conv2(conv1(x)) is
//! one 3x3x3 convolution of two channels: the voxel x, and a constant 1 that carries conv1's bias and is zero
//! in the padding. 1,728 multiply-adds a voxel instead of 13,840.
//!
//! `w[o][0][k] = sum_m w2[o][m][k] w1[m]`, `w[o][1][k] = sum_m w2[o][m][k] b1[m]`; the gradients of both
//! convolutions follow from that of the folded kernel by the chain rule.
use std::sync::Arc;

use cudarc::driver::DeviceRepr;
use ndarray::ArrayView3;

use super::activations::Activations;
use super::batch_norm::Affine;
use super::blocks::linear;
use super::correlation::{Correlation, positions, weight_gradient};
use super::cuda;
use crate::device::Precision;
use crate::device::cuda::Gpu;
use crate::device::cuda::convolution::{Arguments, Convolution, Grid, Plan, with_bias};
use crate::device::cuda::packing::Window;
use crate::device::cuda::transfer::Sent;
use crate::device::cuda::volume::DeviceVolume;
use crate::error::Result;
use crate::grey::Grey;
use crate::intensity::Scaling;
use crate::volume::Shape;

/// Channels between the two convolutions.
pub const MIDDLE: usize = 16;
/// Channels that come out.
pub const COUT: usize = 32;
/// Positions in the kernel.
const POSITIONS: usize = 27;
/// The voxel, and the constant 1.
const CIN: usize = 2;
/// Columns of the matrices of voxels on tensor cores: two for each position, and some that are empty.
const COLUMNS: usize = 64;

/// How the kernels are launched; each has its own name.
pub(crate) const PLAN: Plan =
    Plan { file: "first_conv", kernel: "", tile: [4, 4, 16], threads: 256, doubles: false };

/// The parameters of both convolutions, PyTorch's order.
#[derive(Clone, Copy)]
pub struct FirstConv<'a> {
    /// conv1.weight `[16]`
    pub weight1: &'a [f32],
    /// conv1.bias `[16]`
    pub bias1: &'a [f32],
    /// conv2.weight `[32][16][27]`
    pub weight2: &'a [f32],
    /// conv2.bias `[32]`
    pub bias2: &'a [f32],
}

/// Gradients to the parameters of [`FirstConv`], the biases of conv2 excepted.
pub struct Gradients {
    /// conv1.weight `[16]`
    pub weight1: Vec<f32>,
    /// conv1.bias `[16]`
    pub bias1: Vec<f32>,
    /// conv2.weight `[32][16][27]`
    pub weight2: Vec<f32>,
}

/// Grey values on a GPU.
pub struct Voxels {
    memory: Memory,
    shape: Shape,
    /// Bytes of a value.
    size: usize,
    scaling: Scaling,
}

/// What holds them.
enum Memory {
    Sent(Sent),
    Normalised(DeviceVolume<f32>),
}

impl Voxels {
    /// Those of `grey`, for all that is launched from now on; local contrast is normalised on the GPU.
    ///
    /// # Errors
    /// Those of [`Gpu::send`], and where the GPU has no memory for what is normalised.
    pub fn send(gpu: &Arc<Gpu>, grey: &Grey) -> Result<Self> {
        let sent = gpu.send(grey.bytes(), &|first, target| grey.copy_to(first, target))?;
        let memory = Memory::Sent(sent);
        let voxels = Voxels { memory, shape: grey.extent(), size: grey.size(), scaling: grey.scaling };
        let Some((contrast, part)) = &grey.local else { return Ok(voxels) };
        let normalised = cuda::contrast::normalise(gpu, &voxels, *contrast, part, cuda::contrast::SUMS)?;
        let shape = normalised.shape;
        let memory = Memory::Normalised(normalised);
        Ok(Voxels { memory, shape, size: size_of::<f32>(), scaling: Scaling::IDENTITY })
    }

    /// Extent, z, y, x.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// As the kernels have them.
    pub(crate) fn argument(&self) -> GreyArgument {
        let address = match &self.memory {
            Memory::Sent(sent) => sent.address(),
            Memory::Normalised(volume) => volume.address(),
        };
        let Scaling { offset, scale } = self.scaling;
        GreyArgument { address, size: self.size as i64, offset, scale }
    }
}

/// `Grey` of kernels/common/grey.cuh.
#[repr(C)]
pub(crate) struct GreyArgument {
    address: u64,
    size: i64,
    offset: f32,
    scale: f32,
}

/// [`FirstConv`] on a GPU.
#[derive(Clone)]
pub struct OnGpu(Convolution);

/// `FirstConvolution` of kernels/first_conv.cu.
#[repr(C)]
struct FirstArguments {
    convolution: Arguments,
    voxels: GreyArgument,
}

// SAFETY: numbers alone, without padding, in the layout of the kernels' parameter.
unsafe impl DeviceRepr for FirstArguments {}

impl OnGpu {
    /// Computes all of `output`.
    ///
    /// # Errors
    /// Where the driver refuses the launch.
    pub fn run(&self, voxels: &Voxels, output: &Grid) -> Result<()> {
        let convolution = self.0.arguments(0, voxels.shape(), output.shape);
        let arguments = FirstArguments {
            convolution: Arguments { output: output.address(), ..convolution },
            voxels: voxels.argument(),
        };
        // SAFETY: the arguments are the kernel's, and both volumes have the extents that are stated.
        unsafe { self.0.launch(voxels.shape(), output.shape, &arguments) }
    }
}

/// The position that the voxels in a pair of columns have in the kernel, z, y, x. Four neighbouring pairs have rows
/// that lie in different banks of shared memory (`Mma` in kernels/first_conv.cu).
fn tap(pair: usize) -> Option<usize> {
    let (row, x) = match pair {
        0..24 => (pair % 8, pair / 8),
        24..POSITIONS => (8, pair - 24),
        _ => return None,
    };
    Some(row * 3 + x)
}

/// Voxels with their constant channel, as [`FirstConv::forward`] takes them.
pub fn input(batch: &[ArrayView3<f32>]) -> Activations {
    let shape = batch.first().map_or([0; 3], |volume| volume.dim().into());
    let mut activations = Activations::zeros(batch.len(), shape, CIN);
    activations.par_rows_mut(
        || (),
        |(), at, row| {
            let voxels = batch[at.n].slice(ndarray::s![at.z, at.y, ..]);
            for (pair, voxel) in row.chunks_exact_mut(CIN).zip(voxels) {
                pair.copy_from_slice(&[*voxel, 1.0]);
            }
        },
    );
    activations
}

impl FirstConv<'_> {
    /// The folded convolution, packed to be run on [`input`].
    pub fn forward(&self) -> Correlation {
        Correlation::new([COUT, CIN], [3, 1], self.bias2, |(o, i, k)| self.folded(o, i, linear(k, [3; 3])))
    }

    /// `relu(norm(conv2(conv1(x))))` on a GPU; voxels are normalised there, and the constant channel is made there, in
    /// f32 as a channel, on tensor cores as a part of the shift.
    ///
    /// # Errors
    /// Those of [`Convolution::new`].
    pub fn on_gpu(&self, gpu: &Arc<Gpu>, precision: Precision, norm: &Affine) -> Result<OnGpu> {
        let (plan, packed, epilogue) = match precision {
            Precision::F32 => {
                let window = Window { extent: [3; 3], cin: CIN, cout: COUT, chunk: CIN };
                let packed = window.pack(precision, |k, i, o| self.folded(o, i, linear(k, [3; 3])));
                (Plan { kernel: "first_conv_f32", ..PLAN }, packed, with_bias(norm, self.bias2))
            }
            Precision::F16 => self.on_tensor_cores("first_conv_f16", precision, norm),
            Precision::Bf16 => self.on_tensor_cores("first_conv_bf16", precision, norm),
        };
        Convolution::new(gpu, plan, &packed, None, &epilogue).map(OnGpu)
    }

    /// How the kernel is launched, its weights and its shifts. Both halves of a voxel get the same weight.
    fn on_tensor_cores(
        &self,
        kernel: &'static str,
        precision: Precision,
        norm: &Affine,
    ) -> (Plan, Vec<u8>, Vec<f32>) {
        let window = Window { extent: [1; 3], cin: COLUMNS, cout: COUT, chunk: COLUMNS };
        let packed = window.pack(precision, |_, column, o| {
            tap(column / 2).map_or(0.0, |k| norm.scale[o] * self.folded(o, 0, k))
        });
        (Plan { kernel, tile: [8, 8, 32], ..PLAN }, packed, self.shifts(norm, &window))
    }

    /// The shift of each channel, the constant channel's part in it, for each way in which a window may reach out of
    /// the volume: `[z][y][x][column]`, each axis being 1 where nothing is before the voxel, plus 2 where nothing is
    /// behind it.
    fn shifts(&self, norm: &Affine, window: &Window) -> Vec<f32> {
        let shift = |lacks: Shape, o: usize| {
            let is_inside = |k: &Shape| (0..3).all(|axis| lacks[axis] & [1, 0, 2][k[axis]] == 0);
            let constant = positions([3; 3]).filter(is_inside).map(|k| self.folded(o, 1, linear(k, [3; 3])));
            let sum = f64::from(self.bias2[o]) + constant.map(f64::from).sum::<f64>();
            (f64::from(norm.shift[o]) + f64::from(norm.scale[o]) * sum) as f32
        };
        positions([4; 3]).flat_map(|lacks| window.columns().map(move |o| shift(lacks, o))).collect()
    }

    /// Channel `i` to channel `o` at position `k`, in f64, so that folding costs no accuracy.
    fn folded(&self, o: usize, i: usize, k: usize) -> f32 {
        let first = if i == 0 { self.weight1 } else { self.bias1 };
        let products = (0..MIDDLE).map(|m| f64::from(self.second(o, m, k)) * f64::from(first[m]));
        products.sum::<f64>() as f32
    }

    /// Gradients from `dy`, the gradient to the output of conv2.
    pub fn backward_weights(&self, x: &Activations, dy: &Activations) -> Gradients {
        let folded = weight_gradient(x, [3, 1], dy);
        let d = |o: usize, i: usize, k: usize| folded[(k * CIN + i) * COUT + o];
        let mut gradients = Gradients {
            weight1: vec![0.0; MIDDLE],
            bias1: vec![0.0; MIDDLE],
            weight2: vec![0.0; self.weight2.len()],
        };
        for m in 0..MIDDLE {
            let (mut dweight, mut dbias) = (0.0, 0.0);
            for o in 0..COUT {
                for k in 0..POSITIONS {
                    let second = f64::from(self.second(o, m, k));
                    dweight += second * f64::from(d(o, 0, k));
                    dbias += second * f64::from(d(o, 1, k));
                    gradients.weight2[(o * MIDDLE + m) * POSITIONS + k] =
                        d(o, 0, k) * self.weight1[m] + d(o, 1, k) * self.bias1[m];
                }
            }
            gradients.weight1[m] = dweight as f32;
            gradients.bias1[m] = dbias as f32;
        }
        gradients
    }

    fn second(&self, o: usize, m: usize, k: usize) -> f32 {
        self.weight2[(o * MIDDLE + m) * POSITIONS + k]
    }
}

//! The last convolution: 3x3x3, 32 channels to the logits of three classes; a GPU takes their softmax as well, where probabilities
//! are wanted.
//!
//! As [`conv3d`](super::conv3d), but three output channels would leave most SIMD lanes idle: here the lanes run
//! over the input channels.
use std::sync::Arc;

use cudarc::driver::DeviceRepr;

use super::activations::Activations;
use super::blocks::coordinates;
use super::correlation::{Correlation, weight_gradient};
use super::cuda::places::{Place, Places, Target};
use crate::device::Precision;
use crate::device::cpu::dot::{self, OUTPUTS};
use crate::device::cpu::simd::Isa;
use crate::device::cuda::convolution::{Arguments, Convolution, Grid, Plan};
use crate::device::cuda::packing::Window;
use crate::device::cuda::{Extent, Gpu, extent};
use crate::error::Result;
use crate::volume::Shape;

/// Channels that go in.
pub const CIN: usize = 32;
/// Classes that come out: background, membrane, foreground.
pub const CLASSES: usize = OUTPUTS;
const SIZE: usize = 3;
/// Columns that a lane has of two matrices.
const LANE_COLUMNS: usize = 4;

/// The convolution, packed to be run.
#[derive(Clone)]
pub struct ClassConv {
    /// `[z][y][stretch / 16][class][16]`
    packed: Vec<f32>,
    bias: [f32; CLASSES],
}

fn index(class: usize, i: usize, [z, y, x]: [usize; 3]) -> usize {
    (((class * CIN + i) * SIZE + z) * SIZE + y) * SIZE + x
}

impl ClassConv {
    /// `weight` `[3][32][3][3][3]`, `bias` `[3]`.
    pub fn new(weight: &[f32], bias: &[f32]) -> Self {
        let mut packed = Vec::with_capacity(weight.len());
        for zy in 0..SIZE * SIZE {
            for lane in (0..SIZE * CIN).step_by(16) {
                for class in 0..CLASSES {
                    packed.extend(
                        (lane..lane + 16)
                            .map(|at| weight[index(class, at % CIN, [zy / SIZE, zy % SIZE, at / CIN])]),
                    );
                }
            }
        }
        ClassConv { packed, bias: [bias[0], bias[1], bias[2]] }
    }

    /// The logits of a row, voxel by voxel, from the one on whose window begins at `[z, y, x]` in `input`, border coordinates.
    pub fn row(&self, isa: Isa, input: &Activations, n: usize, [z, y, x]: Shape, out: &mut [[f32; CLASSES]]) {
        let starts: [usize; SIZE * SIZE] =
            std::array::from_fn(|i| input.offset(n, [z + i / SIZE, y + i % SIZE, x]));
        let windows = dot::Windows {
            input: input.as_slice(),
            starts: &starts,
            stretch: SIZE * CIN,
            weights: &self.packed,
            bias: self.bias,
        };
        dot::dot(isa, &windows, out);
    }
}

/// How the f32 kernel is launched.
pub(crate) const PLAN_F32: Plan =
    Plan { file: "class_conv", kernel: "class_conv_f32", tile: [4, 8, 16], threads: 128, doubles: false };

/// The convolution on a GPU: `weight` `[3][32][3][3][3]`, `bias` `[3]`.
///
/// # Errors
/// Those of [`Convolution::new`].
pub fn on_gpu(gpu: &Arc<Gpu>, precision: Precision, weight: &[f32], bias: &[f32]) -> Result<OnGpu> {
    let on_tensor_cores = |kernel| Plan { kernel, tile: [24, 16, 16], ..PLAN_F32 };
    // A matrix has the planes of the window beside one another: the columns of a lane are those of one class.
    let window = Window { extent: [1, SIZE, SIZE], cin: CIN, cout: CLASSES * LANE_COLUMNS, chunk: CIN };
    let fragments = || {
        window.pack(precision, |[_, y, x], i, column| match (column / LANE_COLUMNS, column % LANE_COLUMNS) {
            (class, z) if z < SIZE => weight[index(class, i, [z, y, x])],
            _ => 0.0,
        })
    };
    let (plan, packed, probabilities) = match precision {
        Precision::F32 => {
            // The lanes run over the voxels, and a thread reads the channels of one class at a time.
            let turned = Window { extent: [SIZE; 3], cin: CLASSES, cout: CIN, chunk: CLASSES };
            let packed = turned.pack(precision, |k, class, i| weight[index(class, i, k)]);
            (PLAN_F32, packed, PLAN_F32.kernel)
        }
        Precision::F16 => (on_tensor_cores("class_conv_f16"), fragments(), "class_conv_probabilities_f16"),
        Precision::Bf16 => (on_tensor_cores("class_conv_bf16"), fragments(), "class_conv_probabilities_bf16"),
    };
    let plain = Convolution::new(gpu, plan, &packed, None, bias)?;
    Ok(OnGpu { probabilities: Box::new(plain.by(probabilities)?), plain })
}

/// [`ClassConv`] on a GPU.
#[derive(Clone)]
pub struct OnGpu {
    /// To logits and classes.
    plain: Convolution,
    /// To probabilities too.
    probabilities: Box<Convolution>,
}

/// The part of a block that is computed, and where it goes.
pub struct Part<'a> {
    /// Its first voxel in the block.
    pub first: Shape,
    /// Its extent.
    pub shape: Shape,
    /// Where it goes.
    pub places: Places<'a>,
}

impl<'a> Part<'a> {
    /// All of a block.
    pub fn all(shape: Shape, alone: Target<'a>) -> Self {
        Part { first: [0; 3], shape, places: Places::alone(alone) }
    }
}

/// `ClassConvolution` of kernels/class_conv.cu.
#[repr(C)]
pub(crate) struct ClassArguments {
    convolution: Arguments,
    first: Extent,
    shape: Extent,
    places: [Place; 2],
}

// SAFETY: integers alone, without padding, in the layout of the kernels' parameter.
unsafe impl DeviceRepr for ClassArguments {}

impl OnGpu {
    /// Computes what `part` wants of `input`.
    ///
    /// # Errors
    /// Where the driver refuses the launch.
    pub fn run(&self, input: &Grid, part: &Part) -> Result<()> {
        let conv = if part.places.take_probabilities() { &self.probabilities } else { &self.plain };
        let arguments = ClassArguments {
            convolution: conv.arguments(input.address(), input.shape, input.shape),
            first: extent(part.first),
            shape: extent(part.shape),
            places: part.places.arguments(),
        };
        // SAFETY: the arguments are the kernel's, and all volumes have the extents that are stated.
        unsafe { conv.launch(input.shape, part.shape, &arguments) }
    }
}

impl ClassArguments {
    /// All logits of a convolution, to its output.
    pub(crate) fn all(convolution: Arguments) -> Self {
        let shape = convolution.output_shape;
        let places = [Place::logits(convolution.output, shape), Place::NONE];
        ClassArguments { convolution, first: [0; 3], shape, places }
    }
}

/// Gradient to the input from `dy`, three channels.
pub fn backward_input(weight: &[f32], dy: &Activations, dx: &mut Activations) {
    let mirrored = |(i, class, k): (_, _, [usize; 3])| weight[index(class, i, k.map(|k| SIZE - 1 - k))];
    Correlation::new([CIN, CLASSES], [SIZE, 1], &[0.0; CIN], mirrored).all(dy, dx);
}

/// Gradient to the weights, PyTorch's order, written to `dw`. The roles of input and output are exchanged, so
/// that the lanes run over the 32 channels of the input.
pub fn backward_weights(x: &Activations, dy: &Activations, dw: &mut [f32]) {
    let found = weight_gradient(dy, [SIZE, 1], x);
    for (at, line) in found.chunks_exact(CIN).enumerate() {
        let (k, class) = (at / CLASSES, at % CLASSES);
        let mirrored = coordinates(k, [SIZE; 3]).map(|k| SIZE - 1 - k);
        for (i, value) in line.iter().enumerate() {
            dw[index(class, i, mirrored)] = *value;
        }
    }
}

//! Transposed convolution 4x4x4, stride 2, padding 1, cropped to the extent of its skip connection.
//!
//! `y[o][c] = bias[c] + sum_(k, i) x[(o + 1 - k) / 2][i] * w[i][c][k]` over the k of the right parity
//! (PyTorch's `ConvTranspose3d`). It gives 2n voxels where the skip has 2n or 2n - 1; the authors' crop then
//! drops the last plane, which is never computed here. Each of the eight output parities is a 2x2x2
//! convolution of the input.
use std::sync::Arc;

use cudarc::driver::DeviceRepr;

use super::activations::Activations;
use super::batch_norm::Affine;
use super::blocks::coordinates;
use super::conv3d::Method;
use super::correlation::{Convolution, Correlation, Parity, ParityCorrelation, positions, weight_gradient};
use super::winograd::{self, DOUBLE, DOUBLE_TO_INPUT, Winograd};
use crate::device::Precision;
use crate::device::cuda::convolution::{self as cuda, Arguments, Grid};
use crate::device::cuda::packing::Window;
use crate::device::cuda::{Extent, Gpu, extent};
use crate::error::Result;
use crate::volume::Ranges;

const SIZE: usize = 4;

/// An even output voxel 2j sees inputs j-1 and j through positions 3 and 1; an odd one, j and j+1 through 2
/// and 0.
pub(crate) const PARITIES: [Parity; 2] =
    [Parity { start: 0, kernel: &[3, 1] }, Parity { start: 1, kernel: &[2, 0] }];

/// Shape of a transposed convolution, and the index of its weights in PyTorch's order `[in][out][z][y][x]`.
#[derive(Clone, Copy, Debug)]
pub struct ConvTranspose3d {
    /// Input channels.
    pub cin: usize,
    /// Output channels.
    pub cout: usize,
    /// How it is computed.
    pub method: Method,
}

/// Those of 3DCellSegNet: tests and benchmarks run at these.
pub const NETWORK_SHAPES: [ConvTranspose3d; 3] = [
    ConvTranspose3d { cin: 64, cout: 64, method: Method::Plain },
    ConvTranspose3d { cin: 64, cout: 64, method: Method::Winograd },
    ConvTranspose3d { cin: 64, cout: 32, method: Method::Winograd },
];

impl ConvTranspose3d {
    /// The same convolution, computed plainly.
    pub fn plain(self) -> Self {
        ConvTranspose3d { method: Method::Plain, ..self }
    }

    /// Multiply-adds per output voxel, plainly computed.
    pub fn multiply_adds(&self) -> usize {
        8 * self.cin * self.cout
    }

    fn index(&self, i: usize, o: usize, [z, y, x]: [usize; 3]) -> usize {
        (((i * self.cout + o) * SIZE + z) * SIZE + y) * SIZE + x
    }

    /// The operation, packed to be run: `weight` `[in][out][z][y][x]`, `bias` `[out]`.
    pub fn forward(&self, weight: &[f32], bias: &[f32]) -> Convolution {
        let channels = [self.cout, self.cin];
        match self.method {
            Method::Winograd => Convolution::Winograd(self.winograd(weight, bias)),
            Method::Plain => {
                Convolution::Parity(ParityCorrelation::new(channels, PARITIES, bias, |(o, i, k)| {
                    weight[self.index(i, o, k)]
                }))
            }
        }
    }

    /// As [`forward`](Self::forward), whatever the method.
    pub fn winograd(&self, weight: &[f32], bias: &[f32]) -> Winograd {
        Winograd::new(&DOUBLE, [self.cout, self.cin], bias, |(o, i, k)| weight[self.index(i, o, k)])
    }

    /// `skip + relu(norm(deconv(x)))` on a GPU, plainly computed.
    ///
    /// # Errors
    /// Those of [`cuda::Convolution::new`].
    pub fn on_gpu(
        &self,
        gpu: &Arc<Gpu>,
        precision: Precision,
        weight: &[f32],
        bias: &[f32],
        norm: &Affine,
    ) -> Result<OnGpu> {
        let ConvTranspose3d { cin, cout, .. } = *self;
        let (kernel, rows) = match (precision, cout) {
            (Precision::F32, 32) => ("conv_transpose3d_32_f32", 8),
            (Precision::F32, _) => ("conv_transpose3d_64_f32", 4),
            (Precision::F16, 32) => ("conv_transpose3d_32_f16", 8),
            (Precision::F16, _) => ("conv_transpose3d_64_f16", 8),
            (Precision::Bf16, 32) => ("conv_transpose3d_32_bf16", 8),
            (Precision::Bf16, _) => ("conv_transpose3d_64_bf16", 8),
        };
        let (file, tile) = ("conv_transpose3d", [4, rows, 8]);
        let threads = if precision == Precision::F32 { 256 } else { 128 };
        let plan = cuda::Plan { file, kernel, tile, threads, doubles: true };
        let window = Window { extent: [2; 3], cin, cout, chunk: 32 };
        let packed = positions([2; 3]).flat_map(|parity| {
            window.pack(precision, |tap, i, o| {
                let k = [0, 1, 2].map(|axis| PARITIES[parity[axis]].kernel[tap[axis]]);
                weight[self.index(i, o, k)]
            })
        });
        let epilogue = cuda::with_bias(norm, bias);
        cuda::Convolution::new(gpu, plan, &packed.collect::<Vec<u8>>(), None, &epilogue).map(OnGpu)
    }

    /// `dx` from `dy` (cropped, with its border of zeros).
    pub fn backward_input(&self, weight: &[f32], dy: &Activations, dx: &mut Activations) {
        let bias = vec![0.0; self.cin];
        let channels = [self.cin, self.cout];
        let transposed = |(i, o, k)| weight[self.index(i, o, k)];
        let conv = match self.method {
            Method::Winograd => {
                Convolution::Winograd(Winograd::new(&DOUBLE_TO_INPUT, channels, &bias, transposed))
            }
            Method::Plain => Convolution::Plain(Correlation::new(channels, [SIZE, 2], &bias, transposed)),
        };
        conv.all(dy, dx);
    }

    /// Gradient to the weights, PyTorch's order, written to `dw`.
    pub fn backward_weights(&self, x: &Activations, dy: &Activations, dw: &mut [f32]) {
        let (found, is_swapped) = match self.method {
            Method::Plain => (weight_gradient(dy, [SIZE, 2], x), true),
            Method::Winograd => (winograd::weight_gradient(&DOUBLE, x, dy), false),
        };
        let channels = self.cin * self.cout;
        for (k, found) in found.chunks_exact(channels).enumerate() {
            let k = coordinates(k, [SIZE; 3]);
            for (at, value) in found.iter().enumerate() {
                let (i, o) = if is_swapped {
                    (at % self.cin, at / self.cin)
                } else {
                    (at / self.cout, at % self.cout)
                };
                dw[self.index(i, o, k)] = *value;
            }
        }
    }
}

/// [`ConvTranspose3d`] on a GPU, with what comes behind it.
#[derive(Clone)]
pub struct OnGpu(cuda::Convolution);

/// `Doubling` of kernels/conv_transpose3d.cu.
#[repr(C)]
struct DoublingArguments {
    convolution: Arguments,
    first: Extent,
    extent: Extent,
}

// SAFETY: integers alone, without padding, in the layout of the kernels' parameter.
unsafe impl DeviceRepr for DoublingArguments {}

impl OnGpu {
    /// Computes a part of `output` from `input` and `skip`, which may be the output itself; the rest stays as it is.
    ///
    /// # Errors
    /// Where the driver refuses the launch.
    pub fn run(&self, input: &Grid, skip: &Grid, output: &Grid, part: &Ranges) -> Result<()> {
        let shape = part.each_ref().map(ExactSizeIterator::len);
        let arguments = DoublingArguments {
            convolution: Arguments {
                skip: skip.address(),
                output: output.address(),
                ..self.0.arguments(input.address(), input.shape, output.shape)
            },
            first: extent(part.each_ref().map(|along| along.start)),
            extent: extent(shape),
        };
        // The input voxels that the part lies over.
        let beneath = part.each_ref().map(|along| along.end.div_ceil(2) - along.start / 2);
        // SAFETY: the arguments are the kernel's, and the grids have the extents that are stated.
        unsafe { self.0.launch(beneath, shape, &arguments) }
    }
}

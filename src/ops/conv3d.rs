//! 3x3x3 convolution, padding 1, stride 1 or 2.
//!
//! `y[o][c] = bias[c] + sum_(k, i) x[stride * o + k - 1][i] * w[c][i][k]`, k in 0..3 on each axis; an extent of
//! n voxels gives n at stride 1 and ceil(n / 2) at stride 2 (PyTorch's `Conv3d`).
use std::sync::Arc;

use super::activations::Activations;
use super::batch_norm::Affine;
use super::blocks::coordinates;
use super::correlation::{Convolution, Correlation, Parity, ParityCorrelation, weight_gradient};
use super::winograd::{self, HALVE, HALVE_TO_INPUT, SAME, Winograd};
use crate::device::Precision;
use crate::device::cuda::packing::Window;
use crate::device::cuda::{Gpu, convolution as cuda};
use crate::error::Result;

const SIZE: usize = 3;

/// Shape of a convolution, and the index of its weights in PyTorch's order `[out][in][z][y][x]`.
#[derive(Clone, Copy, Debug)]
pub struct Conv3d {
    /// Input channels.
    pub cin: usize,
    /// Output channels.
    pub cout: usize,
    /// 1 or 2.
    pub stride: usize,
    /// How it is computed.
    pub method: Method,
}

/// How a convolution is computed: the results differ by rounding alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The sum over the window as it stands: for small grids.
    Plain,
    /// By Winograd's algorithm ([`winograd`]): for large ones.
    Winograd,
}

/// The convolutions of 3DCellSegNet behind the first: tests and benchmarks run at these.
pub const NETWORK_SHAPES: [Conv3d; 5] = [
    Conv3d { cin: 32, cout: 64, stride: 2, method: Method::Winograd },
    Conv3d { cin: 64, cout: 64, stride: 2, method: Method::Winograd },
    Conv3d { cin: 64, cout: 64, stride: 1, method: Method::Winograd },
    Conv3d { cin: 64, cout: 64, stride: 2, method: Method::Plain },
    Conv3d { cin: 64, cout: 64, stride: 1, method: Method::Plain },
];

impl Conv3d {
    /// The same convolution, computed plainly.
    pub fn plain(self) -> Self {
        Conv3d { method: Method::Plain, ..self }
    }

    /// Multiply-adds per output voxel, plainly computed.
    pub fn multiply_adds(&self) -> usize {
        SIZE.pow(3) * self.cin * self.cout
    }

    fn index(&self, o: usize, i: usize, [z, y, x]: [usize; 3]) -> usize {
        (((o * self.cin + i) * SIZE + z) * SIZE + y) * SIZE + x
    }

    /// The convolution, packed to be run: `weight` `[out][in][z][y][x]`, `bias` `[out]`.
    pub fn forward(&self, weight: &[f32], bias: &[f32]) -> Convolution {
        match self.method {
            Method::Winograd => Convolution::Winograd(self.winograd(weight, bias)),
            Method::Plain => Convolution::Plain(Correlation::new(
                [self.cout, self.cin],
                [SIZE, self.stride],
                bias,
                |(o, i, k)| weight[self.index(o, i, k)],
            )),
        }
    }

    /// As [`forward`](Self::forward), whatever the method.
    pub fn winograd(&self, weight: &[f32], bias: &[f32]) -> Winograd {
        Winograd::new(self.form(), [self.cout, self.cin], bias, |(o, i, k)| weight[self.index(o, i, k)])
    }

    /// The convolution on a GPU, plainly computed: at stride 1 that of a residual block (`h + conv(relu(norm(h)))`, h being
    /// both input and skip connection), at stride 2 alone.
    ///
    /// # Errors
    /// Those of [`cuda::Convolution::new`].
    pub fn on_gpu(
        &self,
        gpu: &Arc<Gpu>,
        precision: Precision,
        weight: &[f32],
        bias: &[f32],
        norm: Option<&Affine>,
    ) -> Result<cuda::Convolution> {
        let Conv3d { cin, cout, .. } = *self;
        let (kernel, rows, chunk) = match (precision, self.stride, cin) {
            (Precision::F32, 1, _) => ("conv3d_residual_f32", 4, cin),
            (Precision::F32, _, 32) => ("conv3d_halve_32_f32", 4, cin),
            (Precision::F32, ..) => ("conv3d_halve_64_f32", 4, cin),
            (Precision::F16, 1, _) => ("conv3d_residual_f16", 8, 16),
            (Precision::F16, _, 32) => ("conv3d_halve_32_f16", 4, 16),
            (Precision::F16, ..) => ("conv3d_halve_64_f16", 4, 16),
            (Precision::Bf16, 1, _) => ("conv3d_residual_bf16", 8, 16),
            (Precision::Bf16, _, 32) => ("conv3d_halve_32_bf16", 4, 16),
            (Precision::Bf16, ..) => ("conv3d_halve_64_bf16", 4, 16),
        };
        let threads = if precision == Precision::F32 { 256 } else { 128 };
        let plan = cuda::Plan { file: "conv3d", kernel, tile: [4, rows, 8], threads, doubles: false };
        let window = Window { extent: [SIZE; 3], cin, cout, chunk };
        let packed = window.pack(precision, |k, i, o| weight[self.index(o, i, k)]);
        cuda::Convolution::new(gpu, plan, &packed, norm, bias)
    }

    fn form(&self) -> &'static winograd::Form {
        if self.stride == 1 { &SAME } else { &HALVE }
    }

    /// `dx` from `dy` (shape of the output, with its border of zeros).
    pub fn backward_input(&self, weight: &[f32], dy: &Activations, dx: &mut Activations) {
        let bias = vec![0.0; self.cin];
        let channels = [self.cin, self.cout];
        // dx[i] = sum_k dy[i + 1 - k] w[k]: the same window with the kernel mirrored.
        let mirrored = |(i, o, k): (_, _, [usize; 3])| weight[self.index(o, i, k.map(|k| SIZE - 1 - k))];
        let transposed = |(i, o, k)| weight[self.index(o, i, k)];
        let conv = match (self.method, self.stride) {
            (Method::Winograd, 1) => Convolution::Winograd(Winograd::new(&SAME, channels, &bias, mirrored)),
            (Method::Winograd, _) => {
                Convolution::Winograd(Winograd::new(&HALVE_TO_INPUT, channels, &bias, transposed))
            }
            (Method::Plain, 1) => Convolution::Plain(Correlation::new(channels, [SIZE, 1], &bias, mirrored)),
            (Method::Plain, _) => {
                // i even sees kernel position 1 of one output, i odd positions 2 and 0 of two.
                let parities = [Parity { start: 1, kernel: &[1] }, Parity { start: 1, kernel: &[2, 0] }];
                Convolution::Parity(ParityCorrelation::new(channels, parities, &bias, transposed))
            }
        };
        conv.all(dy, dx);
    }

    /// Gradient to the weights, PyTorch's order, written to `dw`.
    pub fn backward_weights(&self, x: &Activations, dy: &Activations, dw: &mut [f32]) {
        let found = match self.method {
            Method::Plain => weight_gradient(x, [SIZE, self.stride], dy),
            Method::Winograd => winograd::weight_gradient(self.form(), x, dy),
        };
        for (at, line) in found.chunks_exact(self.cout).enumerate() {
            let (k, i) = (at / self.cin, at % self.cin);
            let k = coordinates(k, [SIZE; 3]);
            for (o, value) in line.iter().enumerate() {
                dw[self.index(o, i, k)] = *value;
            }
        }
    }
}

//! Transposed convolution 4x4x4, stride 2, padding 1, cropped to the extent of its skip connection.
//!
//! `y[o][c] = bias[c] + sum_(k, i) x[(o + 1 - k) / 2][i] * w[i][c][k]` over the k of the right parity
//! (PyTorch's `ConvTranspose3d`). It gives 2n voxels where the skip has 2n or 2n - 1; the authors' crop then
//! drops the last plane, which is never computed here. Each of the eight output parities is a 2x2x2
//! convolution of the input.
use super::activations::Activations;
use super::correlation::{Correlation, Parity, ParityCorrelation, weight_gradient};

const SIZE: usize = 4;

/// An even output voxel 2j sees inputs j-1 and j through positions 3 and 1; an odd one, j and j+1 through 2
/// and 0.
const PARITIES: [Parity; 2] = [Parity { start: 0, kernel: &[3, 1] }, Parity { start: 1, kernel: &[2, 0] }];

/// Shape of a transposed convolution, and the index of its weights in PyTorch's order `[in][out][z][y][x]`.
#[derive(Clone, Copy, Debug)]
pub struct ConvTranspose3d {
    /// Input channels.
    pub cin: usize,
    /// Output channels.
    pub cout: usize,
}

/// Those of 3DCellSegNet: tests and benchmarks run at these.
pub const NETWORK_SHAPES: [ConvTranspose3d; 2] =
    [ConvTranspose3d { cin: 64, cout: 64 }, ConvTranspose3d { cin: 64, cout: 32 }];

impl ConvTranspose3d {
    /// Multiply-adds per output voxel.
    pub fn multiply_adds(&self) -> usize {
        8 * self.cin * self.cout
    }

    fn index(&self, i: usize, o: usize, [z, y, x]: [usize; 3]) -> usize {
        (((i * self.cout + o) * SIZE + z) * SIZE + y) * SIZE + x
    }

    /// The operation, packed to be run: `weight` `[in][out][z][y][x]`, `bias` `[out]`.
    pub fn forward(&self, weight: &[f32], bias: &[f32]) -> ParityCorrelation {
        ParityCorrelation::new([self.cout, self.cin], PARITIES, bias, |(o, i, k)| weight[self.index(i, o, k)])
    }

    /// `dx` from `dy` (cropped, with its border of zeros).
    pub fn backward_input(&self, weight: &[f32], dy: &Activations, dx: &mut Activations) {
        let bias = vec![0.0; self.cin];
        let transposed = |(i, o, k)| weight[self.index(i, o, k)];
        Correlation::new([self.cin, self.cout], [SIZE, 2], &bias, transposed).all(dy, dx);
    }

    /// Gradient to the weights, PyTorch's order, written to `dw`.
    pub fn backward_weights(&self, x: &Activations, dy: &Activations, dw: &mut [f32]) {
        let found = weight_gradient(dy, [SIZE, 2], x);
        for (at, line) in found.chunks_exact(self.cin).enumerate() {
            let (k, o) = (at / self.cout, at % self.cout);
            let k = [k / (SIZE * SIZE), k / SIZE % SIZE, k % SIZE];
            for (i, value) in line.iter().enumerate() {
                dw[self.index(i, o, k)] = *value;
            }
        }
    }
}

//! 3x3x3 convolution, padding 1, stride 1 or 2.
//!
//! `y[o][c] = bias[c] + sum_(k, i) x[stride * o + k - 1][i] * w[c][i][k]`, k in 0..3 on each axis; an extent of
//! n voxels gives n at stride 1 and ceil(n / 2) at stride 2 (PyTorch's `Conv3d`).
use super::activations::Activations;
use super::correlation::{Correlation, Parity, ParityCorrelation, weight_gradient};

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
}

/// The convolutions of 3DCellSegNet behind the first: tests and benchmarks run at these.
pub const NETWORK_SHAPES: [Conv3d; 3] = [
    Conv3d { cin: 32, cout: 64, stride: 2 },
    Conv3d { cin: 64, cout: 64, stride: 2 },
    Conv3d { cin: 64, cout: 64, stride: 1 },
];

impl Conv3d {
    /// Multiply-adds per output voxel.
    pub fn multiply_adds(&self) -> usize {
        SIZE.pow(3) * self.cin * self.cout
    }

    fn index(&self, o: usize, i: usize, [z, y, x]: [usize; 3]) -> usize {
        (((o * self.cin + i) * SIZE + z) * SIZE + y) * SIZE + x
    }

    /// The convolution, packed to be run: `weight` `[out][in][z][y][x]`, `bias` `[out]`.
    pub fn forward(&self, weight: &[f32], bias: &[f32]) -> Correlation {
        let size = [SIZE, self.stride];
        Correlation::new([self.cout, self.cin], size, bias, |(o, i, k)| weight[self.index(o, i, k)])
    }

    /// `dx` from `dy` (shape of the output, with its border of zeros).
    pub fn backward_input(&self, weight: &[f32], dy: &Activations, dx: &mut Activations) {
        let bias = vec![0.0; self.cin];
        let channels = [self.cin, self.cout];
        if self.stride == 1 {
            // dx[i] = sum_k dy[i + 1 - k] w[k]: the same window with the kernel mirrored.
            let mirrored = |(i, o, k): (_, _, [usize; 3])| weight[self.index(o, i, k.map(|k| SIZE - 1 - k))];
            Correlation::new(channels, [SIZE, 1], &bias, mirrored).all(dy, dx);
        } else {
            // i even sees kernel position 1 of one output, i odd positions 2 and 0 of two.
            let parities = [Parity { start: 1, kernel: &[1] }, Parity { start: 1, kernel: &[2, 0] }];
            let transposed = |(i, o, k)| weight[self.index(o, i, k)];
            ParityCorrelation::new(channels, parities, &bias, transposed).all(dy, dx);
        }
    }

    /// Gradient to the weights, PyTorch's order, written to `dw`.
    pub fn backward_weights(&self, x: &Activations, dy: &Activations, dw: &mut [f32]) {
        let found = weight_gradient(x, [SIZE, self.stride], dy);
        for (at, line) in found.chunks_exact(self.cout).enumerate() {
            let (k, i) = (at / self.cin, at % self.cin);
            let k = [k / (SIZE * SIZE), k / SIZE % SIZE, k % SIZE];
            for (o, value) in line.iter().enumerate() {
                dw[self.index(o, i, k)] = *value;
            }
        }
    }
}

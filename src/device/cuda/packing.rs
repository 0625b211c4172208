//! Weights in the order in which the kernels read them.
//!
//! All functions take `weight(position, input channel, output channel)`, the positions of the window being z, y, x.
use bytemuck::Pod;
use half::{bf16, f16};

use crate::device::Precision;
use crate::ops::correlation::positions;
use crate::volume::Shape;

/// The window of one convolution.
#[derive(Clone, Copy)]
pub struct Window {
    /// Extent, z, y, x.
    pub extent: Shape,
    /// Input channels.
    pub cin: usize,
    /// Output channels.
    pub cout: usize,
    /// Input channels that a kernel on tensor cores holds at a time.
    pub chunk: usize,
}

/// Input channels of one matrix instruction.
pub(super) const STEP: usize = 16;
/// Steps that a kernel reads ahead, at most (kernels/common/mma_tile.cuh).
pub(super) const AHEAD: usize = 2;
/// Output channels of one matrix.
const COLUMNS: usize = 8;

impl Window {
    /// The bytes that a kernel of this precision reads.
    pub fn pack(&self, precision: Precision, weight: impl Fn(Shape, usize, usize) -> f32) -> Vec<u8> {
        match precision {
            Precision::F32 => bytemuck::cast_slice(&self.rows(weight)).to_vec(),
            Precision::F16 => self.fragments(f16::from_f32, weight),
            Precision::Bf16 => self.fragments(bf16::from_f32, weight),
        }
    }

    /// The output channels in the order of the columns of their matrices, which tensor cores have them in.
    pub fn columns(&self) -> impl Iterator<Item = usize> + use<> {
        let matrices = self.cout.div_ceil(COLUMNS);
        (0..matrices * COLUMNS).map(move |at| channel(matrices, at / COLUMNS, at % COLUMNS))
    }

    /// `[position][input channel][output channel]`
    fn rows(&self, weight: impl Fn(Shape, usize, usize) -> f32) -> Vec<f32> {
        let mut packed = Vec::new();
        for k in positions(self.extent) {
            for i in 0..self.cin {
                packed.extend((0..self.cout).map(|o| weight(k, i, o)));
            }
        }
        packed
    }

    /// `[chunk][position][step][pair of matrices][lane][8 values]`; a single matrix has 4 values in place of 8. Output
    /// channels beyond the last one are zero, and so is what lies behind the last step: kernels read AHEAD steps on.
    fn fragments<H: Pod>(
        &self,
        round: impl Fn(f32) -> H,
        weight: impl Fn(Shape, usize, usize) -> f32,
    ) -> Vec<u8> {
        let matrices = self.cout.div_ceil(COLUMNS);
        let mut packed = Vec::new();
        for chunk in (0..self.cin).step_by(self.chunk) {
            for k in positions(self.extent) {
                for step in (chunk..chunk + self.chunk).step_by(STEP) {
                    for pair in (0..matrices).step_by(2) {
                        for lane in 0..32 {
                            for matrix in pair..(pair + 2).min(matrices) {
                                packed.extend((0..4).map(|value| {
                                    let (row, column) = place(lane, value);
                                    let o = channel(matrices, matrix, column);
                                    let inside = o < self.cout;
                                    round(if inside { weight(k, step + row, o) } else { 0.0 })
                                }));
                            }
                        }
                    }
                }
            }
        }
        packed.resize(packed.len() + AHEAD * STEP * COLUMNS * matrices, H::zeroed());
        bytemuck::cast_slice(&packed).to_vec()
    }
}

/// Row and column of the value that a lane holds of a 16x8 matrix (PTX manual, fragments of mma.m16n8k16).
fn place(lane: usize, value: usize) -> (usize, usize) {
    (2 * (lane % 4) + value % 2 + 8 * (value / 2), lane / 4)
}

/// The output channel of a matrix's column. Of up to four matrices a lane ends up with columns 2t and 2t + 1 of each:
/// these are given neighbouring channels, 8 of four matrices, which it then writes at once.
fn channel(matrices: usize, matrix: usize, column: usize) -> usize {
    let group = matrices.min(4);
    COLUMNS * group * (matrix / group) + 2 * group * (column / 2) + 2 * (matrix % group) + column % 2
}

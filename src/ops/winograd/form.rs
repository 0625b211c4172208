//! What Winograd's algorithm computes along one axis, and the three forms in which the network needs it.
//!
//! Along an axis a tile has two outputs `y[0..2]` of a correlation with `taps` taps. With the matrices below,
//! `y = out ((kernel g) * (data d))`, `*` element by element over the points: 4 products in place of 6 for three
//! taps, 3 in place of 4 for two. In three dimensions each matrix acts along each axis. Source: Winograd 1980;
//! Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks", section 4.
//!
//! An output takes part in no product with an input that its kernel does not reach, not even one that cancels: so the bits of an
//! output depend on its receptive field alone, as without the algorithm. Where a phase has one tap only, in [`HALVE`] and its
//! gradient, they depend on the next input too, by rounding: the first output is `(d0 - d1) k + d1 k`.

use std::ops::Range;

use crate::ops::blocks::coordinates;

/// Outputs of a tile along an axis, of each phase.
pub(super) const OUTPUTS: usize = 2;

/// Phases of a split side along each axis; phase number `4 * z + 2 * y + x`.
pub(super) const PHASES: [usize; 3] = [2; 3];

/// The three matrices of a tile of two outputs; rows and columns beyond `points`, `taps` and the window are zero.
pub(super) struct Algorithm {
    /// Products along an axis.
    pub(super) points: usize,
    /// Kernel elements along an axis.
    pub(super) taps: usize,
    /// `[point][input]`
    pub(super) data: [[f32; 4]; 4],
    /// `[point][tap]`
    pub(super) kernel: [[f32; 3]; 4],
    /// `[output][point]`
    pub(super) out: [[f32; 4]; OUTPUTS],
}

/// F(2, 3)
static THREE_TAPS: Algorithm = Algorithm {
    points: 4,
    taps: 3,
    data: [[1.0, 0.0, -1.0, 0.0], [0.0, 1.0, 1.0, 0.0], [0.0, -1.0, 1.0, 0.0], [0.0, 1.0, 0.0, -1.0]],
    kernel: [[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]],
    out: [[1.0, 1.0, 1.0, 0.0], [0.0, 1.0, -1.0, -1.0]],
};

/// F(2, 2)
static TWO_TAPS: Algorithm = Algorithm {
    points: 3,
    taps: 2,
    data: [[1.0, -1.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, -1.0, 1.0, 0.0], [0.0; 4]],
    kernel: [[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0; 3]],
    out: [[1.0, 1.0, 0.0, 0.0], [0.0, 1.0, 1.0, 0.0]],
};

/// A non-zero element of a matrix's row: its column and its value.
pub(super) type Term = (usize, f32);

/// The non-zero elements of a row.
fn terms(row: &[f32]) -> Vec<Term> {
    row.iter().copied().enumerate().filter(|(_, value)| *value != 0.0).collect()
}

impl Algorithm {
    /// What each point takes of the inputs: one or two terms.
    pub(super) fn data_terms(&self) -> Vec<Vec<Term>> {
        self.data[..self.points].iter().map(|row| terms(row)).collect()
    }

    /// What each point takes of the outputs, for the gradient to the kernel: one or two terms.
    pub(super) fn adjoint_terms(&self) -> Vec<Vec<Term>> {
        (0..self.points).map(|point| terms(&self.out.map(|row| row[point]))).collect()
    }
}

/// Which side of a stride-2 operation consists of even and odd voxels, each a phase with a kernel of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Split {
    /// Stride 1: neither.
    None,
    /// The input is the finer grid.
    Input,
    /// The output is the finer grid.
    Output,
}

/// A correlation as tiles of two outputs along each axis.
///
/// In the border coordinates of [`Activations`](crate::ops::activations::Activations), input j of tile t is voxel
/// 2 t + j, or in phase f of a split input voxel 2 (2 t + j) + f. Output i is voxel 2 t + 1 + i, or in phase f of a
/// split output voxel 2 (2 t + i) + f.
pub struct Form {
    pub(super) algorithm: &'static Algorithm,
    pub(super) split: Split,
    /// Kernel position of each tap, phase by phase; `None`: a zero.
    pub(super) kernel: &'static [&'static [Option<usize>]],
    /// Kernel positions along an axis.
    pub(super) size: usize,
}

/// Three taps at stride 1: a convolution, and with the kernel mirrored its gradient to the input.
pub static SAME: Form =
    Form { algorithm: &THREE_TAPS, split: Split::None, kernel: &[&[Some(0), Some(1), Some(2)]], size: 3 };

/// Three taps at stride 2.
pub static HALVE: Form = Form {
    algorithm: &TWO_TAPS,
    split: Split::Input,
    kernel: &[&[Some(0), Some(2)], &[Some(1), None]],
    size: 3,
};

/// The gradient of [`HALVE`] to its input.
pub static HALVE_TO_INPUT: Form = Form {
    algorithm: &TWO_TAPS,
    split: Split::Output,
    kernel: &[&[Some(2), Some(0)], &[None, Some(1)]],
    size: 3,
};

/// Four taps at stride 2, transposed.
pub static DOUBLE: Form = Form {
    algorithm: &TWO_TAPS,
    split: Split::Output,
    kernel: &[&[Some(2), Some(0)], &[Some(3), Some(1)]],
    size: 4,
};

/// The gradient of [`DOUBLE`] to its input.
pub static DOUBLE_TO_INPUT: Form = Form {
    algorithm: &TWO_TAPS,
    split: Split::Input,
    kernel: &[&[Some(0), Some(2)], &[Some(1), Some(3)]],
    size: 4,
};

impl Form {
    /// Phases of the input in three dimensions.
    pub(super) fn inputs(&self) -> usize {
        if self.split == Split::Input { 8 } else { 1 }
    }

    /// Phases of the output in three dimensions.
    pub(super) fn outputs(&self) -> usize {
        if self.split == Split::Output { 8 } else { 1 }
    }

    /// Output voxels of a tile along an axis.
    pub(super) fn edge(&self) -> usize {
        if self.split == Split::Output { 2 * OUTPUTS } else { OUTPUTS }
    }

    /// The first output voxel of the first tile, border coordinates.
    pub(super) fn first(&self) -> usize {
        if self.split == Split::Output { 0 } else { 1 }
    }

    /// Tiles that cover some output voxels along an axis, border coordinates.
    pub(super) fn tiles(&self, voxels: &Range<usize>) -> Range<usize> {
        let (first, edge) = (self.first(), self.edge());
        (voxels.start - first) / edge..(voxels.end - first).div_ceil(edge)
    }

    /// Points in three dimensions.
    pub(super) fn points(&self) -> usize {
        self.algorithm.points.pow(3)
    }

    /// The kernel of a phase at a point: kernel positions and what each counts. Empty where the product is zero
    /// for every kernel.
    pub(super) fn elements(&self, point: [usize; 3], phase: usize) -> Vec<([usize; 3], f32)> {
        let phases = coordinates(phase, PHASES);
        let along = |axis: usize| {
            let kernel = self.kernel[phases[axis]];
            let row = self.algorithm.kernel[point[axis]];
            let taps = (0..self.algorithm.taps).filter(move |&tap| row[tap] != 0.0);
            taps.filter_map(move |tap| kernel[tap].map(|position| (position, row[tap])))
        };
        let mut found = Vec::new();
        for (z, wz) in along(0) {
            for (y, wy) in along(1) {
                found.extend(along(2).map(|(x, wx)| ([z, y, x], wz * wy * wx)));
            }
        }
        found
    }
}

//! Sums over windows, packed for the CPU's loops: what all convolutions and their gradients are made of.
//!
//! - [`Correlation`]: `out[o] = sum_k a[stride * o + k] * w[k]`, k in 0..size on each axis, in the border
//!   coordinates of [`Activations`]. Convolutions, their gradients to the input at stride 1, and the gradient
//!   of a transposed convolution to its input.
//! - [`ParityCorrelation`]: the eight output parities of a stride-2 transposed operation, each with a small
//!   window of its own. Transposed convolutions, and the gradient of a stride-2 convolution to its input.
//! - [`weight_gradient`]: `dw[k] = sum_o a[stride * o + k] (x) b[o]`.
use rayon::prelude::*;

use super::activations::{Activations, RowIndex};
use super::blocks::{coordinates, linear};
use super::winograd::Winograd;
use crate::device::cpu::gather::{self, BLOCK, Row, Windows};
use crate::device::cpu::outer::{self, Operands};
use crate::device::cpu::simd::Isa;
use crate::volume::{Ranges, Shape, all};

/// A convolution or its gradient to the input, packed in one of three ways.
#[derive(Clone)]
pub enum Convolution {
    /// Windows at one stride.
    Plain(Correlation),
    /// The eight output parities of a transposed operation.
    Parity(ParityCorrelation),
    /// Either with fewer multiplications.
    Winograd(Winograd),
}

impl Convolution {
    /// Computes every row of `out`: `epilogue` is given each row's place, its result, and the row of `out`.
    pub fn run(
        &self,
        input: &Activations,
        out: &mut Activations,
        epilogue: impl Fn(RowIndex, &[f32], &mut [f32]) + Sync,
    ) {
        self.run_part(input, out, &all(out.shape), epilogue);
    }

    /// As [`run`](Self::run) for some voxels of `out`: `epilogue` is given those of a row.
    pub fn run_part(
        &self,
        input: &Activations,
        out: &mut Activations,
        part: &Ranges,
        epilogue: impl Fn(RowIndex, &[f32], &mut [f32]) + Sync,
    ) {
        let [planes, rows, columns] = part;
        let first = columns.start;
        let by_rows = |out: &mut Activations, compute: &(dyn Fn(RowIndex, &mut [f32]) + Sync)| {
            let voxels = out.channels * columns.start..out.channels * columns.end;
            out.par_rows_mut(Vec::new, |result, at, row| {
                if planes.contains(&at.z) && rows.contains(&at.y) {
                    result.resize(voxels.len(), 0.0);
                    compute(at, result);
                    epilogue(at, result, &mut row[voxels.clone()]);
                }
            });
        };
        let isa = Isa::detect();
        match self {
            Convolution::Winograd(conv) => conv.run_part(input, out, part, &epilogue),
            Convolution::Parity(conv) => {
                by_rows(out, &|at, row| conv.row(isa, input, at.n, [at.z, at.y, first], row));
            }
            Convolution::Plain(conv) => by_rows(out, &|at, row| {
                conv.row(isa, input, at.n, [at.z, at.y, first].map(|i| conv.stride * i), row);
            }),
        }
    }

    /// The convolution of a grid so large that it is always computed by Winograd's algorithm.
    ///
    /// # Panics
    /// Where it is not.
    pub fn as_winograd(&self) -> &Winograd {
        match self {
            Convolution::Winograd(conv) => conv,
            _ => panic!("a plain convolution"),
        }
    }

    /// Computes every row of `out`.
    pub fn all(&self, input: &Activations, out: &mut Activations) {
        self.run(input, out, |_, result, row| row.copy_from_slice(result));
    }
}

/// A kernel element: output channel, input channel, position z, y, x in the window.
pub type Element = (usize, usize, [usize; 3]);

/// Every position in a kernel, z, y, x, x fastest.
pub fn positions(size: [usize; 3]) -> impl Iterator<Item = [usize; 3]> {
    (0..size.iter().product()).map(move |at| coordinates(at, size))
}

/// Windows of `size^3` voxels at stride 1 or 2.
#[derive(Clone)]
pub struct Correlation {
    size: usize,
    stride: usize,
    weights: Vec<f32>,
    bias: Vec<f32>,
}

impl Correlation {
    /// Packs the kernel that `weight` tells element by element; `bias` has one value per output channel.
    pub fn new(
        [cout, cin]: [usize; 2],
        [size, stride]: [usize; 2],
        bias: &[f32],
        weight: impl Fn(Element) -> f32,
    ) -> Self {
        let weights = pack(cout, cin, [size; 3], |(o, i, at)| weight((o, i, at)));
        assert_eq!(bias.len(), cout, "one bias per output channel");
        Correlation { size, stride, weights, bias: bias.to_vec() }
    }

    /// Computes voxels of an output row into `out`, from the one on whose window begins at `first` in `input`, border
    /// coordinates and stride included.
    pub fn row(&self, isa: Isa, input: &Activations, n: usize, first: Shape, out: &mut [f32]) {
        let starts = window_starts(input, n, first, [self.size; 2]);
        let windows = Windows {
            input: input.as_slice(),
            starts: &starts[..self.size * self.size],
            stretch: self.size * input.channels,
            step: self.stride * input.channels,
            weights: &self.weights,
            bias: &self.bias,
        };
        let cout = self.bias.len();
        let count = out.len() / cout;
        gather::gather(isa, &windows, Row { data: out, step: cout, count });
    }

    /// Computes every row of `out`.
    pub fn all(&self, input: &Activations, out: &mut Activations) {
        let isa = Isa::detect();
        out.par_rows_mut(
            || (),
            |(), at, row| {
                self.row(isa, input, at.n, [at.z, at.y, 0].map(|i| self.stride * i), row);
            },
        );
    }
}

/// Which input voxels one output parity of a stride-2 transposed operation sees along an axis.
#[derive(Clone, Copy)]
pub struct Parity {
    /// The first one, relative to the output voxel's half, border coordinates.
    pub start: usize,
    /// The kernel position of each.
    pub kernel: &'static [usize],
}

/// Stride-2 transposed windows.
#[derive(Clone)]
pub struct ParityCorrelation {
    parities: [Parity; 2],
    /// Packed kernels of the parities `4 * z + 2 * y + x`.
    weights: [Vec<f32>; 8],
    bias: Vec<f32>,
}

impl ParityCorrelation {
    /// Packs the kernel that `weight` tells element by element, positions being those of the kernel.
    pub fn new(
        [cout, cin]: [usize; 2],
        parities: [Parity; 2],
        bias: &[f32],
        weight: impl Fn(Element) -> f32,
    ) -> Self {
        let weights = std::array::from_fn(|p| {
            let kernel = coordinates(p, [2; 3]).map(|parity| parities[parity].kernel);
            pack(cout, cin, kernel.map(<[usize]>::len), |(o, i, at)| {
                weight((o, i, std::array::from_fn(|axis| kernel[axis][at[axis]])))
            })
        });
        assert_eq!(bias.len(), cout, "one bias per output channel");
        ParityCorrelation { parities, weights, bias: bias.to_vec() }
    }

    /// Computes voxels of an output row into `out`, from voxel `[z, y, x]` (without border) on.
    pub fn row(&self, isa: Isa, input: &Activations, n: usize, [z, y, x]: Shape, out: &mut [f32]) {
        let cout = self.bias.len();
        let columns = out.len() / cout;
        for skipped in 0..2.min(columns) {
            let place = [z, y, x + skipped];
            let [pz, py, px] = place.map(|i| self.parities[i % 2]);
            let first = [z / 2 + pz.start, y / 2 + py.start, place[2] / 2 + px.start];
            let starts = window_starts(input, n, first, [pz.kernel.len(), py.kernel.len()]);
            let windows = Windows {
                input: input.as_slice(),
                starts: &starts[..pz.kernel.len() * py.kernel.len()],
                stretch: px.kernel.len() * input.channels,
                step: input.channels,
                weights: &self.weights[linear(place.map(|i| i % 2), [2; 3])],
                bias: &self.bias,
            };
            let count = (columns - skipped).div_ceil(2);
            gather::gather(isa, &windows, Row { data: &mut out[skipped * cout..], step: 2 * cout, count });
        }
    }
}

/// `dw[kz][ky][kx][ca][cb] = sum over voxels o of b: a[stride * o + k][ca] * b[o][cb]`, in the border
/// coordinates of `a`, summed in an order that does not depend on the number of threads.
pub fn weight_gradient(a: &Activations, [size, stride]: [usize; 2], b: &Activations) -> Vec<f32> {
    let isa = Isa::detect();
    let stretch = size * a.channels * b.channels;
    let rows: Vec<RowIndex> = b.rows().collect();
    let chunk = rows.len().div_ceil(PARTIAL_SUMS).max(1);
    let partial: Vec<Vec<f32>> = rows
        .par_chunks(chunk)
        .map(|rows| {
            let mut dw = vec![0.0; size * size * stretch];
            for at in rows {
                let start = [stride * at.z, stride * at.y, 0];
                let starts = window_starts(a, at.n, start, [size; 2]);
                for (dw, start) in dw.chunks_exact_mut(stretch).zip(starts) {
                    let operands = Operands {
                        a: &a.as_slice()[start..],
                        a_step: stride * a.channels,
                        b: b.row(*at),
                        b_channels: b.channels,
                        count: b.shape[2],
                    };
                    outer::outer(isa, &operands, dw);
                }
            }
            dw
        })
        .collect();
    sum_in_order(partial)
}

/// Parts that a sum over voxels is split into, each added up by one thread. A constant, so that the order of
/// the sum, and with it the result, is the same for any number of threads.
pub(super) const PARTIAL_SUMS: usize = 32;

/// Adds up the parts, first to last.
pub(super) fn sum_in_order(parts: Vec<Vec<f32>>) -> Vec<f32> {
    const CHUNK: usize = 4096;
    let mut parts = parts.into_iter();
    let mut total = parts.next().unwrap_or_default();
    let parts: Vec<Vec<f32>> = parts.collect();
    total.par_chunks_mut(CHUNK).enumerate().for_each(|(i, total)| {
        for part in &parts {
            total.iter_mut().zip(&part[i * CHUNK..]).for_each(|(total, part)| *total += part);
        }
    });
    total
}

/// Windows have at most 4 x 4 stretches.
const MOST_STRETCHES: usize = 16;

/// Where the stretches of a window begin: `[z][y]`, the window's first voxel being `first`.
fn window_starts(
    input: &Activations,
    n: usize,
    [z, y, x]: [usize; 3],
    [sz, sy]: [usize; 2],
) -> [usize; MOST_STRETCHES] {
    let mut starts = [0; MOST_STRETCHES];
    for (i, start) in starts[..sz * sy].iter_mut().enumerate() {
        *start = input.offset(n, [z + i / sy, y + i % sy, x]);
    }
    starts
}

/// `[cout / 32][z][y][x][cin][32]`
pub(super) fn pack(cout: usize, cin: usize, size: [usize; 3], weight: impl Fn(Element) -> f32) -> Vec<f32> {
    let mut packed = Vec::with_capacity(cout * cin * size.iter().product::<usize>());
    for block in (0..cout).step_by(BLOCK) {
        for at in positions(size) {
            for i in 0..cin {
                packed.extend((block..block + BLOCK).map(|o| weight((o, i, at))));
            }
        }
    }
    packed
}

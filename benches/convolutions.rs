//! The convolutions at the shapes of the network: forward on a volume of 128^3, gradients on the batch of a
//! training step, 7 cuboids of 64^3.
use ndarray::{Array3, ArrayView3};
use rayon::prelude::*;
use tascan::device::cpu::simd::Isa;
use tascan::ops::activations::Activations;
use tascan::ops::class_conv::{self, CLASSES, ClassConv};
use tascan::ops::conv_transpose3d::{self, ConvTranspose3d};
use tascan::ops::conv3d::{self, Conv3d, Method};
use tascan::ops::first_conv::{self, FirstConv, MIDDLE};

use crate::harness::{Harness, Name, Work};

/// A batch of cubes.
#[derive(Clone, Copy)]
pub struct Grid {
    /// Cubes.
    pub n: usize,
    /// Voxels along an edge.
    pub edge: usize,
    /// Values a voxel.
    pub channels: usize,
}

impl Grid {
    /// One volume at inference, `level` halvings down.
    pub fn inference(level: usize, channels: usize) -> Self {
        Grid { n: 1, edge: 128 >> level, channels }
    }

    /// The batch of a training step, `level` halvings down.
    pub fn training(level: usize, channels: usize) -> Self {
        Grid { n: 7, edge: 64 >> level, channels }
    }

    /// Number of voxels.
    pub fn voxels(self) -> usize {
        self.n * self.edge.pow(3)
    }

    /// Bytes of all values in f32.
    pub fn bytes(self) -> f64 {
        (4 * self.voxels() * self.channels) as f64
    }

    /// Activations that are neither constant nor denormal.
    pub fn filled(self) -> Activations {
        let mut activations = Activations::zeros(self.n, [self.edge; 3], self.channels);
        activations.par_rows_mut(
            || (),
            |(), at, row| {
                let shift = at.z + 3 * at.y;
                row.iter_mut().enumerate().for_each(|(i, v)| *v = value(i + shift));
            },
        );
        activations
    }

    /// Activations to be overwritten.
    pub fn zeros(self) -> Activations {
        Activations::zeros(self.n, [self.edge; 3], self.channels)
    }
}

/// Small numbers of both signs.
fn value(i: usize) -> f32 {
    (i * 7919 % 101) as f32 / 101.0 - 0.5
}

fn values(len: usize) -> Vec<f32> {
    (0..len).map(|i| 0.1 * value(i)).collect()
}

/// One convolution: who it is and how much it does.
struct Case {
    operation: &'static str,
    input: Grid,
    output: Grid,
    /// Per output voxel.
    multiply_adds: usize,
    weights: usize,
}

impl Case {
    /// The row of a part of it: `""` forward, else which gradient.
    fn row<S>(&self, harness: &mut Harness, part: &str, set_up: impl FnOnce() -> S, run: impl FnMut(&mut S)) {
        let Case { input, output, .. } = self;
        let shape = format!(
            "{}x{}^3x{} to {}^3x{}",
            input.n, input.edge, input.channels, output.edge, output.channels
        );
        let operation = format!("{}{part}", self.operation);
        let work = Work {
            operations: 2.0 * (self.multiply_adds * output.voxels()) as f64,
            bytes: input.bytes() + output.bytes() + 4.0 * self.weights as f64,
        };
        harness.row(Name { operation: &operation, shape: &shape, dtype: "f32" }, work, set_up, run);
    }
}

/// All rows of this file.
pub fn rows(harness: &mut Harness) {
    first_conv_rows(harness);
    for (conv, level) in conv3d::NETWORK_SHAPES.into_iter().zip([0, 1, 1, 1, 1]) {
        conv3d_rows(harness, conv, level);
    }
    for (conv, level) in conv_transpose3d::NETWORK_SHAPES.into_iter().zip([2, 2, 1]) {
        conv_transpose3d_rows(harness, conv, level);
    }
    class_conv_rows(harness);
}

/// A volume and its two layers of parameters.
struct First {
    volumes: Vec<Array3<f32>>,
    weight1: Vec<f32>,
    weight2: Vec<f32>,
    bias2: Vec<f32>,
}

impl First {
    fn new(grid: Grid) -> Self {
        let volume = Array3::from_elem([grid.edge; 3], 0.3);
        First {
            volumes: vec![volume; grid.n],
            weight1: values(MIDDLE),
            weight2: values(first_conv::COUT * MIDDLE * 27),
            bias2: values(first_conv::COUT),
        }
    }

    fn conv(&self) -> FirstConv<'_> {
        let First { weight1, weight2, bias2, .. } = self;
        FirstConv { weight1, bias1: weight1, weight2, bias2 }
    }

    fn input(&self) -> Activations {
        let views: Vec<ArrayView3<f32>> = self.volumes.iter().map(|volume| volume.view()).collect();
        first_conv::input(&views)
    }
}

fn first_conv_rows(harness: &mut Harness) {
    let case = |input: Grid| Case {
        operation: "first_conv",
        input,
        output: Grid { channels: first_conv::COUT, ..input },
        multiply_adds: 2 * 27 * first_conv::COUT,
        weights: 2 * 27 * first_conv::COUT,
    };
    let forward = case(Grid::inference(0, 2));
    let set_up = || {
        let first = First::new(forward.input);
        (first.conv().forward(), first.input(), forward.output.zeros())
    };
    forward.row(harness, "", set_up, |(conv, x, y)| conv.all(x, y));
    let backward = case(Grid::training(0, 2));
    let set_up = || {
        let first = First::new(backward.input);
        let x = first.input();
        (first, x, backward.output.filled())
    };
    backward.row(harness, " weight gradient", set_up, |(first, x, dy)| {
        std::hint::black_box(first.conv().backward_weights(x, dy));
    });
}

/// The first name for Winograd's method, whose operations are counted as if it were plain.
fn named(method: Method, [winograd, plain]: [&'static str; 2]) -> &'static str {
    if method == Method::Winograd { winograd } else { plain }
}

fn conv3d_rows(harness: &mut Harness, conv: Conv3d, level: usize) {
    let weight = values(conv.cin * conv.cout * 27);
    let case = |grid: fn(usize, usize) -> Grid| Case {
        operation: named(conv.method, ["conv3d", "conv3d plain"]),
        input: grid(level, conv.cin),
        output: grid(level + conv.stride - 1, conv.cout),
        multiply_adds: conv.multiply_adds(),
        weights: weight.len(),
    };
    let forward = case(Grid::inference);
    let set_up =
        || (conv.forward(&weight, &values(conv.cout)), forward.input.filled(), forward.output.zeros());
    forward.row(harness, "", set_up, |(conv, x, y)| conv.all(x, y));
    let backward = case(Grid::training);
    let set_up = || (backward.output.filled(), backward.input.zeros());
    backward.row(harness, " input gradient", set_up, |(dy, dx)| conv.backward_input(&weight, dy, dx));
    let set_up = || (backward.input.filled(), backward.output.filled(), weight.clone());
    backward.row(harness, " weight gradient", set_up, |(x, dy, dw)| conv.backward_weights(x, dy, dw));
}

/// From `level` halvings down to one less.
fn conv_transpose3d_rows(harness: &mut Harness, conv: ConvTranspose3d, level: usize) {
    let weight = values(conv.cin * conv.cout * 64);
    let case = |grid: fn(usize, usize) -> Grid| Case {
        operation: named(conv.method, ["conv_transpose3d", "conv_transpose3d plain"]),
        input: grid(level, conv.cin),
        output: grid(level - 1, conv.cout),
        multiply_adds: conv.multiply_adds(),
        weights: weight.len(),
    };
    let forward = case(Grid::inference);
    let set_up =
        || (conv.forward(&weight, &values(conv.cout)), forward.input.filled(), forward.output.zeros());
    forward.row(harness, "", set_up, |(conv, x, y)| conv.all(x, y));
    let backward = case(Grid::training);
    let set_up = || (backward.output.filled(), backward.input.zeros());
    backward.row(harness, " input gradient", set_up, |(dy, dx)| conv.backward_input(&weight, dy, dx));
    let set_up = || (backward.input.filled(), backward.output.filled(), weight.clone());
    backward.row(harness, " weight gradient", set_up, |(x, dy, dw)| conv.backward_weights(x, dy, dw));
}

fn class_conv_rows(harness: &mut Harness) {
    let weight = values(CLASSES * class_conv::CIN * 27);
    let case = |input: Grid| Case {
        operation: "class_conv",
        input,
        output: Grid { channels: CLASSES, ..input },
        multiply_adds: CLASSES * class_conv::CIN * 27,
        weights: weight.len(),
    };
    let forward = case(Grid::inference(0, class_conv::CIN));
    let edge = forward.input.edge;
    let set_up = || {
        let logits = vec![[0.0_f32; CLASSES]; forward.output.voxels()];
        (ClassConv::new(&weight, &[0.1; CLASSES]), forward.input.filled(), logits)
    };
    forward.row(harness, "", set_up, |(conv, x, logits)| {
        let isa = Isa::detect();
        let rows = logits.par_chunks_mut(edge).enumerate();
        rows.for_each(|(i, row)| conv.row(isa, x, 0, [i / edge, i % edge, 0], row));
    });
    let backward = case(Grid::training(0, class_conv::CIN));
    let set_up = || (backward.output.filled(), backward.input.zeros());
    backward.row(harness, " input gradient", set_up, |(dy, dx)| class_conv::backward_input(&weight, dy, dx));
    let set_up = || (backward.input.filled(), backward.output.filled(), weight.clone());
    backward.row(harness, " weight gradient", set_up, |(x, dy, dw)| class_conv::backward_weights(x, dy, dw));
}

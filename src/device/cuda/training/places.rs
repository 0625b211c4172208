//! Where the weights lie among the parameters, layer by layer, in the orders in which the kernels of a training step read them.
use crate::network::layout;
use crate::ops::blocks::linear;
use crate::ops::conv_transpose3d::PARITIES;
use crate::ops::correlation::positions;
use crate::volume::Shape;

/// The place of a zero.
const NONE: u32 = u32::MAX;

/// The convolutions of stride 2.
const HALVING: [&str; 3] = ["conv3", "conv4", "conv5"];
/// Those of the residual blocks.
const RESIDUAL: [&str; 3] = ["resmodule1.conv_module", "resmodule2.conv_module", "resmodule3.conv_module"];
/// The transposed ones.
const DOUBLING: [&str; 3] = ["deconv1", "deconv2", "deconv3"];

/// Positions of the kernel of a convolution at stride 2 through which an even and an odd input voxel are seen.
const HALVE_TO_INPUT: [[Option<usize>; 2]; 2] = [[None, Some(1)], [Some(2), Some(0)]];

/// An order of one layer's weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// In which the layer reads them.
    Forward,
    /// In which its gradient to the input does.
    ToInput,
}

/// The layers whose weights are packed.
pub(super) fn layers() -> impl Iterator<Item = &'static str> {
    HALVING.into_iter().chain(RESIDUAL).chain(DOUBLING).chain(["conv6"])
}

/// The places of one layer's weights among all parameters.
pub(super) fn of(name: &str, order: Order) -> Vec<u32> {
    let weight = format!("{name}.weight");
    let start = layout::range(&weight).start;
    let [outer, inner] = layout::channels(&weight);
    let is_doubling = DOUBLING.contains(&name);
    let size = if is_doubling { 4 } else { 3 };
    // Of the layer's input channel i and output channel o.
    let place = |i: usize, o: usize, k: Option<Shape>| {
        let pair = if is_doubling { i * inner + o } else { o * inner + i };
        k.map_or(NONE, |k| (start + pair * size * size * size + linear(k, [size; 3])) as u32)
    };
    let (cin, cout) = if is_doubling { (outer, inner) } else { (inner, outer) };
    let mirrored = |k: Shape| Some(k.map(|k| size - 1 - k));
    match (order, is_doubling, name) {
        // The classes come first: the lanes run over the 32 channels.
        (Order::Forward, _, "conv6") => rows(window(3).map(Some), [cout, cin], |o, i, k| place(i, o, k)),
        (Order::Forward, false, _) => rows(window(3).map(Some), [cin, cout], place),
        (Order::Forward, true, _) => {
            rows(parities(|p, tap| Some(PARITIES[p].kernel[tap])), [cin, cout], place)
        }
        (Order::ToInput, true, _) => rows(window(4).map(Some), [cout, cin], |o, i, k| place(i, o, k)),
        (Order::ToInput, false, name) if HALVING.contains(&name) => {
            let kernel = |p: usize, tap: usize| HALVE_TO_INPUT[p][tap];
            rows(parities(kernel), [cout, cin], |o, i, k| place(i, o, k))
        }
        (Order::ToInput, false, _) => rows(window(3).map(mirrored), [cout, cin], |o, i, k| place(i, o, k)),
    }
}

fn window(size: usize) -> impl Iterator<Item = Shape> {
    positions([size; 3])
}

/// `[position][from][to]`
fn rows(
    positions: impl Iterator<Item = Option<Shape>>,
    [from, to]: [usize; 2],
    place: impl Fn(usize, usize, Option<Shape>) -> u32,
) -> Vec<u32> {
    let mut packed = Vec::new();
    for k in positions {
        for channel in 0..from {
            packed.extend((0..to).map(|other| place(channel, other, k)));
        }
    }
    packed
}

/// The 2x2x2 windows of the eight parities, positions of the kernel; `None` where there is no partner.
fn parities(kernel: impl Fn(usize, usize) -> Option<usize> + Copy) -> impl Iterator<Item = Option<Shape>> {
    window(2).flat_map(move |parity| {
        window(2).map(move |tap| {
            let [z, y, x] = [0, 1, 2].map(|axis| kernel(parity[axis], tap[axis]));
            Some([z?, y?, x?])
        })
    })
}

//! The orders in which the kernels of a training step read the weights, layer by layer, as kernels/common/weight_order.cuh turns
//! them.
use bytemuck::{Pod, Zeroable};

use crate::device::cuda::packing::STEP;
use crate::network::layout;
use crate::ops::blocks::linear;
use crate::ops::conv_transpose3d::PARITIES;
use crate::ops::correlation::positions;
use crate::volume::Shape;

/// The position of a zero.
const NONE: u32 = u32::MAX;
/// Outer and inner channels of a tile.
const SIDE: usize = 8;

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

/// Orders one behind the other, as the kernels read them.
#[derive(Default)]
pub(super) struct Orders {
    pub orders: Vec<WeightOrder>,
    /// PyTorch's position for each step of each order.
    pub steps: Vec<u32>,
    pub tiles: Vec<WeightTile>,
    /// Packed weights of all orders.
    pub len: usize,
    /// What becomes of them for tensor cores.
    pub slabs: Vec<Slab>,
    /// Weights for tensor cores, of all orders.
    pub rounded: usize,
}

/// `WeightOrder` of kernels/common/weight_order.cuh.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct WeightOrder {
    start: u32,
    packed: u32,
    outer: u32,
    inner: u32,
    positions: u32,
    steps: u32,
    first_step: u32,
    from_is_inner: u32,
}

/// `WeightTile` there.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct WeightTile {
    order: u32,
    outer: u32,
    inner: u32,
}

/// `Slab` of kernels/packing.cu.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Slab {
    from: u32,
    to: u32,
    channels: u32,
}

impl Orders {
    /// Adds an order of one layer's weights.
    pub(super) fn add(&mut self, name: &str, order: Order) {
        let weight = format!("{name}.weight");
        let [outer, inner] = layout::channels(&weight);
        let is_doubling = DOUBLING.contains(&name);
        // Of a transposed convolution the outer channels go in, of the others they come out. The classes come first: the lanes run
        // over the 32 channels.
        let from_is_inner = match order {
            Order::Forward => !is_doubling && name != "conv6",
            Order::ToInput => is_doubling,
        };
        let (positions, steps) = steps(name, order);
        let number = self.orders.len() as u32;
        self.orders.push(WeightOrder {
            start: layout::range(&weight).start as u32,
            packed: self.len as u32,
            outer: outer as u32,
            inner: inner as u32,
            positions: positions as u32,
            steps: steps.len() as u32,
            first_step: self.steps.len() as u32,
            from_is_inner: from_is_inner.into(),
        });
        for first_outer in (0..outer).step_by(SIDE) {
            self.tiles.extend((0..inner).step_by(SIDE).map(|first_inner| WeightTile {
                order: number,
                outer: first_outer as u32,
                inner: first_inner as u32,
            }));
        }
        if is_wide(name) {
            let [from, to] = if from_is_inner { [inner, outer] } else { [outer, inner] };
            self.add_slabs(name, order, &steps, [from, to]);
        }
        self.len += steps.len() * outer * inner;
        self.steps.extend(steps);
    }

    /// The slabs of an order that begins at `len`, in the order of kernels/common/mma_tile.cuh.
    fn add_slabs(&mut self, name: &str, order: Order, steps: &[u32], [from, to]: [usize; 2]) {
        let (chunk, windows) = windows(name, order, steps);
        for window in windows {
            for first in (0..from).step_by(chunk) {
                for step in &window {
                    for first in (first..first + chunk).step_by(STEP) {
                        self.slabs.push(Slab {
                            from: (self.len + (step * from + first) * to) as u32,
                            to: self.rounded as u32,
                            channels: to as u32,
                        });
                        self.rounded += STEP * to;
                    }
                }
            }
        }
    }
}

/// Whether a layer is on tensor cores where activations are in bf16.
pub(super) fn is_wide(name: &str) -> bool {
    name != "conv6"
}

/// What a kernel on tensor cores adds up one behind the other: the input channels that it holds at a time, and the steps of each
/// window (kernels/conv_training.cu), those of a zero left out.
fn windows(name: &str, order: Order, steps: &[u32]) -> (usize, Vec<Vec<usize>>) {
    let numbers: Vec<usize> = (0..steps.len()).collect();
    let used = |window: &[usize]| window.iter().copied().filter(|step| steps[*step] != NONE).collect();
    match order {
        Order::ToInput if DOUBLING.contains(&name) => {
            let window = |q: Shape| {
                positions([2; 3])
                    .map(|tap| linear([0, 1, 2].map(|axis| 2 * tap[axis] + q[axis]), [4; 3]))
                    .collect()
            };
            (32, positions([2; 3]).map(window).collect())
        }
        // The eight parities.
        _ if steps.len() == 64 => (32, numbers.chunks(8).map(used).collect()),
        _ => (16, vec![numbers]),
    }
}

/// How many positions PyTorch's kernel of a layer has, and which of them each step of an order is.
fn steps(name: &str, order: Order) -> (usize, Vec<u32>) {
    let is_doubling = DOUBLING.contains(&name);
    let size: usize = if is_doubling { 4 } else { 3 };
    let window = positions([size; 3]);
    let found: Box<dyn Iterator<Item = Option<Shape>>> = match (order, is_doubling) {
        (Order::Forward, false) | (Order::ToInput, true) => Box::new(window.map(Some)),
        (Order::Forward, true) => Box::new(parities(|p, tap| Some(PARITIES[p].kernel[tap]))),
        (Order::ToInput, false) if HALVING.contains(&name) => {
            Box::new(parities(|p, tap| HALVE_TO_INPUT[p][tap]))
        }
        (Order::ToInput, false) => Box::new(window.map(|k| Some(k.map(|k| size - 1 - k)))),
    };
    let number = |k: Option<Shape>| k.map_or(NONE, |k| linear(k, [size; 3]) as u32);
    (size.pow(3), found.map(number).collect())
}

/// The 2x2x2 windows of the eight parities, positions of the kernel; `None` where there is no partner.
fn parities(kernel: impl Fn(usize, usize) -> Option<usize> + Copy) -> impl Iterator<Item = Option<Shape>> {
    positions([2; 3]).flat_map(move |parity| {
        positions([2; 3]).map(move |tap| {
            let [z, y, x] = [0, 1, 2].map(|axis| kernel(parity[axis], tap[axis]));
            Some([z?, y?, x?])
        })
    })
}

//! Weights in the order in which the kernels of a training step read them, packed on the GPU from the parameters as they are now:
//! kernels/packing.cu.
//!
//! The sums of a weight gradient come in one of these orders, and go the same way back.
use std::collections::HashMap;
use std::sync::Arc;

use cudarc::driver::DeviceRepr;

use super::Parameters;
use super::orders::{self, Order, Orders, WeightTile};
use crate::device::Precision;
use crate::device::cuda::Gpu;
use crate::device::cuda::kernels::Launch;
use crate::device::cuda::memory::Buffer;
use crate::error::Result;
use crate::ops::first_conv::{COUT as FIRST_CHANNELS, MIDDLE};

const THREADS: u32 = 256;
/// A thread for each weight of conv2 to one channel.
const FOLDING_THREADS: u32 = (MIDDLE * 27) as u32;
/// Weights of the folded first convolution: 3x3x3 positions, the voxel and the constant.
const FOLDED: usize = 27 * 2 * FIRST_CHANNELS;

/// `Packing` of kernels/packing.cu.
#[derive(Clone, Copy)]
#[repr(C)]
struct Arguments {
    values: u64,
    turn: Turn,
    packed: u64,
    weight1: u64,
    bias1: u64,
    weight2: u64,
    folded: u64,
    d_weight1: u64,
    d_bias1: u64,
    d_weight2: u64,
}

// SAFETY: integers alone, without padding, in the layout of the kernels' parameter.
unsafe impl DeviceRepr for Arguments {}

/// `WeightOrders` of kernels/common/weight_order.cuh.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Turn {
    orders: u64,
    steps: u64,
    tiles: u64,
}

impl Turn {
    /// For kernels that turn nothing.
    pub(super) const NONE: Turn = Turn { orders: 0, steps: 0, tiles: 0 };
}

/// Where one order of a layer's weights begins.
#[derive(Clone, Copy)]
struct Start {
    packed: usize,
    tile: usize,
    tiles: usize,
}

/// All packed weights, and the orders in which they are.
pub struct Packing {
    gpu: Arc<Gpu>,
    /// Of activations.
    precision: Precision,
    /// Of each layer's orders, forward and to the input.
    starts: HashMap<&'static str, [Start; 2]>,
    tile_count: usize,
    orders: Buffer,
    steps: Buffer,
    tiles: Buffer,
    packed: Buffer,
    folded: Buffer,
}

impl Packing {
    /// The orders; the weights follow with [`pack`](Self::pack).
    ///
    /// # Errors
    /// Where the GPU has too little memory.
    pub fn new(gpu: &Arc<Gpu>, precision: Precision) -> Result<Self> {
        let (mut starts, mut all) = (HashMap::new(), Orders::default());
        for name in orders::layers() {
            let both = [Order::Forward, Order::ToInput].map(|order| {
                let (packed, tile) = (all.len, all.tiles.len());
                all.add(name, order);
                Start { packed, tile, tiles: all.tiles.len() - tile }
            });
            starts.insert(name, both);
        }
        Ok(Packing {
            gpu: gpu.clone(),
            precision,
            starts,
            tile_count: all.tiles.len(),
            orders: gpu.upload(&all.orders)?,
            steps: gpu.upload(&all.steps)?,
            tiles: gpu.upload(&all.tiles)?,
            packed: gpu.buffer(all.len * size_of::<f32>())?,
            folded: gpu.buffer(FOLDED * size_of::<f32>())?,
        })
    }

    /// Packs the parameters as they are now.
    ///
    /// # Errors
    /// Where the driver refuses a launch.
    pub fn pack(&self, parameters: &Parameters) -> Result<()> {
        let arguments = self.arguments(parameters, &self.folded);
        self.run("packing_gather", tiles(self.tile_count, THREADS), &arguments)?;
        self.run("packing_fold", Launch::over(FOLDED, FOLDING_THREADS), &arguments)
    }

    /// The gradients of conv1 and conv2 from that to the weights of both folded into one.
    ///
    /// # Errors
    /// Where the driver refuses the launch.
    pub(super) fn unfold(&self, parameters: &Parameters, d_folded: &Buffer) -> Result<()> {
        let shape = Launch { grid: [1; 3], threads: FOLDING_THREADS };
        self.run("packing_unfold", shape, &self.arguments(parameters, d_folded))
    }

    /// A buffer for the gradient to the folded weights.
    ///
    /// # Errors
    /// Where the GPU has too little memory.
    pub(super) fn folded_gradient(&self) -> Result<Buffer> {
        self.gpu.buffer(FOLDED * size_of::<f32>())
    }

    /// That of the activations.
    pub(super) fn precision(&self) -> Precision {
        self.precision
    }

    /// Where the packed weights of a layer begin.
    pub(super) fn weights(&self, name: &str, order: Order) -> u64 {
        self.packed.address() + (self.start(name, order).packed * size_of::<f32>()) as u64
    }

    /// What turns an order of a layer, and the blocks of so many threads that do.
    pub(super) fn turn(&self, name: &str, order: Order, threads: u32) -> (Turn, Launch) {
        let start = self.start(name, order);
        (self.turn_from(start.tile), tiles(start.tiles, threads))
    }

    /// Where the weights of conv1 and conv2, folded, begin.
    pub(super) fn first(&self) -> u64 {
        self.folded.address()
    }

    fn start(&self, name: &str, order: Order) -> Start {
        self.starts[name][order as usize]
    }

    fn turn_from(&self, tile: usize) -> Turn {
        Turn {
            orders: self.orders.address(),
            steps: self.steps.address(),
            tiles: self.tiles.address() + (tile * size_of::<WeightTile>()) as u64,
        }
    }

    fn arguments(&self, parameters: &Parameters, folded: &Buffer) -> Arguments {
        Arguments {
            values: parameters.start(),
            turn: self.turn_from(0),
            packed: self.packed.address(),
            weight1: parameters.value("conv1.weight"),
            bias1: parameters.value("conv1.bias"),
            weight2: parameters.value("conv2.weight"),
            folded: folded.address(),
            d_weight1: parameters.slot("conv1.weight"),
            d_bias1: parameters.slot("conv1.bias"),
            d_weight2: parameters.slot("conv2.weight"),
        }
    }

    fn run(&self, kernel: &'static str, shape: Launch, arguments: &Arguments) -> Result<()> {
        // SAFETY: the arguments are those of all kernels of the file; the table has places among the parameters alone.
        unsafe { self.gpu.launch_named(["packing", kernel], shape, arguments) }
    }
}

/// A block of threads for each tile.
fn tiles(count: usize, threads: u32) -> Launch {
    Launch { grid: [count as u32, 1, 1], threads }
}

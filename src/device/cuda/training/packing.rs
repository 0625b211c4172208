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
use crate::device::cuda::packing::{AHEAD, STEP};
use crate::error::Result;
use crate::ops::first_conv::{COUT as FIRST_CHANNELS, MIDDLE};

const THREADS: u32 = 256;
/// A thread for each weight of conv2 to one channel.
const FOLDING_THREADS: u32 = (MIDDLE * 27) as u32;
/// Of a block that rounds a slab.
const SLAB_THREADS: u32 = 128;
/// Values that kernels on tensor cores read behind the last weights, of 64 channels at most.
const READ_AHEAD: usize = AHEAD * STEP * 64;
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

/// `Rounding` of kernels/packing.cu.
#[derive(Clone, Copy)]
#[repr(C)]
struct Rounding {
    packed: u64,
    rounded: u64,
    slabs: u64,
}

// SAFETY: integers alone, without padding, in the layout of the kernel's parameter.
unsafe impl DeviceRepr for Rounding {}

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
    rounded: usize,
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
    rounded: Option<Rounded>,
}

/// Weights for tensor cores.
struct Rounded {
    values: Buffer,
    slabs: Buffer,
    slab_count: usize,
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
                let (packed, rounded, tile) = (all.len, all.rounded, all.tiles.len());
                all.add(name, order);
                Start { packed, rounded, tile, tiles: all.tiles.len() - tile }
            });
            starts.insert(name, both);
        }
        let rounded = match precision {
            Precision::F32 => None,
            _ => Some(Rounded {
                values: gpu.zeros((all.rounded + READ_AHEAD) * precision.size())?,
                slabs: gpu.upload(&all.slabs)?,
                slab_count: all.slabs.len(),
            }),
        };
        Ok(Packing {
            gpu: gpu.clone(),
            precision,
            rounded,
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
        self.run("packing_fold", Launch::over(FOLDED, FOLDING_THREADS), &arguments)?;
        self.rounded.as_ref().map_or(Ok(()), |rounded| self.round(rounded))
    }

    fn round(&self, rounded: &Rounded) -> Result<()> {
        let arguments = Rounding {
            packed: self.packed.address(),
            rounded: rounded.values.address(),
            slabs: rounded.slabs.address(),
        };
        let launch = Launch { grid: [rounded.slab_count as u32, 1, 1], threads: SLAB_THREADS };
        // SAFETY: the arguments are the kernel's; the slabs have places among the packed and the rounded weights alone.
        unsafe { self.gpu.launch_named(["packing", "packing_round_bf16"], launch, &arguments) }
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

    /// Where the packed weights of a layer begin, as its kernel of this precision reads them.
    pub(super) fn weights(&self, name: &str, order: Order) -> u64 {
        let start = self.start(name, order);
        match &self.rounded {
            Some(rounded) if orders::is_wide(name) => {
                rounded.values.address() + (start.rounded * self.precision.size()) as u64
            }
            _ => self.packed.address() + (start.packed * size_of::<f32>()) as u64,
        }
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

//! Weights in the order in which the kernels of a training step read them, packed on the GPU from the parameters as they are now:
//! kernels/packing.cu.
//!
//! One table says for each packed weight where it lies among the parameters. The same table says where the sums of a weight
//! gradient go, which come in one of these orders.
use std::collections::HashMap;
use std::sync::Arc;

use cudarc::driver::DeviceRepr;

use super::Parameters;
use super::places::{self, Order};
use crate::device::cuda::Gpu;
use crate::device::cuda::kernels::Launch;
use crate::device::cuda::memory::Buffer;
use crate::error::Result;
use crate::ops::first_conv::{COUT as FIRST_CHANNELS, MIDDLE};

const THREADS: u32 = 256;
/// Weights of the folded first convolution: 3x3x3 positions, the voxel and the constant.
const FOLDED: usize = 27 * 2 * FIRST_CHANNELS;

/// `Packing` of kernels/packing.cu.
#[derive(Clone, Copy)]
#[repr(C)]
struct Arguments {
    values: u64,
    places: u64,
    packed: u64,
    weight1: u64,
    bias1: u64,
    weight2: u64,
    folded: u64,
    d_weight1: u64,
    d_bias1: u64,
    d_weight2: u64,
    quads: i64,
}

// SAFETY: integers alone, without padding, in the layout of the kernels' parameter.
unsafe impl DeviceRepr for Arguments {}

/// All packed weights, and the table behind them.
pub struct Packing {
    gpu: Arc<Gpu>,
    /// Where each layer's orders begin, forward and to the input.
    starts: HashMap<&'static str, [usize; 2]>,
    len: usize,
    places: Buffer,
    packed: Buffer,
    folded: Buffer,
}

impl Packing {
    /// The table; the weights follow with [`pack`](Self::pack).
    ///
    /// # Errors
    /// Where the GPU has too little memory.
    pub fn new(gpu: &Arc<Gpu>) -> Result<Self> {
        let (mut starts, mut table) = (HashMap::new(), Vec::new());
        for name in places::layers() {
            let both = [Order::Forward, Order::ToInput].map(|order| {
                let start = table.len();
                table.extend(places::of(name, order));
                start
            });
            starts.insert(name, both);
        }
        Ok(Packing {
            gpu: gpu.clone(),
            starts,
            len: table.len(),
            places: gpu.upload(&table)?,
            packed: gpu.buffer(table.len() * size_of::<f32>())?,
            folded: gpu.buffer(FOLDED * size_of::<f32>())?,
        })
    }

    /// Packs the parameters as they are now.
    ///
    /// # Errors
    /// Where the driver refuses a launch.
    pub fn pack(&self, parameters: &Parameters) -> Result<()> {
        let arguments = self.arguments(parameters, &self.folded);
        self.run("packing_gather", Launch::over(self.len / 4, THREADS), &arguments)?;
        self.run("packing_fold", Launch::over(FOLDED, THREADS), &arguments)
    }

    /// The gradients of conv1 and conv2 from that to the weights of both folded into one.
    ///
    /// # Errors
    /// Where the driver refuses the launch.
    pub(super) fn unfold(&self, parameters: &Parameters, d_folded: &Buffer) -> Result<()> {
        let shape = Launch { grid: [MIDDLE as u32, 1, 1], threads: THREADS };
        self.run("packing_unfold", shape, &self.arguments(parameters, d_folded))
    }

    /// A buffer for the gradient to the folded weights.
    ///
    /// # Errors
    /// Where the GPU has too little memory.
    pub(super) fn folded_gradient(&self) -> Result<Buffer> {
        self.gpu.buffer(FOLDED * size_of::<f32>())
    }

    /// Where the packed weights of a layer begin.
    pub(super) fn weights(&self, name: &str, order: Order) -> u64 {
        self.packed.address() + self.start(name, order)
    }

    /// Where the table of a layer begins.
    pub(super) fn targets(&self, name: &str, order: Order) -> u64 {
        self.places.address() + self.start(name, order)
    }

    /// Where the weights of conv1 and conv2, folded, begin.
    pub(super) fn first(&self) -> u64 {
        self.folded.address()
    }

    /// In bytes; weights and places have four each.
    fn start(&self, name: &str, order: Order) -> u64 {
        (self.starts[name][order as usize] * size_of::<f32>()) as u64
    }

    fn arguments(&self, parameters: &Parameters, folded: &Buffer) -> Arguments {
        Arguments {
            values: parameters.start(),
            places: self.places.address(),
            packed: self.packed.address(),
            weight1: parameters.value("conv1.weight"),
            bias1: parameters.value("conv1.bias"),
            weight2: parameters.value("conv2.weight"),
            folded: folded.address(),
            d_weight1: parameters.slot("conv1.weight"),
            d_bias1: parameters.slot("conv1.bias"),
            d_weight2: parameters.slot("conv2.weight"),
            quads: (self.len / 4) as i64,
        }
    }

    fn run(&self, kernel: &'static str, shape: Launch, arguments: &Arguments) -> Result<()> {
        // SAFETY: the arguments are those of all kernels of the file; the table has places among the parameters alone.
        unsafe { self.gpu.launch_named(["packing", kernel], shape, arguments) }
    }
}

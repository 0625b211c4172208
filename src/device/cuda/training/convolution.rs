//! The convolutions of a training step and their gradients to the input: kernels/conv_training.cu, and at full resolution
//! kernels/first_conv.cu and kernels/class_conv.cu. Layers are named as in [`crate::network::layout`].
use super::batch::kernel_of;
use super::orders::Order;
use super::packing::Packing;
use super::{Batch, Parameters};
use crate::device::Precision;
use crate::device::cuda::convolution::{Arguments, Plan};
use crate::device::cuda::extent;
use crate::error::Result;
use crate::ops::class_conv::{CIN as LAST_CHANNELS, CLASSES, ClassArguments, PLAN_F32};
use crate::ops::first_conv::{self, COUT as FIRST_CHANNELS};
use crate::volume::Shape;

/// Channels of the coarser grids.
const CHANNELS: usize = 64;

/// The kernels of this file take a whole batch.
const FILE: &str = "conv_training";

/// A window, by its kernels and tiles in f32 and in bf16.
fn window(batch: &Batch, kernels: [&'static str; 2], tiles: [Shape; 2]) -> Plan {
    let kernel = kernel_of(batch, kernels);
    let (tile, threads) = match batch.precision {
        Precision::F32 => (tiles[0], 256),
        _ => (tiles[1], 128),
    };
    Plan { file: FILE, kernel, tile, threads, doubles: false }
}

/// A doubling of the grid to 32 or 64 channels, each with its kernels.
fn doubling(batch: &Batch, channels: usize, [to_32, to_64]: [[&'static str; 2]; 2]) -> Plan {
    let (kernels, tile) = match channels {
        32 => (to_32, [4, 8, 8]),
        _ => (to_64, [4, 4, 8]),
    };
    Plan { doubles: true, ..window(batch, kernels, [tile, [4, 8, 8]]) }
}

/// `conv2(conv1(x))` of a batch of voxels.
///
/// # Errors
/// Those of all functions here: where the GPU has too little memory or refuses a launch.
pub fn first(parameters: &Parameters, packing: &Packing, x: &Batch) -> Result<Batch> {
    let output = Batch::new(&x.gpu, packing.precision(), x.n, x.shape, FIRST_CHANNELS)?;
    let kernel = kernel_of(&output, ["first_conv_training", "first_conv_training_bf16"]);
    let plan = Plan { kernel, ..first_conv::PLAN };
    run(plan, packing.first(), parameters.value("conv2.bias"), x, None, output)
}

/// A 3x3x3 convolution at stride 2.
///
/// # Errors
/// Those of [`first`].
pub fn halve(parameters: &Parameters, packing: &Packing, name: &str, finer: &Batch) -> Result<Batch> {
    let kernels = match finer.channels {
        32 => ["conv_training_halve_32", "conv_training_halve_32_bf16"],
        _ => ["conv_training_halve_64", "conv_training_halve_64_bf16"],
    };
    let plan = window(finer, kernels, [[4, 4, 8]; 2]);
    let output =
        Batch::new(&finer.gpu, finer.precision, finer.n, finer.shape.map(|n| n.div_ceil(2)), CHANNELS)?;
    run(plan, packing.weights(name, Order::Forward), bias(parameters, name), finer, None, output)
}

/// Its gradient to the input, whose extent is `shape`, plus `skip`.
///
/// # Errors
/// Those of [`first`].
pub fn halve_to_input(packing: &Packing, name: &str, dy: &Batch, skip: &Batch) -> Result<Batch> {
    let weights = packing.weights(name, Order::ToInput);
    let kernels = [
        ["conv_training_halve_to_input_32", "conv_training_halve_to_input_32_bf16"],
        ["conv_training_halve_to_input_64", "conv_training_halve_to_input_64_bf16"],
    ];
    run(doubling(dy, skip.channels, kernels), weights, 0, dy, Some(skip), skip.like()?)
}

/// `skip + conv(a)`, 3x3x3 at stride 1.
///
/// # Errors
/// Those of [`first`].
pub fn residual(
    parameters: &Parameters,
    packing: &Packing,
    name: &str,
    a: &Batch,
    skip: &Batch,
) -> Result<Batch> {
    let weights = packing.weights(name, Order::Forward);
    run(same(a), weights, bias(parameters, name), a, Some(skip), a.like()?)
}

/// Its gradient to `a`.
///
/// # Errors
/// Those of [`first`].
pub fn residual_to_input(packing: &Packing, name: &str, dy: &Batch) -> Result<Batch> {
    run(same(dy), packing.weights(name, Order::ToInput), 0, dy, None, dy.like()?)
}

fn same(batch: &Batch) -> Plan {
    window(batch, ["conv_training_same", "conv_training_same_bf16"], [[4, 4, 8], [4, 8, 8]])
}

/// A transposed 4x4x4 convolution at stride 2, cropped to the extent and with the channels of `like`.
///
/// # Errors
/// Those of [`first`].
pub fn double(
    parameters: &Parameters,
    packing: &Packing,
    name: &str,
    coarse: &Batch,
    like: &Batch,
) -> Result<Batch> {
    let weights = packing.weights(name, Order::Forward);
    let kernels = [
        ["conv_training_double_32", "conv_training_double_32_bf16"],
        ["conv_training_double_64", "conv_training_double_64_bf16"],
    ];
    run(doubling(coarse, like.channels, kernels), weights, bias(parameters, name), coarse, None, like.like()?)
}

/// Its gradient to the input, which is like `coarse`.
///
/// # Errors
/// Those of [`first`].
pub fn double_to_input(packing: &Packing, name: &str, dy: &Batch, coarse: &Batch) -> Result<Batch> {
    let kernels = match dy.channels {
        32 => ["conv_training_halve_four_32", "conv_training_halve_four_32_bf16"],
        _ => ["conv_training_halve_four_64", "conv_training_halve_four_64_bf16"],
    };
    let plan = window(dy, kernels, [[4, 4, 8], [4, 8, 8]]);
    run(plan, packing.weights(name, Order::ToInput), 0, dy, None, coarse.like()?)
}

/// The logits of the classes.
///
/// # Errors
/// Those of [`first`].
pub fn classes(parameters: &Parameters, packing: &Packing, u1: &Batch) -> Result<Batch> {
    let output = Batch::new(&u1.gpu, Precision::F32, u1.n, u1.shape, CLASSES)?;
    let weights = [packing.weights("conv6", Order::Forward), bias(parameters, "conv6")];
    let kernel = kernel_of(u1, [PLAN_F32.kernel, "class_conv_training_bf16"]);
    let launch = PLAN_F32.launch(u1.shape, output.shape, 1);
    for volume in 0..u1.n {
        let arguments = ClassArguments::all(arguments(weights, u1, &output, volume));
        // SAFETY: the arguments are the kernel's, and the batches have the extents that they state.
        unsafe { u1.gpu.launch_named([PLAN_F32.file, kernel], launch, &arguments) }?;
    }
    Ok(output)
}

/// The gradient to the input of the last convolution.
///
/// # Errors
/// Those of [`first`].
pub fn classes_to_input(packing: &Packing, dy: &Batch) -> Result<Batch> {
    let output = Batch::new(&dy.gpu, packing.precision(), dy.n, dy.shape, LAST_CHANNELS)?;
    let weights = packing.weights("conv6", Order::ToInput);
    let kernel =
        kernel_of(&output, ["conv_training_classes_to_input", "conv_training_classes_to_input_bf16"]);
    let plan = Plan { file: FILE, kernel, tile: [4, 4, 8], threads: 256, doubles: false };
    run(plan, weights, 0, dy, None, output)
}

fn bias(parameters: &Parameters, name: &str) -> u64 {
    parameters.value(&format!("{name}.bias"))
}

/// Computes all of `output`.
fn run(
    plan: Plan,
    weights: u64,
    bias: u64,
    input: &Batch,
    skip: Option<&Batch>,
    output: Batch,
) -> Result<Batch> {
    // The kernels of other files take one volume at a time.
    let together = if plan.file == FILE { input.n } else { 1 };
    let launch = plan.launch(input.shape, output.shape, together);
    for volume in (0..input.n).step_by(together.max(1)) {
        let skip = skip.map_or(0, |skip| skip.volume(volume));
        let arguments = Arguments { skip, ..arguments([weights, bias], input, &output, volume) };
        // SAFETY: the arguments are those of all convolutions, and the batches have the extents that they state.
        unsafe { input.gpu.launch_named([plan.file, plan.kernel], launch, &arguments) }?;
    }
    Ok(output)
}

/// Those for the volumes from number `volume` on.
fn arguments([weights, epilogue]: [u64; 2], input: &Batch, output: &Batch, volume: usize) -> Arguments {
    Arguments {
        input: input.volume(volume),
        weights,
        prologue: 0,
        epilogue,
        skip: 0,
        output: output.volume(volume),
        input_shape: extent(input.shape),
        output_shape: extent(output.shape),
    }
}

//! The network at inference: its layers one by one, and as a whole.
use std::sync::Arc;

use ndarray::Array3;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::layers::Layers;
use super::{About, Case, Visit, Work, absolute, exact, has};
use crate::device::cuda::Gpu;
use crate::device::cuda::convolution::Grid;
use crate::device::cuda::volume::DeviceVolume;
use crate::device::{Device, Precision};
use crate::error::Result;
use crate::grey::Grey;
use crate::network::cuda::{CudaNetwork, Kept};
use crate::network::engine::{Engine, Wanted};
use crate::network::multiply_adds;
use crate::ops::class_conv::{self, CLASSES, Part};
use crate::ops::cuda::places::Target;
use crate::ops::softmax;
use crate::pipeline::Model;
use crate::tiles::Block;

/// Sums of f32 in another order: some hundred roundings of 2^-24, of which most cancel.
const F32_TOLERANCE: f64 = 1e-5;
/// Weights and results rounded to 11 bits, once each.
const F16_TOLERANCE: f64 = 2e-3;
/// As above to 8 bits: a rounding is off by 2^-8 of the value at most, where that to f16 is by 2^-11.
const BF16_TOLERANCE: f64 = 8.0 * F16_TOLERANCE;

/// Greatest deviations that are rounding: of a layer, as a fraction of its greatest value, and of the network's
/// probabilities, which is what it may make of the former.
pub(super) fn tolerances(precision: Precision) -> [f64; 2] {
    match precision {
        Precision::F32 => [F32_TOLERANCE, 1e-5],
        Precision::F16 => [F16_TOLERANCE, 5e-3],
        Precision::Bf16 => [BF16_TOLERANCE, 4e-2],
    }
}

pub(super) fn visit_all(gpu: Option<&Arc<Gpu>>, edge: usize, visit: Visit) -> Result<()> {
    for precision in Precision::ALL.into_iter().filter(|precision| has(gpu, *precision)) {
        let layers = Layers { gpu, precision, edge };
        layers.first_conv(visit)?;
        layers.conv3d(32, 0, visit)?;
        layers.conv3d(64, 1, visit)?;
        layers.residual(visit)?;
        layers.conv_transpose3d(64, 2, visit)?;
        layers.conv_transpose3d(32, 1, visit)?;
        layers.class_conv(visit)?;
        classes(&layers, visit)?;
        network(&layers, visit)?;
    }
    Ok(())
}

/// Repeatable numbers, evenly spread over plus or minus `bound`.
pub(super) fn noise(seed: u64, len: usize, bound: f32) -> Vec<f32> {
    const CHUNK: usize = 1 << 16;
    let mut values = vec![0.0; len];
    values.par_chunks_mut(CHUNK).enumerate().for_each(|(stream, chunk)| {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(stream as u64);
        chunk.fill_with(|| bound * (2.0 * random.random::<f32>() - 1.0));
    });
    values
}

/// 0 where the probabilities and classes of all voxels are the same.
pub(super) fn softmax_deviation(
    gpu: &Gpu,
    expected: &[([f32; CLASSES], u8)],
    probabilities: &Grid,
    classes: &DeviceVolume<u8>,
) -> Result<f64> {
    let (values, own): (Vec<_>, Vec<_>) = expected.iter().copied().unzip();
    let classes = classes.download(gpu)?.into_raw_vec_and_offset().0;
    Ok(exact(&(values.concat(), own), &(probabilities.download(gpu)?, classes)))
}

/// The shipped model on noise.
fn network(layers: &Layers, visit: Visit) -> Result<()> {
    let weights = Model::embedded()?.weights;
    let volume = Array3::from_shape_vec(layers.shape(0), noise(5, layers.edge.pow(3), 1.0));
    let volume = volume.expect("as many as the shape has");
    let grey = Grey::from(volume.clone());
    let cpu = Engine::new(&Device::Cpu, &weights)?;
    let on_gpu = layers.on_gpu(|gpu| CudaNetwork::new(gpu, layers.precision, &weights))?;
    let about = About {
        operation: "network",
        shape: format!("{}^3", layers.edge),
        dtype: layers.precision.name(),
        work: Work {
            operations: 2.0 * multiply_adds() * volume.len() as f64,
            bytes: (16 * volume.len()) as f64,
        },
        pipe: layers.pipe(),
        tolerance: tolerances(layers.precision)[1],
    };
    let block = Block::whole(layers.shape(0));
    // Logits stay where they are found: to bring them to the host takes longer.
    let launch = layers.gpu.zip(on_gpu.as_ref()).map(|(gpu, network)| {
        || {
            let logits = Grid::new(gpu, block.shape, CLASSES, size_of::<f32>())?;
            let kept = Kept { whole: Target::Logits(&logits), keeps_lowest: false };
            network.start(&grey, &block, Wanted::Kept, Some(kept))?.finish(&mut |_, _| ())?;
            Ok(logits)
        }
    });
    let probabilities = |logits: &[[f32; CLASSES]]| -> Vec<f32> {
        logits.par_iter().flat_map_iter(|logits| softmax::softmax(*logits)).collect()
    };
    let compare = |expected: &Result<Vec<_>>, found: &Grid| match (expected, layers.gpu) {
        (Ok(expected), Some(gpu)) => {
            let found = found.download::<f32>(gpu)?;
            Ok(absolute(&probabilities(expected), &probabilities(found.as_chunks().0)))
        }
        _ => Ok(f64::NAN),
    };
    visit(&Case::new(about, || cpu.logits(&grey), launch, compare))
}

/// The classes and probabilities of the last layer, from whole numbers, so that all precisions find the same logits, of which many
/// are equal.
fn classes(layers: &Layers, visit: Visit) -> Result<()> {
    let (edge, cin) = (layers.edge, class_conv::CIN);
    let voxels = edge.pow(3);
    let values: Vec<f32> = noise(1, cin * voxels, 1.5).into_iter().map(f32::round).collect();
    // Each class is one channel of the voxel itself.
    let mut weight = vec![0.0; CLASSES * cin * 27];
    (0..CLASSES).for_each(|class| weight[(class * cin + class) * 27 + 13] = 1.0);
    let conv = layers.on_gpu(|gpu| class_conv::on_gpu(gpu, layers.precision, &weight, &[0.0; CLASSES]))?;
    let sent = layers.on_gpu(|gpu| Grid::upload_in(gpu, layers.precision, [edge; 3], &values))?;
    let ready = layers.gpu.zip(conv.as_ref()).zip(sent.as_ref());
    let about = |operation, channels, bytes| About {
        operation,
        shape: format!("{edge}^3x{cin} to {edge}^3x{channels}"),
        dtype: layers.precision.name(),
        work: Work {
            operations: (2 * 27 * cin * CLASSES * voxels) as f64,
            bytes: (voxels * (cin * layers.precision.size() + bytes)) as f64,
        },
        pipe: layers.pipe(),
        tolerance: 0.0,
    };
    let logits = |channels: &[f32]| [channels[0], channels[1], channels[2]];
    let launch = ready.map(|((gpu, conv), sent)| {
        move || {
            let classes = DeviceVolume::<u8>::new(gpu, [edge; 3])?;
            conv.run(sent, &Part::all([edge; 3], Target::Classes(&classes)))?;
            Ok(classes)
        }
    });
    visit(&Case::new(
        about("class_conv classes", 1, 1),
        || values.par_chunks(cin).map(|channels| softmax::class(logits(channels))).collect::<Vec<_>>(),
        launch,
        |expected, found: &DeviceVolume<u8>| match layers.gpu {
            Some(gpu) => Ok(exact(expected, &found.download(gpu)?.into_raw_vec_and_offset().0)),
            None => Ok(0.0),
        },
    ))?;
    let launch = ready.map(|((gpu, conv), sent)| {
        move || {
            let probabilities = Grid::new(gpu, [edge; 3], CLASSES, size_of::<f32>())?;
            let classes = DeviceVolume::new(gpu, [edge; 3])?;
            let target = Target::Probabilities(&probabilities, &classes);
            conv.run(sent, &Part::all([edge; 3], target))?;
            Ok((probabilities, classes))
        }
    });
    let about = about("class_conv probabilities", CLASSES + 1, size_of::<[f32; CLASSES]>() + 1);
    let both = |logits| (softmax::softmax(logits), softmax::class(logits));
    visit(&Case::new(
        about,
        || values.par_chunks(cin).map(|channels| both(logits(channels))).collect(),
        launch,
        |expected: &Vec<_>, (probabilities, classes)| match layers.gpu {
            Some(gpu) => softmax_deviation(gpu, expected, probabilities, classes),
            None => Ok(0.0),
        },
    ))
}

//! The logits of a volume that the network sees at half of its size, enlarged: the GPU's bits are the CPU's.
use std::sync::Arc;

use ndarray::Array3;

use super::network::{noise, softmax_deviation};
use super::{About, Case, Pipe, Visit, Work, exact};
use crate::device::cuda::Gpu;
use crate::device::cuda::convolution::Grid;
use crate::device::cuda::volume::DeviceVolume;
use crate::error::Result;
use crate::ops::class_conv::CLASSES;
use crate::ops::cuda;
use crate::ops::cuda::places::{Places, Target};
use crate::ops::enlargement::{self, Enlargement};
use crate::ops::softmax;
use crate::scale::Sampling;

pub(super) fn visit_all(gpu: Option<&Arc<Gpu>>, edge: usize, visit: Visit) -> Result<()> {
    let shape = [edge; 3];
    let enlargement = Enlargement::new(shape, Sampling::whole([2; 3]));
    let boxes: usize = enlargement.boxes().iter().product();
    let values = noise(1, CLASSES * boxes, 1.0).as_chunks::<CLASSES>().0.to_vec();
    let logits = Array3::from_shape_vec(enlargement.boxes(), values).expect("as many as there are boxes");
    let ready = match gpu {
        Some(gpu) => {
            let on_gpu = cuda::enlargement::Enlargement::new(gpu, &enlargement)?;
            let sent = on_gpu.upload(&logits)?;
            Some((gpu, on_gpu, sent))
        }
        None => None,
    };
    let about = |operation, bytes| {
        let (operations, least) = enlargement::cost(boxes, edge.pow(3));
        About {
            operation,
            shape: format!("{}^3 to {edge}^3", edge.div_ceil(2)),
            dtype: "f32",
            work: Work { operations: operations as f64, bytes: (least + bytes * edge.pow(3)) as f64 },
            pipe: Pipe::Scalar,
            tolerance: 0.0,
        }
    };
    let planes = || (0..edge).flat_map(|z| enlargement.plane(&logits, z));
    let launch = ready.as_ref().map(|(gpu, on_gpu, sent)| {
        move || {
            let classes = DeviceVolume::new(gpu, shape)?;
            on_gpu.run(sent, 0..edge, &Places::alone(Target::Classes(&classes)))?;
            Ok(classes)
        }
    });
    visit(&Case::new(
        about("enlargement", 0),
        || planes().map(softmax::class).collect::<Vec<u8>>(),
        launch,
        |expected, found: &DeviceVolume<u8>| match gpu {
            Some(gpu) => Ok(exact(expected, &found.download(gpu)?.into_raw_vec_and_offset().0)),
            None => Ok(0.0),
        },
    ))?;
    let launch = ready.as_ref().map(|(gpu, on_gpu, sent)| {
        move || {
            let logits = Grid::new(gpu, shape, CLASSES, size_of::<f32>())?;
            on_gpu.run(sent, 0..edge, &Places::alone(Target::Logits(&logits)))?;
            Ok(logits)
        }
    });
    visit(&Case::new(
        // Logits in place of classes.
        about("enlargement logits", size_of::<[f32; CLASSES]>() - 1),
        || planes().flatten().collect::<Vec<f32>>(),
        launch,
        |expected, found: &Grid| gpu.map_or(Ok(0.0), |gpu| Ok(exact(expected, &found.download(gpu)?))),
    ))?;
    let launch = ready.as_ref().map(|(gpu, on_gpu, sent)| {
        move || {
            let probabilities = Grid::new(gpu, shape, CLASSES, size_of::<f32>())?;
            let classes = DeviceVolume::new(gpu, shape)?;
            let target = Target::Probabilities(&probabilities, &classes);
            on_gpu.run(sent, 0..edge, &Places::alone(target))?;
            Ok((probabilities, classes))
        }
    });
    let about = about("enlargement probabilities", size_of::<[f32; CLASSES]>());
    visit(&Case::new(
        about,
        || planes().map(|logits| (softmax::softmax(logits), softmax::class(logits))).collect(),
        launch,
        |expected: &Vec<_>, (probabilities, classes)| match gpu {
            Some(gpu) => softmax_deviation(gpu, expected, probabilities, classes),
            None => Ok(0.0),
        },
    ))
}

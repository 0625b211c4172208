//! Local contrast of voxels in each of the types that are sent: the GPU's bits are the CPU's.
use std::sync::Arc;

use ndarray::Array3;

use super::network::noise;
use super::{About, Case, Pipe, Visit, Work, exact};
use crate::device::cuda::Gpu;
use crate::device::cuda::volume::DeviceVolume;
use crate::error::Result;
use crate::grey::{Grey, Stored};
use crate::intensity::Scaling;
use crate::ops::contrast::Contrast;
use crate::ops::cuda;
use crate::ops::first_conv::Voxels;
use crate::volume::all;

pub(super) fn visit_all(gpu: Option<&Arc<Gpu>>, edge: usize, visit: Visit) -> Result<()> {
    let values = noise(5, edge.pow(3), 1.0);
    let values = Array3::from_shape_vec([edge; 3], values).expect("as many as the shape has");
    [
        ("contrast u8", Stored::U8(values.mapv(|x| (128.0 + 127.0 * x) as u8))),
        ("contrast u16", Stored::U16(values.mapv(|x| (32_768.0 + 32_767.0 * x) as u16))),
        ("contrast f32", Stored::F32(values)),
    ]
    .into_iter()
    .try_for_each(|(operation, stored)| one(gpu, operation, stored, visit))
}

fn one(gpu: Option<&Arc<Gpu>>, operation: &'static str, stored: Stored, visit: Visit) -> Result<()> {
    let (least, width) = match stored {
        Stored::U8(_) => (0.0, 255.0),
        Stored::U16(_) => (0.0, 65_535.0),
        Stored::F32(_) => (-1.0, 2.0),
    };
    // Some are below the least level.
    let grey = Grey::new(stored, Scaling { offset: least + 0.4 * width, scale: 1.4 / width });
    let (shape, contrast) = (grey.shape(), Contrast::default());
    let voxels = gpu.map(|gpu| Voxels::send(gpu, &grey)).transpose()?;
    let count = shape.iter().product::<usize>() as f64;
    let about = About {
        operation,
        shape: format!("{}^3", shape[0]),
        dtype: "f32",
        // Of both sums along each axis a number comes and one goes; the level and its square, and the formula.
        work: Work { operations: 24.0 * count, bytes: (grey.size() + size_of::<f32>()) as f64 * count },
        pipe: Pipe::Scalar,
        tolerance: 0.0,
    };
    let launch = gpu.zip(voxels.as_ref()).map(|(gpu, voxels)| {
        move || cuda::contrast::normalise(gpu, voxels, contrast, &all(shape), cuda::contrast::SUMS)
    });
    visit(&Case::new(
        about,
        || grey.clone().with_contrast(contrast, all(shape)).into_normalised(),
        launch,
        |expected, found: &DeviceVolume<f32>| match gpu {
            Some(gpu) => Ok(exact(expected, &found.download(gpu)?)),
            None => Ok(0.0),
        },
    ))
}

//! Files in and out, one module per format.
pub mod aside;
mod mapped;
mod npy;
mod tiff;
mod unit;
mod writer;

use std::path::{Path, PathBuf};

use ndarray::ArrayView3;

use crate::error::{Error, Result};
use crate::volume::{Dtype, Sample, Shape, Spacing, Volume};
pub use writer::Writer;

/// What a file is opened for; decides the default data set of a file that holds several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Grey values (`raw`).
    Raw,
    /// Labels (`label`, `segmentation`).
    Labels,
}

/// The formats, told apart by the ending of a file's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Tiff,
    Npy,
}

/// A path and, where the user named one, the data set inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spec {
    pub path: PathBuf,
    pub format: Format,
}

impl Spec {
    pub(crate) fn parse(spec: &Path) -> Result<Self> {
        let format = format_of(spec).ok_or_else(|| {
            let found = match spec.extension() {
                Some(ending) => format!("the unknown ending .{}", ending.display()),
                None => "a name without an ending".into(),
            };
            Error::format(spec, found, "a name ending in .tif, .tiff or .npy")
        })?;
        Ok(Spec { path: spec.to_owned(), format })
    }
}

fn format_of(path: &Path) -> Option<Format> {
    let ending = path.extension()?.to_str()?.to_ascii_lowercase();
    match ending.as_str() {
        "tif" | "tiff" | "btf" | "tf2" | "tf8" => Some(Format::Tiff),
        "npy" => Some(Format::Npy),
        _ => None,
    }
}

/// Opens the volume that `spec` names: a path, or `file.h5:dataset`.
pub fn open(spec: &Path, _role: Role) -> Result<Volume> {
    let spec = Spec::parse(spec)?;
    match spec.format {
        Format::Tiff => tiff::open(&spec.path),
        Format::Npy => npy::open(&spec.path),
    }
}

/// Writes voxels; the file appears only when it is complete.
pub fn write<T: Sample>(path: &Path, voxels: ArrayView3<T>, spacing: Option<Spacing>) -> Result<()> {
    let mut writer = Writer::create(path, voxels.dim().into(), T::DTYPE, spacing)?;
    writer.planes(voxels)?;
    writer.finish()
}

/// Writes labels as u16 while they fit and as u32 beyond; the file appears only when it is complete.
pub fn write_labels(path: &Path, labels: ArrayView3<u32>, spacing: Option<Spacing>) -> Result<()> {
    match labels.iter().all(|&label| u16::try_from(label).is_ok()) {
        true => write(path, labels.mapv(|label| label as u16).view(), spacing),
        false => write(path, labels, spacing),
    }
}

/// The extents that a file states, as a shape whose bytes this machine can count.
fn check_shape(path: &Path, extents: &[u64], dtype: Dtype) -> Result<Shape> {
    let [z, y, x] = extents[..] else {
        let found = format!("an array of {} axes, {extents:?}", extents.len());
        return Err(Error::format(path, found, "a 3D volume: z, y, x"));
    };
    if z == 0 || y == 0 || x == 0 {
        return Err(Error::format(
            path,
            format!("an empty volume, {z} x {y} x {x}"),
            "at least one voxel along each axis",
        ));
    }
    let bytes = [z, y, x].iter().try_fold(dtype.size() as u64, |bytes, &extent| bytes.checked_mul(extent));
    match bytes.is_some_and(|bytes| isize::try_from(bytes).is_ok()) {
        true => Ok([z, y, x].map(|extent| extent as usize)),
        false => Err(Error::format(
            path,
            format!("{z} x {y} x {x} voxels of {dtype}"),
            "a volume of possible size",
        )),
    }
}

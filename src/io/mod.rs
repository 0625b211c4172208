//! Files in and out, one module per format.
use std::path::Path;

use ndarray::ArrayView3;

use crate::error::{Error, Result};
use crate::volume::{Spacing, Volume};

/// What a file is opened for; decides the default data set of a file that holds several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Grey values (`raw`).
    Raw,
    /// Labels (`label`, `segmentation`).
    Labels,
}

/// Opens the volume that `spec` names: a path, or `file.h5:dataset`.
pub fn open(spec: &Path, _role: Role) -> Result<Volume> {
    Err(Error::format(spec, "an unknown format", "a TIFF, HDF5, NPY or NPZ file"))
}

/// Writes labels as u16 while they fit and as u32 beyond; the file appears only when it is complete.
pub fn write_labels(path: &Path, _labels: ArrayView3<u32>, _spacing: Option<Spacing>) -> Result<()> {
    Err(Error::format(path, "an unknown format", "a name ending in .tif, .h5, .npy or .npz"))
}

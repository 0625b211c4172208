//! A volume: voxels in z, y, x order (x fastest) and their size.
use ndarray::Array3;

use crate::error::{Error, Result};

/// Extent of a volume or block in voxels: z, y, x.
pub type Shape = [usize; 3];

/// Edge lengths of a voxel in micrometres: z, y, x.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Spacing(pub [f64; 3]);

/// Voxels and their size.
pub struct Volume {
    voxels: Array3<f32>,
    spacing: Option<Spacing>,
}

impl Volume {
    /// Extent in voxels, z, y, x.
    pub fn shape(&self) -> Shape {
        self.voxels.dim().into()
    }

    /// Voxel size, where the file states one.
    pub fn spacing(&self) -> Option<Spacing> {
        self.spacing
    }

    /// All voxels as `f32`.
    pub fn to_f32(&self) -> Result<Array3<f32>> {
        Ok(self.voxels.clone())
    }

    /// All voxels as labels; an error where a voxel is no non-negative integer.
    pub fn to_labels(&self) -> Result<Array3<u32>> {
        Err(Error::invalid("no labels"))
    }
}

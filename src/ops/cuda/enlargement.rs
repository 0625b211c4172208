//! Trilinear interpolation of logits, as [`crate::ops::enlargement`], and what follows from them at each voxel.
use std::ops::Range;
use std::sync::Arc;

use cudarc::driver::DeviceRepr;
use ndarray::{Array3, s};

use super::THREADS;
use super::places::{Place, Places};
use crate::device::cuda::convolution::Grid;
use crate::device::cuda::kernels::Launch;
use crate::device::cuda::memory::Buffer;
use crate::device::cuda::{Extent, Gpu, extent};
use crate::error::Result;
use crate::ops::class_conv::CLASSES;
use crate::ops::enlargement::{self, Between};
use crate::volume::Shape;

/// Voxels of a row that a warp takes, half as many where there are more boxes; a row of a plane that each warp of a block of threads
/// takes.
const TILE: usize = 128;
const ROWS: usize = THREADS as usize / 32;
/// A tile begins at a multiple of these in the memory of the volume.
const ALIGNMENT: usize = 32;
/// Boxes whose logits fill whole sectors of memory.
const SECTORS: usize = 8;

/// `Enlargement` of kernels/enlargement.cu.
#[repr(C)]
struct Arguments {
    logits: u64,
    along: [u64; 3],
    grid: Extent,
    last: Extent,
    shape: Extent,
    first: i32,
    places: [Place; 2],
}

// SAFETY: integers alone, without padding, in the layout of the kernel's parameter.
unsafe impl DeviceRepr for Arguments {}

/// The extent in memory of a grid of `boxes`: rows begin with whole sectors.
pub fn padded([depth, height, width]: Shape) -> Shape {
    [depth, height, width.next_multiple_of(SECTORS)]
}

/// The way from a grid of boxes to the voxels of a volume, on a GPU.
pub struct Enlargement {
    gpu: Arc<Gpu>,
    /// Extent of the volume and of the grid.
    shape: Shape,
    boxes: Shape,
    /// Where the voxels of each axis lie.
    along: [Buffer; 3],
}

impl Enlargement {
    /// Makes the way ready.
    ///
    /// # Errors
    /// Where the GPU has no memory for it.
    pub fn new(gpu: &Arc<Gpu>, enlargement: &enlargement::Enlargement) -> Result<Self> {
        let [z, y, x] = enlargement.axes();
        let along = [gpu.upload(z)?, gpu.upload(y)?, gpu.upload(x)?];
        Ok(Enlargement { gpu: gpu.clone(), shape: enlargement.shape(), boxes: enlargement.boxes(), along })
    }

    /// Memory for the logits of all boxes, [`padded`].
    ///
    /// # Errors
    /// Where the GPU has not so much.
    pub fn grid(&self) -> Result<Grid> {
        Grid::new(&self.gpu, padded(self.boxes), CLASSES, size_of::<f32>())
    }

    /// The logits of all boxes in such memory.
    ///
    /// # Errors
    /// Where the GPU has not so much, or the copy fails.
    ///
    /// # Panics
    /// Where there are more or fewer boxes.
    pub fn upload(&self, logits: &Array3<[f32; CLASSES]>) -> Result<Grid> {
        let mut rows = Array3::from_elem(padded(self.boxes), [0.0; CLASSES]);
        rows.slice_mut(s![.., .., ..self.boxes[2]]).assign(logits);
        Grid::upload(&self.gpu, padded(self.boxes), rows.as_slice().unwrap_or_default().as_flattened())
    }

    /// The voxels of some planes of the volume, from the logits of all boxes: what `places` want of them.
    ///
    /// # Errors
    /// Where the driver refuses the launch.
    ///
    /// # Panics
    /// Where `logits` is no [`grid`](Self::grid) or the volume has no such planes.
    pub fn run(&self, logits: &Grid, planes: Range<usize>, places: &Places) -> Result<()> {
        assert_eq!(logits.shape, padded(self.boxes), "the extent of the grid");
        assert!(planes.end <= self.shape[0], "planes {planes:?} of {}", self.shape[0]);
        let [_, height, width] = self.shape;
        let [z, y, x] = self.along.each_ref().map(Buffer::address);
        let arguments = Arguments {
            logits: logits.address(),
            along: [z + (planes.start * size_of::<Between>()) as u64, y, x],
            grid: extent(logits.shape),
            last: extent(self.boxes.map(|count| count.saturating_sub(1))),
            shape: extent([planes.len(), height, width]),
            first: planes.start as i32,
            places: places.arguments(),
        };
        let tile = if self.boxes[2] <= width { TILE } else { TILE / 2 };
        let tiles = (width + ALIGNMENT - 1).div_ceil(tile);
        let grid = [tiles, height.div_ceil(ROWS), planes.len()].map(|blocks| blocks as u32);
        let kernel = if places.take_probabilities() { "enlargement_probabilities" } else { "enlargement" };
        // SAFETY: the arguments are the kernel's, and all volumes have the extents that are stated.
        unsafe {
            self.gpu.launch_named(["enlargement", kernel], Launch { grid, threads: THREADS }, &arguments)
        }
    }
}

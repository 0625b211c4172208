//! Local contrast, as [`crate::ops::contrast`], of voxels as they were sent.
//!
//! Sums along z come first, a word of 8 bytes for each place that cubes reach from a plane, then the cubes' sums and what voxels become.
//! Both are launched for a slab of planes, whose words stay in the GPU's second cache, then for the next one.
use std::sync::Arc;

use cudarc::driver::DeviceRepr;

use crate::device::cuda::kernels::Launch;
use crate::device::cuda::volume::DeviceVolume;
use crate::device::cuda::{Extent, Gpu, extent};
use crate::error::Result;
use crate::ops::contrast::{Contrast, WIDEST};
use crate::ops::first_conv::{GreyArgument, Voxels};
use crate::volume::{Ranges, Shape};

/// Bytes of the words of a slab, where they suffice for a plane: less than the second cache of the GPUs of servers has.
pub const SUMS: usize = 16 << 20;
/// Planes of a slab, as a grid of blocks of threads may have 65,535 along z.
const MOST_PLANES: usize = 1 << 15;
/// Warps of a block of the first kernel, a row each, and of the second one, each for so many rows.
const SUM_WARPS: usize = 8;
const WARPS: usize = 4;
const ROWS: usize = 32;
/// Voxels of a row that a warp of the second kernel takes, and the columns that their cubes cover.
const TILE: usize = 96;
const COLUMNS: usize = 128;
const _: () = assert!(TILE + 2 * WIDEST <= COLUMNS, "a tile's cubes are as wide as its columns");

/// `Contrast` of kernels/contrast.cu.
#[repr(C)]
struct Arguments {
    grey: GreyArgument,
    sums: u64,
    normalised: u64,
    floor: u64,
    extent: Extent,
    first: Extent,
    shape: Extent,
    pitch: i32,
    half_width: i32,
    slab: i32,
    planes: i32,
    held: i32,
}

// SAFETY: numbers alone, without padding, in the layout of the kernels' parameter.
unsafe impl DeviceRepr for Arguments {}

/// The voxels `part` of `voxels`, normalised: what [`Contrast::normalise`] makes of them, to the bit. The words of a slab take at most
/// `most` bytes, those of a single plane whatever it needs.
///
/// # Errors
/// Where the GPU has no memory for it, or the driver refuses a launch.
///
/// # Panics
/// Where `part` is not inside `voxels`.
pub fn normalise(
    gpu: &Arc<Gpu>,
    voxels: &Voxels,
    contrast: Contrast,
    part: &Ranges,
    most: usize,
) -> Result<DeviceVolume<f32>> {
    let (whole, shape) = (voxels.shape(), part.clone().map(|range| range.len()));
    assert!((0..3).all(|axis| part[axis].end <= whole[axis]), "voxels {part:?} of {whole:?}");
    let normalised = DeviceVolume::new(gpu, shape)?;
    let [rows, pitch] = words(shape, contrast.half_width);
    let held = slab(shape[0], rows * pitch, most);
    let sums = gpu.buffer(held * rows * pitch * size_of::<u64>())?;
    for first in (0..shape[0]).step_by(held) {
        let planes = held.min(shape[0] - first);
        let arguments = Arguments {
            grey: voxels.argument(),
            sums: sums.address(),
            normalised: normalised.address(),
            floor: contrast.floor_level() * contrast.floor_level(),
            extent: extent(whole),
            first: extent(part.clone().map(|range| range.start)),
            shape: extent(shape),
            pitch: pitch as i32,
            half_width: contrast.half_width as i32,
            slab: first as i32,
            planes: planes as i32,
            held: held as i32,
        };
        let blocks = |grid: Shape| grid.map(|blocks| blocks as u32);
        let columns = blocks([pitch / 32, rows.div_ceil(SUM_WARPS), 1]);
        let tiles = blocks([shape[2].div_ceil(TILE), shape[1].div_ceil(WARPS * ROWS), planes]);
        for (kernel, grid, warps) in [("contrast_sums", columns, SUM_WARPS), ("contrast", tiles, WARPS)] {
            let launch = Launch { grid, threads: 32 * warps as u32 };
            // SAFETY: the arguments are the kernels', and all memory has the extents that are stated.
            unsafe { gpu.launch_named(["contrast", kernel], launch, &arguments)? };
        }
    }
    Ok(normalised)
}

/// Rows and columns of words for a plane of the part: those that its cubes reach, the last tile being whole.
fn words([_, height, width]: Shape, half_width: usize) -> [usize; 2] {
    [height + 2 * half_width, width.div_ceil(TILE) * TILE + COLUMNS - TILE]
}

/// Planes of a slab, of `depth`.
fn slab(depth: usize, words: usize, most: usize) -> usize {
    (most / (words * size_of::<u64>()).max(1)).clamp(1, MOST_PLANES).min(depth.max(1))
}

/// Device memory, in bytes, that a part of `shape` voxels takes beside itself in a volume of `extent`: the voxels that its cubes reach, as
/// they are sent, four bytes each at most, and the words of a slab.
pub fn bytes(shape: Shape, extent: Shape, contrast: Contrast) -> u64 {
    let sent: usize = (0..3).map(|a| (shape[a] + 2 * contrast.half_width).min(extent[a])).product();
    let [rows, pitch] = words(shape, contrast.half_width);
    let words = slab(shape[0], rows * pitch, SUMS) * rows * pitch;
    (sent * size_of::<f32>() + words * size_of::<u64>()) as u64
}

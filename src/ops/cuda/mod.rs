//! The operations on whole volumes before and behind the network, on a GPU: volumes that stay there, and the values of their
//! namesakes in [`crate::ops`] to the bit. The kernels are those of `kernels/NAME.cu`.
pub mod basins;
pub mod contacts;
pub mod contrast;
pub mod distance;
pub mod enlargement;
pub mod erosion;
pub mod exposure;
pub mod nearest_cell;
pub mod pairs;
pub mod places;
pub mod pockets;
pub mod regions;
pub mod relabel;
pub mod saddles;

use crate::device::cuda::kernels::Launch;
use crate::volume::Shape;

/// Threads of a block.
const THREADS: u32 = 256;

/// Columns that one block of the kernels goes up, and how far.
const TILE: Shape = [32, 8, 32];

/// Voxels along y that one thread of some kernels looks at (`Run` in kernels/common/rows.cuh).
const RUN: usize = 8;

/// Whether the kernels can number the voxels of a volume: with 32 bits, and its rows as blocks of a grid.
pub fn can_number(shape: Shape) -> bool {
    const MOST_BLOCKS: usize = 65535;
    let voxels = shape.iter().try_fold(1usize, |product, &extent| product.checked_mul(extent));
    let numbered = voxels.is_some_and(|voxels| 0 < voxels && voxels < u32::MAX as usize);
    numbered && shape[0] <= MOST_BLOCKS && shape[1] <= MOST_BLOCKS && shape[2] <= i32::MAX as usize
}

/// One thread a value.
fn line(values: usize) -> Launch {
    Launch::over(values, THREADS)
}

/// A block for each of `count` chunks.
fn each_chunk(count: usize) -> Launch {
    Launch { grid: [count as u32, 1, 1], threads: THREADS }
}

/// A warp a row.
fn rows([depth, height, _]: Shape) -> Launch {
    line(depth * height * 32)
}

/// One thread a voxel, each block in one row.
fn in_rows([depth, height, width]: Shape) -> Launch {
    let Launch { grid: [blocks, ..], threads } = line(width);
    Launch { grid: [blocks, height as u32, depth as u32], threads }
}

/// One thread for [`RUN`] voxels along y, the threads of a block side by side.
fn in_runs([depth, height, width]: Shape) -> Launch {
    in_rows([depth, height.div_ceil(RUN), width])
}

/// Columns of [`TILE`] voxels.
fn columns(shape: Shape) -> Launch {
    let [z, y, x] = [0, 1, 2].map(|axis| shape[axis].div_ceil(TILE[axis]) as u32);
    Launch { grid: [x, y, z], threads: THREADS }
}

/// For each axis from y to z: voxels from one of a column to the next, and voxels of a column.
fn along_columns([depth, height, width]: Shape) -> [(usize, usize); 2] {
    [(width, height), (height * width, depth)]
}

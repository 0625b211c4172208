//! Activations: channels-last, with a border of zeros.
//!
//! Memory is `[n][z + border][y + border][x + border][channel]`, all f32. The border is the zero padding of
//! the convolutions: one voxel before, and one after (two where the extent is odd, so that the partner of a
//! stride-2 operation may look at the plane that the crop dropped). No loop of the network has an edge case.
use std::ops::Range;

use bytemuck::{Pod, Zeroable};
use rayon::prelude::*;

use crate::volume::{Ranges, Shape};

/// A cache line, so that every voxel of 16 or more channels begins on one.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([f32; 16]);

/// A batch of `n` channels-last volumes with a border of zeros.
#[derive(Clone)]
pub struct Activations {
    /// Volumes in the batch.
    pub n: usize,
    /// Extent of one volume without its border: z, y, x.
    pub shape: Shape,
    /// Channels per voxel.
    pub channels: usize,
    lines: Vec<Line>,
}

/// How rows are gathered into tiles: along z and y tiles of `edge` rows, the first one beginning at border coordinate
/// `first` of y.
pub(super) struct Tiling {
    pub(super) edge: usize,
    pub(super) first: usize,
    /// Numbers along y of the tiles to be computed.
    pub(super) rows: Range<usize>,
    /// Rows of tiles that are computed together.
    pub(super) group: usize,
}

/// Voxels to be computed, border coordinates of the buffer, `origin` being the first plane of tile `tile`.
pub struct Band {
    /// The voxels.
    pub voxels: Ranges,
    /// At most the first plane.
    pub origin: usize,
    /// Number of a tile along z.
    pub tile: usize,
}

/// Voxels in border coordinates.
pub fn bordered(voxels: &Ranges) -> Ranges {
    voxels.each_ref().map(|along| along.start + 1..along.end + 1)
}

/// Rows of tiles that one thread computes together.
pub(super) struct TileRows {
    pub(super) n: usize,
    /// The tiles' number along z.
    pub(super) z: usize,
    /// Their numbers along y.
    pub(super) rows: Range<usize>,
}

/// The voxels of a row that are to be computed, in some rows of tiles.
pub(super) struct TileRow<'a> {
    pub(super) at: RowIndex,
    /// Its number among the rows of the tiles, `[z][y]`, rows outside counted.
    pub(super) number: usize,
    pub(super) voxels: &'a mut [f32],
}

/// Place of a row in a batch: volume, z, y, without border.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowIndex {
    /// Volume in the batch.
    pub n: usize,
    /// Plane.
    pub z: usize,
    /// Row in the plane.
    pub y: usize,
}

impl Activations {
    /// All zeros.
    pub fn zeros(n: usize, shape: Shape, channels: usize) -> Self {
        let mut activations = Activations { n, shape, channels, lines: Vec::new() };
        activations.lines = bytemuck::allocation::zeroed_vec(activations.len().div_ceil(16));
        activations
    }

    /// Extent of one volume with its border.
    pub fn padded(&self) -> Shape {
        self.shape.map(|extent| extent + 2 + extent % 2)
    }

    /// Floats, border included.
    pub fn len(&self) -> usize {
        self.n * self.padded().iter().product::<usize>() * self.channels
    }

    /// Whether there is no voxel at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Floats of one padded row.
    pub fn row_len(&self) -> usize {
        self.padded()[2] * self.channels
    }

    /// Floats of one padded plane.
    pub fn plane_len(&self) -> usize {
        self.padded()[1] * self.row_len()
    }

    /// All floats, border included.
    pub fn as_slice(&self) -> &[f32] {
        &bytemuck::cast_slice(&self.lines)[..self.len()]
    }

    /// All floats, border included.
    pub fn as_mut_slice(&mut self) -> &mut [f32] {
        let len = self.len();
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..len]
    }

    /// Where the voxel `[z, y, x]` of volume `n` begins, border coordinates: the first voxel inside is
    /// `[1, 1, 1]`.
    pub fn offset(&self, n: usize, [z, y, x]: Shape) -> usize {
        let [planes, rows, columns] = self.padded();
        (((n * planes + z) * rows + y) * columns + x) * self.channels
    }

    /// The voxels of one row, without border.
    pub fn row(&self, at: RowIndex) -> &[f32] {
        let start = self.offset(at.n, [at.z + 1, at.y + 1, 1]);
        &self.as_slice()[start..start + self.shape[2] * self.channels]
    }

    /// Every row in parallel, without border: `work(state, row index, voxels)`; `state` is made once per
    /// thread.
    pub fn par_rows_mut<S: Send>(
        &mut self,
        state: impl Fn() -> S + Sync + Send,
        work: impl Fn(&mut S, RowIndex, &mut [f32]) + Sync + Send,
    ) {
        let (row_len, channels, shape) = (self.row_len(), self.channels, self.shape);
        let inside = Inside::of(self);
        self.as_mut_slice().par_chunks_mut(row_len).enumerate().for_each_init(state, |state, (i, row)| {
            if let Some(at) = inside.row(i) {
                work(state, at, &mut row[channels..channels * (shape[2] + 1)]);
            }
        });
    }

    /// The rows of a range of planes in parallel, of the first volume, borders of y and x left out. Planes are
    /// counted with the border, for buffers that hold a slab of a larger volume.
    pub fn par_slab_rows_mut<S: Send>(
        &mut self,
        planes: Range<usize>,
        state: impl Fn() -> S + Sync + Send,
        work: impl Fn(&mut S, usize, usize, &mut [f32]) + Sync + Send,
    ) {
        let (row_len, plane_len, [_, rows, _]) = (self.row_len(), self.plane_len(), self.shape);
        let voxels = self.channels..self.channels * (self.shape[2] + 1);
        let padded_rows = self.padded()[1];
        let slab = &mut self.as_mut_slice()[planes.start * plane_len..planes.end * plane_len];
        slab.par_chunks_mut(row_len).enumerate().for_each_init(state, |state, (i, row)| {
            let (plane, y) = (planes.start + i / padded_rows, i % padded_rows);
            if (1..=rows).contains(&y) {
                work(state, plane, y - 1, &mut row[voxels.clone()]);
            }
        });
    }

    /// The voxels of a band, tile by tile, in parallel.
    pub(super) fn par_tiles_mut(
        &mut self,
        tiling: Tiling,
        band: &Band,
        work: impl Fn(TileRows, Vec<TileRow>) + Sync + Send,
    ) {
        let Tiling { edge, first, rows: tiles, group } = tiling;
        let [band_planes, band_rows, columns] = &band.voxels;
        let (plane_len, row_len) = (self.plane_len(), self.row_len());
        let volume_len = self.padded()[0] * plane_len;
        let voxels = self.channels * columns.start..self.channels * columns.end;
        let mut units = std::collections::BTreeMap::<[usize; 3], Vec<TileRow>>::new();
        for (n, volume) in self.as_mut_slice().chunks_exact_mut(volume_len.max(1)).enumerate() {
            let planes = volume.chunks_exact_mut(plane_len).enumerate();
            let planes = planes.filter(|(plane, _)| band_planes.contains(plane));
            for (plane, rows) in planes {
                let (tile_z, z) = ((plane - band.origin) / edge, (plane - band.origin) % edge);
                let rows = rows.chunks_exact_mut(row_len).enumerate();
                for (y, row) in rows.filter(|(y, _)| band_rows.contains(y)) {
                    let in_tiles = y - first - edge * tiles.start;
                    let start = tiles.start + in_tiles / (edge * group) * group;
                    let together = group.min(tiles.end - start);
                    units.entry([n, band.tile + tile_z, start]).or_default().push(TileRow {
                        at: RowIndex { n, z: plane - 1, y: y - 1 },
                        number: z * edge * together + in_tiles % (edge * group),
                        voxels: &mut row[voxels.clone()],
                    });
                }
            }
        }
        units.into_par_iter().for_each(|([n, z, start], rows)| {
            let at = TileRows { n, z, rows: start..(start + group).min(tiles.end) };
            work(at, rows);
        });
    }

    /// Copies whole planes, border coordinates, of the first volume.
    pub fn copy_planes(&mut self, from: Range<usize>, to: usize) {
        let plane_len = self.plane_len();
        self.as_mut_slice().copy_within(from.start * plane_len..from.end * plane_len, to * plane_len);
    }

    /// Makes this buffer one of another shape, all zeros, and keeps its memory where it suffices.
    pub fn reshape(&mut self, n: usize, shape: Shape, channels: usize) {
        (self.n, self.shape, self.channels) = (n, shape, channels);
        let lines = self.len().div_ceil(16);
        if lines > self.lines.capacity() {
            *self = Activations::zeros(n, shape, channels);
        } else {
            self.lines.resize(lines, Line([0.0; 16]));
            self.lines.par_iter_mut().for_each(|line| *line = Line([0.0; 16]));
        }
    }

    /// Floats that fit without new memory.
    pub fn capacity(&self) -> usize {
        16 * self.lines.capacity()
    }

    /// The rows without border, in memory order.
    pub fn rows(&self) -> impl Iterator<Item = RowIndex> + use<> {
        let ([planes, rows, _], n) = (self.shape, self.n);
        (0..n).flat_map(move |n| (0..planes).flat_map(move |z| (0..rows).map(move |y| RowIndex { n, z, y })))
    }
}

/// Tells rows inside from rows of the border.
#[derive(Clone, Copy)]
struct Inside {
    shape: Shape,
    padded: Shape,
}

impl Inside {
    fn of(activations: &Activations) -> Self {
        Inside { shape: activations.shape, padded: activations.padded() }
    }

    fn row(&self, i: usize) -> Option<RowIndex> {
        let (plane, y) = (i / self.padded[1], i % self.padded[1]);
        let (n, z) = (plane / self.padded[0], plane % self.padded[0]);
        let inside = (1..=self.shape[0]).contains(&z) && (1..=self.shape[1]).contains(&y);
        inside.then(|| RowIndex { n, z: z - 1, y: y - 1 })
    }
}

//! Numbers that lie in one run, axis after axis (fastest first), as MetaImage and NRRD keep them: which of them are the
//! volume, where channels and time points may stand at any place among the axes.
use std::path::Path;

use rayon::prelude::*;

use super::check_shape;
use super::selection::{Extra, Pick, Selection};
use crate::error::{Error, Result};
use crate::volume::{Bytes, Dtype, Sample, Shape, Store, for_dtype, owned_bytes};

/// What an axis stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One of x, y, z, in this order.
    Space,
    Channel,
    Time,
}

/// One axis of a run of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Axis {
    pub(super) extent: u64,
    pub(super) kind: Kind,
}

/// The numbers of a run that are the volume.
pub(super) struct Raster {
    pub(super) shape: Shape,
    dtype: Dtype,
    swapped: bool,
    /// Number of the first voxel in the run.
    first: usize,
    /// How many numbers further the next voxel along z, y and x is.
    strides: Shape,
    /// Shape of the whole run, with all channels and time points counted as planes.
    pub(super) whole: Shape,
}

impl Raster {
    /// Chooses the volume among the axes of the run, fastest first.
    ///
    /// # Errors
    /// The axes of space are not three, an extent is 0, or one of several channels or time points has to be chosen.
    pub(super) fn choose(
        path: &Path,
        axes: &[Axis],
        dtype: Dtype,
        swapped: bool,
        selection: &Selection,
    ) -> Result<Self> {
        let [x, y, z] = spatial(path, axes)?;
        let extents = [z, y, x].map(|axis| axes[axis].extent);
        let others = axes.iter().filter(|axis| axis.kind != Kind::Space);
        let planes = others.fold(extents[0], |planes, axis| planes.saturating_mul(axis.extent));
        let whole = check_shape(path, &[planes, extents[1], extents[2]], dtype)?;
        let strides = strides(axes);
        let channel = position(path, axes, Kind::Channel, selection.channel.as_ref())?;
        let time = position(path, axes, Kind::Time, selection.time.as_ref())?;
        let first = [channel, time].iter().flatten().map(|&(axis, number)| strides[axis] * number).sum();
        let shape = extents.map(|extent| extent as usize);
        Ok(Raster { shape, dtype, swapped, first, strides: [z, y, x].map(|axis| strides[axis]), whole })
    }

    /// Bytes of the whole run.
    pub(super) fn len(&self) -> usize {
        self.whole.iter().product::<usize>() * self.dtype.size()
    }

    /// Whether the rows along x lie as a volume has them, so that no number has to be moved.
    pub(super) fn has_whole_rows(&self) -> bool {
        self.shape[2] == 1 || self.strides[2] == 1
    }

    /// The voxels in `bytes`, of which the run takes those from `start` on; copied only where values along x lie apart.
    pub(super) fn store(&self, bytes: Bytes, start: usize) -> Store {
        let [planes, rows, columns] = self.shape;
        let size = self.dtype.size();
        if !self.has_whole_rows() {
            let run = &(*bytes).as_ref()[start..];
            let gathered = for_dtype!(self.dtype, S => owned_bytes(self.gathered::<S>(run)));
            return Store::contiguous(gathered, 0, self.shape, self.dtype, self.swapped);
        }
        let together = rows == 1 || self.strides[1] == columns;
        let rows_per_run = if together { rows } else { 1 };
        let begins = (0..planes).flat_map(|z| (0..rows).step_by(rows_per_run).map(move |y| (z, y)));
        let runs = begins.map(|(z, y)| start + self.number(z, y) * size).collect();
        Store { bytes, runs, rows_per_run, swapped: self.swapped }
    }

    /// The number in the run of the first voxel of a row.
    fn number(&self, z: usize, y: usize) -> usize {
        self.first + z * self.strides[0] + y * self.strides[1]
    }

    /// The voxels of the volume alone, in z, y, x order; their bytes keep their order.
    fn gathered<S: Sample>(&self, run: &[u8]) -> Vec<S> {
        let [planes, rows, columns] = self.shape;
        let (size, step) = (size_of::<S>(), self.strides[2]);
        let mut voxels = vec![S::default(); planes * rows * columns];
        voxels.par_chunks_mut(rows * columns).enumerate().for_each(|(z, plane)| {
            for (y, row) in plane.chunks_mut(columns).enumerate() {
                let begin = self.number(z, y);
                for (x, voxel) in row.iter_mut().enumerate() {
                    *voxel = bytemuck::pod_read_unaligned(&run[(begin + x * step) * size..][..size]);
                }
            }
        });
        voxels
    }
}

/// Which axes are x, y and z.
fn spatial(path: &Path, axes: &[Axis]) -> Result<[usize; 3]> {
    let spatial: Vec<usize> = (0..axes.len()).filter(|&axis| axes[axis].kind == Kind::Space).collect();
    if let [x, y] = spatial[..] {
        let found = format!("a 2D image, {} x {}", axes[y].extent, axes[x].extent);
        return Err(Error::format(path, found, "a 3D stack of several planes: x, y, z"));
    }
    <[usize; 3]>::try_from(spatial).map_err(|spatial| {
        let found = format!("{} axes of space among {}", spatial.len(), axes.len());
        Error::format(path, found, "a 3D volume: x, y, z")
    })
}

/// How many numbers further the next position along each axis is.
fn strides(axes: &[Axis]) -> Vec<usize> {
    let extents = axes.iter().map(|axis| axis.extent as usize);
    extents.scan(1, |next, extent| Some(std::mem::replace(next, *next * extent))).collect()
}

/// The axis along which `pick` chooses, with the position that it chooses; `None` where there is no such axis.
fn position(path: &Path, axes: &[Axis], kind: Kind, pick: Option<&Pick>) -> Result<Option<(usize, usize)>> {
    let along = (0..axes.len()).filter(|&axis| axes[axis].kind == kind && axes[axis].extent > 1);
    let along: Vec<usize> = along.collect();
    let count = along.first().map_or(1, |&axis| axes[axis].extent as usize);
    let extra = match kind {
        Kind::Time => Extra::times(count),
        _ => Extra::channels(count, &[]),
    };
    if along.len() > 1 {
        let found = format!("{} axes of {}", along.len(), extra.plural);
        return Err(Error::format(path, found, "one such axis at most"));
    }
    let number = extra.choose(path, pick, "")?;
    Ok(along.first().map(|&axis| (axis, number)))
}

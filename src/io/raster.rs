//! Numbers that lie in one run, axis after axis (fastest first), as MetaImage and NRRD keep them: which of them are the
//! volume, where channels and time points may stand at any place among the axes.
use std::path::Path;

use super::axes::Cut;
use super::check_shape;
use super::element::Element;
use super::selection::{Extra, Pick, Selection};
use super::strided::Strided;
use crate::error::{Error, Result};
use crate::volume::{Bytes, Dtype, Shape, Store};

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
    element: Element,
    /// The axes' extents, fastest first, and the volume among them.
    extents: Vec<u64>,
    cut: Cut,
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
        let extents: Vec<u64> = axes.iter().map(|axis| axis.extent).collect();
        let others = axes.iter().filter(|axis| axis.kind != Kind::Space);
        let planes = others.fold(extents[z], |planes, axis| planes.saturating_mul(axis.extent));
        let whole = check_shape(path, &[planes, extents[y], extents[x]], dtype)?;
        let channel = position(path, axes, Kind::Channel, selection.channel.as_ref())?;
        let time = position(path, axes, Kind::Time, selection.time.as_ref())?;
        let mut cut = Cut { zyx: [z, y, x], position: vec![0; axes.len()] };
        [channel, time].into_iter().flatten().for_each(|(axis, number)| cut.position[axis] = number as u64);
        let shape = cut.extents(&extents).map(|extent| extent as usize);
        Ok(Raster { shape, element: Element::plain(dtype, swapped), extents, cut, whole })
    }

    /// Bytes of the whole run.
    pub(super) fn len(&self) -> usize {
        self.whole.iter().product::<usize>() * self.element.size
    }

    /// The voxels in `bytes`, of which the run takes those from `start` on, and whether they stay there: they are copied
    /// only where values along x lie apart.
    pub(super) fn store(&self, bytes: Bytes, start: usize) -> (Store, bool) {
        self.element.store(bytes, &Strided::of(start, &self.extents, &self.cut, self.element.size, true))
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

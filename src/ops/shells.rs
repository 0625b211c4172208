//! The shells of labelled regions, voxel by voxel.
//!
//! shell(v) = the labelled voxels outside v that are 6-adjacent to v. [`super::contacts`] counts them;
//! growing clusters need the voxels themselves, as one that touches two members of a cluster counts once.
//! Source: `Cluster_Super_Vox` in `func/cluster_super_vox.py`.
//!
//! labels `[z, y, x]` u32, core `[z, y, x]` u8 (voxels where it is 0 count as label 0) -> a list of voxels
//! for each region.
use ndarray::{ArrayView3, Zip};
use rayon::prelude::*;

use super::blocks::{coordinates, linear};
use crate::volume::Shape;

/// A voxel of a shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShellVoxel {
    /// Linear index, x fastest.
    pub voxel: usize,
    /// Its label.
    pub label: u32,
}

/// The shells of all regions.
pub struct Shells {
    voxels: Vec<ShellVoxel>,
    /// Where the shell of label n ends, at n.
    ends: Vec<usize>,
}

impl Shells {
    /// Greatest label.
    pub fn count(&self) -> usize {
        self.ends.len() - 1
    }

    /// The shell of a region, in raster order.
    pub fn of(&self, label: u32) -> &[ShellVoxel] {
        &self.voxels[self.ends[label as usize - 1]..self.ends[label as usize]]
    }
}

/// Operations and bytes moved for `voxels` voxels: six comparisons; a 32-bit and an 8-bit value in.
pub fn cost(voxels: usize) -> (usize, usize) {
    (6 * voxels, 5 * voxels)
}

/// The shells of labels 1 to `count` in the voxels where `core` is not 0, or everywhere without it.
pub fn shells(labels: ArrayView3<u32>, core: Option<ArrayView3<u8>>, count: u32) -> Shells {
    let mut labels = labels.to_owned();
    if let Some(core) = core {
        Zip::from(&mut labels).and(core).par_for_each(|label, &core| *label *= u32::from(core != 0));
    }
    let shape: Shape = labels.dim().into();
    let labels = labels.as_slice().expect("an owned copy is contiguous");
    let mut found: Vec<(u32, ShellVoxel)> = labels
        .par_iter()
        .enumerate()
        .filter(|(_, label)| **label != 0)
        .flat_map_iter(|(voxel, &label)| {
            touched(labels, voxel, shape).map(move |region| (region, ShellVoxel { voxel, label }))
        })
        .collect();
    found.par_sort_by_key(|(region, _)| *region);
    let mut ends = vec![0; count as usize + 1];
    found.iter().for_each(|(region, _)| ends[*region as usize] += 1);
    (1..ends.len()).for_each(|label| ends[label] += ends[label - 1]);
    Shells { voxels: found.into_iter().map(|(_, voxel)| voxel).collect(), ends }
}

/// The different labels around a voxel that are not its own.
fn touched(labels: &[u32], voxel: usize, shape: Shape) -> impl Iterator<Item = u32> {
    let at = coordinates(voxel, shape);
    let around = std::array::from_fn::<_, 6, _>(|side| {
        let mut at = at;
        let axis = side / 2;
        at[axis] =
            if side % 2 == 0 { at[axis].saturating_sub(1) } else { (at[axis] + 1).min(shape[axis] - 1) };
        labels[linear(at, shape)]
    });
    let own = labels[voxel];
    (0..6)
        .filter(move |&side| {
            around[side] != 0 && around[side] != own && !around[..side].contains(&around[side])
        })
        .map(move |side| around[side])
}

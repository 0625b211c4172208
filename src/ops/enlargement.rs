//! Trilinear interpolation of the small grid's logits at the voxels of the volume.
//!
//! logits `[z, y, x][class]` of boxes -> `[y, x][class]` of one plane of voxels. A box, what a point of the network's grid
//! stands for, has its value at its centre, also where the last box is cut off; voxels beyond the outermost centres
//! have the value of the nearest.
//! `first + (second - first) * share` along z, then y, then x.
use bytemuck::{Pod, Zeroable};
use ndarray::Array3;
use rayon::prelude::*;

use super::class_conv::CLASSES;
use crate::scale::{Sampling, Step};
use crate::volume::Shape;

/// Operations and bytes moved for `boxes` boxes and `voxels` voxels: three roundings for each class at least once a voxel, and
/// two comparisons; logits in, a class out.
pub fn cost(boxes: usize, voxels: usize) -> (usize, usize) {
    ((3 * CLASSES + 2) * voxels, size_of::<[f32; CLASSES]>() * boxes + voxels)
}

/// Between the centres of which boxes a voxel lies: one and the next, or the last one alone.
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Between {
    first: u32,
    /// Of the next one.
    share: f32,
}

impl Between {
    /// Both boxes of an axis of `count`.
    fn boxes(self, count: usize) -> [usize; 2] {
        let first = self.first as usize;
        [first, (first + 1).min(count - 1)]
    }
}

fn mix(first: f32, second: f32, share: f32) -> f32 {
    first + (second - first) * share
}

/// The way from a grid of boxes to the voxels of a volume.
pub struct Enlargement {
    /// Extent of the grid, z, y, x.
    boxes: Shape,
    axes: [Vec<Between>; 3],
}

impl Enlargement {
    /// To a volume of `shape` voxels from the grid of `sampling`.
    pub fn new(shape: Shape, sampling: Sampling) -> Self {
        let axes = [0, 1, 2].map(|axis| along(shape[axis], sampling.0[axis]));
        Enlargement { boxes: sampling.shape(shape), axes }
    }

    /// Plane z of the volume.
    ///
    /// # Panics
    /// Where `logits` is not the reduced grid of the volume.
    pub fn plane(&self, logits: &Array3<[f32; CLASSES]>, z: usize) -> Vec<[f32; CLASSES]> {
        assert_eq!(logits.dim(), self.boxes.into(), "the extent of the reduced grid");
        let [_, along_y, along_x] = &self.axes;
        let mut plane = vec![[0.0; CLASSES]; along_y.len() * along_x.len()];
        let rows = plane.par_chunks_mut(along_x.len()).zip(along_y);
        rows.for_each_init(Vec::new, |row, (voxels, y)| {
            self.mix_row(logits, self.axes[0][z], *y, row);
            for (voxel, x) in voxels.iter_mut().zip(along_x) {
                let [first, second] = [row[x.first as usize], row[x.first as usize + 1]];
                *voxel = std::array::from_fn(|class| mix(first[class], second[class], x.share));
            }
        });
        plane
    }

    /// The row of boxes at the height of a row of voxels.
    fn mix_row(
        &self,
        logits: &Array3<[f32; CLASSES]>,
        z: Between,
        y: Between,
        row: &mut Vec<[f32; CLASSES]>,
    ) {
        let [depth, height, width] = self.boxes;
        let logits = logits.as_slice().expect("boxes are in memory order");
        let boxes = |z: usize, y: usize| logits[(z * height + y) * width..][..width].as_flattened();
        let [near, far] = y.boxes(height).map(|y| z.boxes(depth).map(|z| boxes(z, y)));
        row.resize(width + 1, [0.0; CLASSES]);
        let near = near[0].iter().zip(near[1]).map(|(&below, &above)| mix(below, above, z.share));
        let far = far[0].iter().zip(far[1]).map(|(&below, &above)| mix(below, above, z.share));
        let mixed = row.as_flattened_mut().iter_mut().zip(near.zip(far));
        mixed.for_each(|(mixed, (near, far))| *mixed = mix(near, far, y.share));
        row[width] = row[width - 1];
    }

    /// Extent of the volume.
    pub(crate) fn shape(&self) -> Shape {
        [0, 1, 2].map(|axis| self.axes[axis].len())
    }

    /// Extent of the grid of boxes.
    pub(crate) fn boxes(&self) -> Shape {
        self.boxes
    }

    /// Where each voxel of an axis lies.
    pub(crate) fn axes(&self) -> &[Vec<Between>; 3] {
        &self.axes
    }
}

/// For each of `extent` voxels of an axis where it lies between the centres of the boxes of a grid.
fn along(extent: usize, step: Step) -> Vec<Between> {
    let count = step.count(extent);
    let points = step.points as usize;
    // Twice the centres, in whole parts of a voxel.
    let centre = |i: usize| step.parts(i, extent).start + step.parts(i, extent).end;
    let between = |voxel: usize| {
        let at = (2 * voxel + 1) * points;
        let own = (at / 2 / step.voxels as usize).min(count - 1);
        let first = if at < centre(own) { own.saturating_sub(1) } else { own };
        let second = (first + 1).min(count - 1);
        let whole = centre(second) - centre(first);
        let part = at.saturating_sub(centre(first)).min(whole);
        Between { first: first as u32, share: if whole == 0 { 0.0 } else { part as f32 / whole as f32 } }
    };
    (0..extent).map(between).collect()
}

//! Trilinear interpolation of the small grid's logits at the voxels of the volume.
//!
//! logits `[z, y, x][class]` of boxes -> `[y, x][class]` of one plane of voxels. A box's value lies at the centre of
//! its voxels, also where the last box is cut off; voxels beyond the outermost centres have the value of the nearest.
use ndarray::{Array3, s};
use rayon::prelude::*;

use super::reduced_shape;
use crate::ops::class_conv::CLASSES;
use crate::volume::Shape;

/// The two boxes between whose centres a voxel lies, and the share of the second.
#[derive(Clone, Copy)]
struct Between {
    boxes: [usize; 2],
    share: f32,
}

impl Between {
    #[inline]
    fn mix<const N: usize>(self, first: [f32; N], second: [f32; N]) -> [f32; N] {
        std::array::from_fn(|c| first[c] + (second[c] - first[c]) * self.share)
    }
}

/// The way from a grid of boxes to the voxels of a volume.
pub struct Enlargement {
    axes: [Vec<Between>; 3],
}

impl Enlargement {
    /// To a volume of `shape` voxels from boxes of `factors` voxels (z, y, x).
    pub fn new(shape: Shape, factors: Shape) -> Self {
        Enlargement { axes: [0, 1, 2].map(|axis| along(shape[axis], factors[axis])) }
    }

    /// Plane z of the volume.
    ///
    /// # Panics
    /// Where `logits` is not the reduced grid of the volume.
    pub fn plane(&self, logits: &Array3<[f32; CLASSES]>, z: usize) -> Vec<[f32; CLASSES]> {
        let [_, along_y, along_x] = &self.axes;
        let z = self.axes[0][z];
        let mut plane = vec![[0.0; CLASSES]; along_y.len() * along_x.len()];
        plane.par_chunks_mut(along_x.len()).zip(along_y).for_each_init(Vec::new, |row, (target, y)| {
            mixed_row(logits, z, *y, row);
            for (target, x) in target.iter_mut().zip(along_x) {
                *target = x.mix(row[x.boxes[0]], row[x.boxes[1]]);
            }
        });
        plane
    }
}

/// The row of boxes at the height of a row of voxels.
fn mixed_row(logits: &Array3<[f32; CLASSES]>, z: Between, y: Between, row: &mut Vec<[f32; CLASSES]>) {
    let [a, b] = y.boxes.map(|y| z.boxes.map(|z| logits.slice(s![z, y, ..])));
    row.clear();
    row.extend((0..logits.dim().2).map(|x| y.mix(z.mix(a[0][x], a[1][x]), z.mix(b[0][x], b[1][x]))));
}

/// For each of `extent` voxels of an axis where it lies between the centres of boxes of `factor` voxels.
fn along(extent: usize, factor: usize) -> Vec<Between> {
    let [count, ..] = reduced_shape([extent; 3], [factor; 3]);
    // Twice the centre, in whole numbers.
    let centre = |i: usize| i * factor + ((i + 1) * factor).min(extent) - 1;
    let between = |voxel: usize| {
        let own = voxel / factor;
        let first = if 2 * voxel < centre(own) { own.saturating_sub(1) } else { own };
        let second = (first + 1).min(count - 1);
        let whole = centre(second) - centre(first);
        let part = (2 * voxel).saturating_sub(centre(first)).min(whole);
        Between { boxes: [first, second], share: if whole == 0 { 0.0 } else { part as f32 / whole as f32 } }
    };
    (0..extent).map(between).collect()
}

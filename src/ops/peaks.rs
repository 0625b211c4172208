//! Spaced peaks of a distance map: `skimage.feature.peak_local_max(E, min_distance=3, labels=mask)` with its
//! default borders.
//!
//! A candidate is a voxel above the map's minimum that no voxel of the 7x7x7 window around it exceeds;
//! neither candidates nor windows reach into the outermost 3 voxels of the volume. From the highest candidate
//! on, and among equals in raster order, one is accepted unless an accepted one is less than 3 voxels away on
//! every axis.
//!
//! squared distance `[z, y, x]` u32 -> linear indices, in raster order.
use ndarray::{ArrayView3, s};
use rayon::prelude::*;
use rustc_hash::FxHashMap;

use super::blocks::{coordinates, linear};
use crate::volume::Shape;

/// `min_distance` of the authors' `generate_super_vox_by_watershed`.
const SPACING: usize = 3;

/// Operations and bytes moved for `voxels` voxels: some ten comparisons until a greater neighbour is met; a
/// 32-bit value in.
pub fn cost(voxels: usize) -> (usize, usize) {
    (10 * voxels, 4 * voxels)
}

/// The accepted peaks.
pub fn spaced(squared: ArrayView3<u32>) -> Vec<usize> {
    let shape: Shape = squared.dim().into();
    let mut candidates = candidates(squared, shape);
    candidates.par_sort_unstable_by_key(|&(height, voxel)| (std::cmp::Reverse(height), voxel));
    let mut accepted = Accepted::default();
    let mut peaks: Vec<usize> = candidates
        .into_iter()
        .map(|(_, voxel)| voxel)
        .filter(|&voxel| accepted.offer(coordinates(voxel, shape)))
        .collect();
    peaks.sort_unstable();
    peaks
}

fn candidates(squared: ArrayView3<u32>, shape: Shape) -> Vec<(u32, usize)> {
    if shape.iter().any(|&edge| edge <= 2 * SPACING) {
        return Vec::new();
    }
    let lowest = squared.into_par_iter().min().copied().unwrap_or_default();
    let inner = SPACING..shape[0] - SPACING;
    let of_plane = |z: usize| {
        let rows = SPACING..shape[1] - SPACING;
        let voxels = rows.flat_map(move |y| (SPACING..shape[2] - SPACING).map(move |x| [z, y, x]));
        voxels
            .filter(|&voxel| squared[voxel] > lowest && is_highest(squared, voxel, shape))
            .map(|voxel| (squared[voxel], linear(voxel, shape)))
            .collect::<Vec<_>>()
    };
    inner.into_par_iter().flat_map_iter(of_plane).collect()
}

fn is_highest(squared: ArrayView3<u32>, voxel: Shape, shape: Shape) -> bool {
    let [z, y, x] = [0, 1, 2].map(|axis| {
        (voxel[axis] - SPACING).max(SPACING)..(voxel[axis] + SPACING + 1).min(shape[axis] - SPACING)
    });
    squared.slice(s![z, y, x]).iter().all(|&height| height <= squared[voxel])
}

/// Accepted peaks by cells of the spacing's size, each of which can hold one.
#[derive(Default)]
struct Accepted(FxHashMap<Shape, Shape>);

impl Accepted {
    /// Accepts a voxel unless an accepted one is too near.
    fn offer(&mut self, voxel: Shape) -> bool {
        let cell = voxel.map(|place| place / SPACING);
        let too_near = (0..27).any(|neighbour| {
            let place = coordinates(neighbour, [3; 3]);
            // unsigned: a cell below 0 wraps to one that is never occupied
            let cell = [0, 1, 2].map(|axis| (cell[axis] + place[axis]).wrapping_sub(1));
            let near = |other: &Shape| (0..3).all(|axis| voxel[axis].abs_diff(other[axis]) < SPACING);
            self.0.get(&cell).is_some_and(near)
        });
        if !too_near {
            self.0.insert(cell, voxel);
        }
        !too_near
    }
}

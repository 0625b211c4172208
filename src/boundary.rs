//! Cells from a membrane probability map, as boundary detectors such as PlantSeg's write them.
//!
//! Such a map knows membranes alone: inside and outside of the tissue look the same. So every voxel below the
//! threshold is foreground at first, and the outside is found among the finished cells: it reaches a face of
//! the volume and is far larger than a cell.
use ndarray::{Array3, ArrayView3, Axis};
use rayon::prelude::*;

use crate::cells::{Cells, FOREGROUND, MEMBRANE};
use crate::error::{Error, Result};
use crate::ops::{regions, relabel};
use crate::volume::{Dtype, Volume};

/// Membrane where the probability is at least `threshold`, foreground elsewhere.
///
/// Integers count as parts of their type's greatest value; floating-point values have to lie between 0 and 1.
pub fn classes(map: &Volume, threshold: f64) -> Result<Array3<u8>> {
    let scale = match map.dtype() {
        Dtype::U8 => f64::from(u8::MAX),
        Dtype::U16 => f64::from(u16::MAX),
        Dtype::U32 => f64::from(u32::MAX),
        _ => 1.,
    };
    if let Some([z, y, x]) = map.first_non_finite() {
        let found = format!("a value that is no number at voxel z {z}, y {y}, x {x}");
        return Err(Error::format(map.name(), found, "membrane probabilities"));
    }
    let (low, high) = map.range().unwrap_or_default();
    if low < 0. || high > scale {
        let found = format!("values from {low} to {high}");
        return Err(Error::format(map.name(), found, format!("membrane probabilities from 0 to {scale}")));
    }
    let least = (threshold * scale) as f32;
    let mut classes = Array3::zeros(map.shape());
    classes.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(z, mut plane)| {
        let [_, height, width] = map.shape();
        let probabilities = map.read_f32([z, 0, 0], [1, height, width]);
        plane.zip_mut_with(&probabilities.index_axis(Axis(0), 0), |class, &probability| {
            *class = if probability >= least { MEMBRANE } else { FOREGROUND };
        });
    });
    Ok(classes)
}

/// Turns cells into background that reach a face of the volume and have more than `factor` times the voxels
/// of the median cell.
pub fn drop_background(cells: &mut Cells, factor: f64) {
    let regions = regions::regions(cells.labels.view(), cells.count);
    let mut sizes: Vec<u64> = regions.iter().map(|region| region.voxels).collect();
    sizes.sort_unstable();
    let Some(&median) = sizes.get(sizes.len() / 2) else { return };
    let at_face = labels_at_faces(cells.labels.view(), cells.count);
    let mut kept = 0;
    let mut table = vec![0];
    for (region, at_face) in regions.iter().zip(&at_face[1..]) {
        let outside = *at_face && region.voxels as f64 > factor * median as f64;
        kept += u32::from(!outside);
        table.push(if outside { 0 } else { kept });
    }
    relabel::relabel(cells.labels.view_mut(), &table);
    cells.count = kept;
}

/// For every label whether it occurs in an outermost plane.
fn labels_at_faces(labels: ArrayView3<u32>, count: u32) -> Vec<bool> {
    let mut found = vec![false; count as usize + 1];
    for axis in (0..3).map(Axis).filter(|axis| labels.len_of(*axis) > 0) {
        for plane in [0, labels.len_of(axis) - 1] {
            labels.index_axis(axis, plane).iter().for_each(|&label| found[label as usize] = true);
        }
    }
    found
}

//! Erosion by the 3x3x3 cube.
//!
//! A voxel is kept when it and all of its 26 neighbours inside the volume have the class; the volume's faces
//! do not erode. The same as the authors' max-pool of the complement with padding of minus infinity
//! (`img_3d_erosion_or_expansion` in `func/run_pipeline_super_vox.py`, kernel size 3).
//!
//! classes `[z, y, x]` u8 -> mask `[z, y, x]` u8, 1 kept, 0 not.
use ndarray::{Array3, ArrayView3, Axis};
use rayon::prelude::*;

/// Operations and bytes moved for `voxels` voxels: nine comparisons, two ands along the row; one byte in, one
/// out.
pub fn cost(voxels: usize) -> (usize, usize) {
    (11 * voxels, 2 * voxels)
}

/// The voxels of `class` that survive the erosion.
pub fn erode(classes: ArrayView3<u8>, class: u8) -> Array3<u8> {
    let classes = classes.as_standard_layout();
    let mut kept = Array3::zeros(classes.dim());
    kept.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(z, mut plane)| {
        let mut column = vec![0; classes.dim().2];
        for (y, mut row) in plane.rows_mut().into_iter().enumerate() {
            all_of_class_across(classes.view(), class, z, y, &mut column);
            let row = row.as_slice_mut().expect("rows are contiguous");
            erode_row(&column, row);
        }
    });
    kept
}

/// 1 for every x where all rows around (z, y) have the class.
fn all_of_class_across(classes: ArrayView3<u8>, class: u8, z: usize, y: usize, all: &mut [u8]) {
    all.fill(1);
    let (depth, height, _) = classes.dim();
    for z in z.saturating_sub(1)..(z + 2).min(depth) {
        let plane = classes.index_axis_move(Axis(0), z);
        for y in y.saturating_sub(1)..(y + 2).min(height) {
            let row = plane.index_axis_move(Axis(0), y);
            let row = row.to_slice().expect("rows are contiguous");
            all.iter_mut().zip(row).for_each(|(all, &found)| *all &= u8::from(found == class));
        }
    }
}

fn erode_row(column: &[u8], row: &mut [u8]) {
    row.copy_from_slice(column);
    let Some(last) = row.len().checked_sub(1) else { return };
    row[1..].iter_mut().zip(&column[..last]).for_each(|(kept, before)| *kept &= before);
    row[..last].iter_mut().zip(&column[1..]).for_each(|(kept, after)| *kept &= after);
}

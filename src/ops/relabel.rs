//! Relabelling by a table: label n becomes `table[n]`.
use ndarray::ArrayViewMut3;

/// Operations and bytes moved for `voxels` voxels: one look-up; a 32-bit value in and out.
pub fn cost(voxels: usize) -> (usize, usize) {
    (voxels, 8 * voxels)
}

/// Replaces every label by its entry in the table; all labels must have one.
pub fn relabel(mut labels: ArrayViewMut3<u32>, table: &[u32]) {
    labels.par_mapv_inplace(|label| table[label as usize]);
}

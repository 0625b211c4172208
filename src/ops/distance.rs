//! Exact squared Euclidean distance to the nearest voxel outside a set, in integers.
//!
//! D(v) = min over u outside of `|v - u|^2`, where the voxels beyond the volume's faces count as outside.
//! Separable: the distance along the row, then one lower envelope of parabolas along y and one along z.
//! Linear in the voxels. Source: Felzenszwalb and Huttenlocher 2012; the authors use `edt.edt(...,
//! black_border=True)`, whose f32 values are the square roots of these.
//!
//! classes `[z, y, x]` u8 -> squared distance `[z, y, x]` u32 in units of [`Metric`], 0 outside.
use ndarray::{Array3, ArrayView1, ArrayView3, ArrayViewMut2, Axis};
use rayon::prelude::*;

use super::envelope::Envelope;
use crate::error::{Error, Result};
use crate::volume::{Shape, Spacing};

/// Squared distances stay below this, so that [`super::basins`] can pack them with a direction in 32 bits.
pub const SQUARED_LIMIT: u64 = 1 << 27;

/// Parts of a squared voxel edge in which anisotropic distances are counted; rounding the ratio of squared
/// edges to such parts errs by at most 0.2 %.
const FINEST_UNIT: u32 = 256;

/// Columns that are gathered and transformed together: one cache line of a row.
const TILE: usize = 16;

/// Squared lengths as integers: exact, so that no result depends on rounding or on an order of summation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Squared length of one step along z, y, x, in parts of a squared smallest voxel edge.
    pub step: [u32; 3],
    /// Parts in a squared smallest voxel edge.
    pub unit: u32,
}

impl Metric {
    /// Lengths in voxels.
    pub const ISOTROPIC: Self = Self { step: [1; 3], unit: 1 };

    /// Lengths in smallest voxel edges for a volume of this shape; without spacing, lengths in voxels.
    ///
    /// Fails where the spacing is not positive or distances in so large a volume would overflow.
    pub fn new(spacing: Option<Spacing>, shape: Shape) -> Result<Self> {
        let edges = spacing.map_or([1.; 3], |Spacing(edges)| edges);
        if !edges.iter().all(|edge| edge.is_finite() && *edge > 0.) {
            return Err(Error::invalid(format!("voxel size {edges:?}: every edge must be greater than 0")));
        }
        let smallest = edges.iter().fold(f64::INFINITY, |least, edge| least.min(*edge));
        let ratios = edges.map(|edge| (edge / smallest).powi(2));
        let finest = if ratios == [1.; 3] { 1 } else { FINEST_UNIT };
        std::iter::successors(Some(finest), |unit| (*unit > 1).then_some(unit / 2))
            .map(|unit| (unit, ratios.map(|ratio| (ratio * f64::from(unit)).round())))
            .find(|(_, steps)| fits(*steps, shape))
            .map(|(unit, steps)| Self { step: steps.map(|step| step as u32), unit })
            .ok_or_else(|| {
                Error::invalid(format!(
                    "volume of {shape:?} voxels of size {edges:?}: its squared distances exceed 32 bits"
                ))
            })
    }

    /// Length in smallest voxel edges.
    pub fn length(&self, squared: u32) -> f64 {
        (f64::from(squared) / f64::from(self.unit)).sqrt()
    }
}

/// Whether both the distances to the outside and those between any two voxels can be represented.
fn fits(steps: [f64; 3], shape: Shape) -> bool {
    let squared = |axis: usize, length: f64| steps[axis] * length * length;
    let inside =
        (0..3).map(|axis| squared(axis, (shape[axis] as f64 + 1.) / 2.)).fold(f64::INFINITY, f64::min);
    let across = (0..3).map(|axis| squared(axis, shape[axis] as f64)).sum::<f64>();
    inside < SQUARED_LIMIT as f64 && across < f64::from(u32::MAX)
}

/// Operations and bytes moved for `voxels` voxels: some ten a voxel and axis; three passes over 32-bit
/// values.
pub fn cost(voxels: usize) -> (usize, usize) {
    (30 * voxels, (1 + 4 + 2 * 8) * voxels)
}

/// The squared distance of every voxel of `class` to the nearest voxel of another.
pub fn squared(classes: ArrayView3<u8>, class: u8, metric: &Metric) -> Array3<u32> {
    let mut squared = Array3::zeros(classes.dim());
    squared.axis_iter_mut(Axis(0)).into_par_iter().zip(classes.axis_iter(Axis(0))).for_each(
        |(mut plane, classes)| {
            for (mut row, classes) in plane.rows_mut().into_iter().zip(classes.rows()) {
                along_row(row.as_slice_mut().expect("rows are contiguous"), classes, class, metric.step[2]);
            }
            along_first_axis(plane, metric.step[1]);
        },
    );
    squared.axis_iter_mut(Axis(1)).into_par_iter().for_each(|plane| along_first_axis(plane, metric.step[0]));
    squared
}

fn along_row(row: &mut [u32], classes: ArrayView1<u8>, class: u8, step: u32) {
    row.iter_mut().zip(classes).for_each(|(squared, &found)| *squared = u32::from(found == class));
    for run in row.chunk_by_mut(|a, b| a == b).filter(|run| run[0] != 0) {
        let length = run.len();
        for (x, squared) in run.iter_mut().enumerate() {
            let away = (x + 1).min(length - x) as u32;
            *squared = step * away * away;
        }
    }
}

/// One envelope along each column of a plane whose rows are contiguous.
fn along_first_axis(mut plane: ArrayViewMut2<u32>, step: u32) {
    let mut envelope = Envelope::new(step);
    let mut columns = Vec::new();
    for mut tile in plane.axis_chunks_iter_mut(Axis(1), TILE) {
        columns.clear();
        columns.extend(tile.columns().into_iter().flatten().copied());
        for column in columns.chunks_exact_mut(tile.nrows()) {
            along_column(column, &mut envelope);
        }
        tile.columns_mut().into_iter().flatten().zip(&columns).for_each(|(squared, &new)| *squared = new);
    }
}

/// Nothing beyond the outside voxel at either end of a run can be nearer than that voxel.
fn along_column(column: &mut [u32], envelope: &mut Envelope) {
    for run in column.chunk_by_mut(|a, b| (*a == 0) == (*b == 0)) {
        if run[0] == 0 {
            continue;
        }
        let end = run.len() as i64;
        envelope.clear();
        envelope.push(-1, 0, 0);
        run.iter().enumerate().for_each(|(x, &height)| envelope.push(x as i64, height, 0));
        envelope.push(end, 0, 0);
        envelope.for_each(0..end, |x, squared, _| run[x] = squared);
    }
}

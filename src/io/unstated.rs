//! Voxel sizes whose unit no one states.
use std::path::Path;

use crate::volume::Spacing;

/// No microscope's voxel is so small in micrometres on all three edges, and those of most are in millimetres.
const MILLIMETRES_BELOW: f64 = 0.01;
/// ... nor on a single one.
const MILLIMETRES_BELOW_ON_ONE: f64 = 0.001;

/// The voxel size (z, y, x) that three numbers without a unit stand for; `None` where one is not positive, and for
/// 1, 1, 1, which programs write that know of no size.
///
/// ITK's convention is millimetres, but pipelines around it write the micrometres of a microscope as they are. So
/// numbers are micrometres, unless all three are below 0.01, or one below 0.001, as 0.0004 is, which no microscope resolves.
pub(super) fn spacing(path: &Path, edges: [f64; 3]) -> Option<Spacing> {
    let Spacing(edges) = Spacing::checked(edges)?;
    if edges == [1.0; 3] {
        return None;
    }
    let small = edges.iter().all(|&edge| edge < MILLIMETRES_BELOW);
    let tiny = edges.iter().any(|&edge| edge < MILLIMETRES_BELOW_ON_ONE);
    let (unit, factor) = match small || tiny {
        true => ("millimetres", 1e3),
        false => ("micrometres", 1.0),
    };
    let spacing = Spacing::checked(edges.map(|edge| edge * factor))?;
    tracing::info!("{}: a voxel size without a unit, taken for {unit}: {spacing}", path.display());
    Some(spacing)
}

//! Training targets from labels (the authors' `process_one_cuboid` and weight maps).
//!
//! Inside each cell, voxels within `membrane_width` of the cell's own border are membrane, the others
//! foreground; label 0 is background. A voxel's weight acts in its own class: background 1, membrane
//! `membrane_importance`, foreground `(M + 1 - D) / M` with `D` the distance to the nearest voxel outside the
//! foreground and `M` the greatest `D` of the volume (the paper's reverse distance transform: larger near the
//! membrane). For `D` the faces of the volume count as outside, as in the authors' code.
use ndarray::{Array3, ArrayView3, Zip};

use crate::cells::{BACKGROUND, FOREGROUND, MEMBRANE};
use crate::ops::distance::{self, Metric};

/// How labels become classes and weights.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Masks {
    /// Voxels of a cell within this distance (in voxels) of its border are membrane. Default 1.5.
    pub membrane_width: f64,
    /// Weight of a membrane voxel. Default 1.
    pub membrane_importance: f32,
    /// Whether the faces of the volume count as borders of the cells that they cut, as in the authors' code
    /// (default). Where they do not, only stained membranes are membrane.
    pub faces_are_borders: bool,
}

impl Default for Masks {
    fn default() -> Self {
        Masks { membrane_width: 1.5, membrane_importance: 1.0, faces_are_borders: true }
    }
}

/// The class of each voxel and its weight in that class; both z, y, x.
pub struct Targets {
    /// [`BACKGROUND`], [`MEMBRANE`] or [`FOREGROUND`].
    pub class: Array3<u8>,
    /// The weight in the intersection of the loss.
    pub weight: Array3<f32>,
}

impl Masks {
    /// The targets of a labelled volume.
    pub fn targets(&self, labels: ArrayView3<u32>) -> Targets {
        let labels = labels.as_standard_layout();
        let class = self.classes(labels.view());
        let squared = distance::squared(class.view(), FOREGROUND, &Metric::ISOTROPIC);
        let greatest = f64::from(*squared.iter().max().unwrap_or(&0)).sqrt();
        let weight = Zip::from(&class).and(&squared).par_map_collect(|&class, &squared| match class {
            FOREGROUND => ((greatest + 1.0 - f64::from(squared).sqrt()) / greatest) as f32,
            MEMBRANE => self.membrane_importance,
            _ => 1.0,
        });
        Targets { class, weight }
    }

    fn classes(&self, labels: ArrayView3<u32>) -> Array3<u8> {
        let ball = self.ball();
        let mut class = Array3::zeros(labels.dim());
        Zip::indexed(&mut class).and(labels).par_for_each(|at, class, &label| {
            let differs = |offset: &[isize; 3]| match neighbour(labels, at, offset) {
                Some(other) => other != label,
                None => self.faces_are_borders,
            };
            *class = match label {
                0 => BACKGROUND,
                _ if ball.iter().any(differs) => MEMBRANE,
                _ => FOREGROUND,
            };
        });
        class
    }

    /// The offsets of all voxels within the membrane's width, nearest first: a voxel has its distance to the border
    /// within it exactly where one of these voxels belongs to another cell.
    fn ball(&self) -> Vec<[isize; 3]> {
        let reach = self.membrane_width.floor() as isize;
        let side = -reach..=reach;
        let squared = |offset: &[isize; 3]| offset.iter().map(|o| o * o).sum::<isize>();
        let within =
            |offset: &[isize; 3]| squared(offset) as f64 <= self.membrane_width * self.membrane_width;
        let mut ball: Vec<_> = side
            .clone()
            .flat_map(|z| side.clone().flat_map(move |y| (-reach..=reach).map(move |x| [z, y, x])))
            .filter(within)
            .collect();
        ball.sort_by_key(squared);
        ball
    }
}

/// The label at `at + offset`; `None` beyond the faces of the volume.
fn neighbour(labels: ArrayView3<u32>, at: (usize, usize, usize), offset: &[isize; 3]) -> Option<u32> {
    let [z, y, x] = offset;
    let at = [at.0.checked_add_signed(*z)?, at.1.checked_add_signed(*y)?, at.2.checked_add_signed(*x)?];
    labels.get(at).copied()
}

//! Training targets from labels (the authors' `process_one_cuboid` and weight maps).
//!
//! Inside each cell, voxels within `membrane_width` of the cell's own border are membrane, the others
//! foreground; label 0 is background. A voxel's weight acts in its own class: background 1, membrane
//! `membrane_importance`, foreground `(M + 1 - D) / M` with `D` the distance to the nearest voxel outside the
//! foreground and `M` the greatest `D` of the volume (the paper's reverse distance transform: larger near the
//! membrane). For `D` the faces of the volume count as outside, as in the authors' code.
//!
//! Voxels that the truth leaves out are [`NOT_COUNTED`], and so are a cell's voxels within `membrane_width` of them: whether
//! a cell ends there, and has a membrane, nobody said. Background stays background. For `D` they are outside the foreground.
use ndarray::{Array3, ArrayView3, Zip};

use crate::cells::{BACKGROUND, FOREGROUND, MEMBRANE};
use crate::ops::distance::{self, Metric};
use crate::ops::loss::NOT_COUNTED;
use crate::volume::Annotation;

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
    /// Numbers in label files whose voxels are left out, as those of -1 are in any case. Default none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<i64>,
}

impl Default for Masks {
    fn default() -> Self {
        Masks { membrane_width: 1.5, membrane_importance: 1.0, faces_are_borders: true, ignore: Vec::new() }
    }
}

/// The class of each voxel and its weight in that class; both z, y, x.
pub struct Targets {
    /// [`BACKGROUND`], [`MEMBRANE`], [`FOREGROUND`] or [`NOT_COUNTED`].
    pub class: Array3<u8>,
    /// The weight in the intersection of the loss.
    pub weight: Array3<f32>,
}

impl Masks {
    /// The targets of a labelled volume.
    pub fn targets(&self, labels: ArrayView3<u32>) -> Targets {
        self.targets_but(labels, None)
    }

    /// The targets of a volume of which some voxels may be left out.
    pub fn annotated_targets(&self, truth: &Annotation) -> Targets {
        self.targets_but(truth.labels.view(), truth.left_out.as_ref().map(|left_out| left_out.view()))
    }

    fn targets_but(&self, labels: ArrayView3<u32>, left_out: Option<ArrayView3<bool>>) -> Targets {
        let labels = labels.as_standard_layout();
        let class = self.classes(labels.view(), left_out);
        let squared = distance::squared(class.view(), FOREGROUND, &Metric::ISOTROPIC);
        let greatest = f64::from(*squared.iter().max().unwrap_or(&0)).sqrt();
        let weight = Zip::from(&class).and(&squared).par_map_collect(|&class, &squared| match class {
            FOREGROUND => ((greatest + 1.0 - f64::from(squared).sqrt()) / greatest) as f32,
            MEMBRANE => self.membrane_importance,
            _ => 1.0,
        });
        Targets { class, weight }
    }

    fn classes(&self, labels: ArrayView3<u32>, left_out: Option<ArrayView3<bool>>) -> Array3<u8> {
        let ball = self.ball();
        let is_left_out = |at, offset: &[isize; 3]| {
            left_out.is_some_and(|left_out| neighbour(left_out, at, offset).unwrap_or_default())
        };
        let mut class = Array3::zeros(labels.dim());
        Zip::indexed(&mut class).and(labels).par_for_each(|at, class, &label| {
            let differs = |offset: &[isize; 3]| match neighbour(labels, at, offset) {
                Some(other) => other != label,
                None => self.faces_are_borders,
            };
            *class = match label {
                _ if is_left_out(at, &[0; 3]) => NOT_COUNTED,
                0 => BACKGROUND,
                _ if left_out.is_some() && ball.iter().any(|offset| is_left_out(at, offset)) => NOT_COUNTED,
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

/// The value at `at + offset`; `None` beyond the faces of the volume.
fn neighbour<T: Copy>(volume: ArrayView3<T>, at: (usize, usize, usize), offset: &[isize; 3]) -> Option<T> {
    let [z, y, x] = offset;
    let at = [at.0.checked_add_signed(*z)?, at.1.checked_add_signed(*y)?, at.2.checked_add_signed(*x)?];
    volume.get(at).copied()
}

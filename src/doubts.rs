//! Reasons to doubt a result, each in one line that says what to try.
use ndarray::ArrayView3;
use rayon::prelude::*;

use crate::cells::{FOREGROUND, MEMBRANE};
use crate::intensity::survey::Survey;

/// Below this skewness most of the tissue is bright, as it is where walls are dark. Membrane stains have more, hazy ones too.
const SKEWED: f64 = -0.15;
/// Membrane voxels for each voxel inside of cells, below which nearly no membrane was found. Cells of 50 voxels' width in
/// walls of two have 0.15.
const LITTLE_MEMBRANE: f64 = 0.03;

/// Whether walls look darker than what is around them, though they are taken to be bright, or the other way round.
pub fn of_walls(survey: &Survey, invert: bool) -> Option<String> {
    let skewness = if invert { -survey.skewness() } else { survey.skewness() };
    let advice = if invert { "try without --invert" } else { "if they are, try --invert" };
    (skewness < SKEWED).then(|| format!("walls look darker than the cells between them: {advice}"))
}

/// Whether the classes have nearly no membrane, though there are cells.
pub fn of_classes(classes: ArrayView3<u8>) -> Option<String> {
    let count = |class: u8| classes.into_par_iter().filter(|&&found| found == class).count();
    let [membrane, inside] = [MEMBRANE, FOREGROUND].map(|class| count(class) as f64);
    (inside > 0.0 && membrane < LITTLE_MEMBRANE * inside).then(|| {
        "nearly no membrane was found between the cells: try another --scale, or --percentiles LOW,HIGH"
            .to_owned()
    })
}

//! Parts of a volume that were never photographed: one grey value, and nothing that could be found there.
use ndarray::{Array3, Zip};

use crate::synth::connected;
use crate::synth::parameters::StainParameters;
use crate::volume::Shape;

/// Sets the grey values of the part that was never photographed.
pub(super) fn blank(stain: &StainParameters, image: &mut Array3<f32>) {
    let Some(padding) = Padding::of(stain, image.dim().into()) else { return };
    let range = ((1_u32 << stain.bits) - 1) as f32;
    let grey = (range * stain.padding_value).round();
    Zip::indexed(image).par_for_each(|at, value| {
        if padding.holds(at.into()) {
            *value = grey;
        }
    });
}

/// The cells of which anything was photographed; one that is cut in pieces becomes several.
pub(in crate::synth) fn visible(
    stain: &StainParameters,
    labels: Array3<u32>,
    min_volume: usize,
) -> Array3<u32> {
    let Some(padding) = Padding::of(stain, labels.dim().into()) else { return labels };
    let mut labels = labels;
    Zip::indexed(&mut labels).par_for_each(|at, label| {
        if padding.holds(at.into()) {
            *label = 0;
        }
    });
    connected::mend(connected::split(labels), min_volume, 0)
}

/// Where nothing was photographed: on one side of a plane.
struct Padding {
    /// Growth of the position along the axis from voxel to voxel.
    steps: [f32; 3],
    /// Position of the first voxel, the volume reaching from -1 to 1.
    start: f32,
    limit: f32,
}

impl Padding {
    fn of(stain: &StainParameters, shape: Shape) -> Option<Self> {
        let length: f32 = stain.padding_axis.iter().map(|x| x.abs()).sum();
        if stain.padding <= 0.0 || length <= 0.0 {
            return None;
        }
        let steps: [f32; 3] =
            std::array::from_fn(|a| 2.0 * stain.padding_axis[a] / (length * shape[a] as f32));
        let start = (0..3).map(|a| steps[a] * 0.5 * (1.0 - shape[a] as f32)).sum();
        Some(Padding { steps, start, limit: 1.0 - 2.0 * stain.padding })
    }

    fn holds(&self, at: Shape) -> bool {
        self.start + (0..3).map(|a| self.steps[a] * at[a] as f32).sum::<f32>() > self.limit
    }
}

//! What of the decoder's grids a part of the result looks at. The halo of a block is there for the encoder; the decoder has to
//! reach only as far beyond the block as the windows of the layers behind it.
use std::ops::Range;

use super::halved;
use crate::volume::{Ranges, Shape};

/// What some voxels of the result, in a volume of `shape`, look at of the outputs of deconv1, deconv2 and deconv3.
pub fn of_decoder(result: &Ranges, shape: Shape) -> [Ranges; 3] {
    let u1 = along_axes(by_window, result, shape);
    let u2 = along_axes(by_doubling, &u1, halved(shape));
    let u3 = along_axes(by_doubling, &u2, halved(halved(shape)));
    [u3, u2, u1]
}

fn along_axes(looked_at: fn(&Range<usize>, usize) -> Range<usize>, output: &Ranges, input: Shape) -> Ranges {
    [0, 1, 2].map(|axis| looked_at(&output[axis], input[axis]))
}

/// What output voxels of a convolution of size 3 look at of an input of `extent` voxels: one more to each side.
pub fn by_window(output: &Range<usize>, extent: usize) -> Range<usize> {
    output.start.saturating_sub(1)..(output.end + 1).min(extent)
}

/// What output voxels of a transposed convolution of size 4, stride 2, look at of an input of `extent` voxels: voxel 2j at j - 1
/// and j, voxel 2j + 1 at j and j + 1. So the first one, o, looks at (o - 1) / 2 rounded down and behind, and the last
/// one, o, at (o + 1) / 2 rounded down and before.
pub fn by_doubling(output: &Range<usize>, extent: usize) -> Range<usize> {
    output.start.saturating_sub(1) / 2..(output.end / 2 + 1).min(extent)
}

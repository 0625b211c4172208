//! What the voxels of a row border on.
use std::ops::Range;

use ndarray::{ArrayView3, s};

/// The sum of `weight` over what lies beyond the outer faces of the voxels `columns` of row `z`, `y`: the class of the
/// neighbour, or none where the volume ends.
pub(super) fn around(
    classes: ArrayView3<u8>,
    [z, y]: [usize; 2],
    columns: Range<usize>,
    weight: impl Fn(Option<u8>) -> i64,
) -> i64 {
    let (depth, height, width) = classes.dim();
    let before = columns.start.checked_sub(1).map(|x| classes[[z, y, x]]);
    let behind = (columns.end < width).then(|| classes[[z, y, columns.end]]);
    let mut sum = weight(before) + weight(behind);
    let rows = [
        z.checked_sub(1).map(|z| [z, y]),
        (z + 1 < depth).then_some([z + 1, y]),
        y.checked_sub(1).map(|y| [z, y]),
        (y + 1 < height).then_some([z, y + 1]),
    ];
    for row in rows {
        sum += match row {
            Some([z, y]) => {
                let row = classes.slice(s![z, y, columns.clone()]);
                row.iter().map(|&class| weight(Some(class))).sum()
            }
            None => columns.len() as i64 * weight(None),
        };
    }
    sum
}

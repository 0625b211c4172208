//! Test-time transposes by transposing weights.
//!
//! net(x transposed) transposed back equals the network with transposed kernels, applied to x: the volume is
//! never transposed.
use super::layout;
use crate::ops::blocks::{coordinates, linear};
use crate::weights::Weights;

/// The four axis orders of the authors' `segment_super_vox_3_channel`.
pub const ORDERS: [[usize; 3]; 4] = [[0, 1, 2], [2, 0, 1], [0, 2, 1], [1, 0, 2]];

/// The weights of a network that sees the volume as `volume.transpose(order)`, and whose result is transposed
/// back.
pub fn transposed(weights: &Weights, order: [usize; 3]) -> Weights {
    let mut turned = weights.clone();
    for (parameter, range) in layout::tensors() {
        if let [_, _, size, _, _] = *parameter.shape {
            let kernels = weights.values[range.clone()].chunks_exact(size.pow(3));
            for (from, to) in kernels.zip(turned.values[range].chunks_exact_mut(size.pow(3))) {
                transpose_kernel(from, to, size, order);
            }
        }
    }
    turned
}

/// Axis a of the transposed volume is axis `order[a]` of the volume, so the kernel's axis a acts along it.
fn transpose_kernel(from: &[f32], to: &mut [f32], size: usize, order: [usize; 3]) {
    for (i, value) in from.iter().enumerate() {
        let mut turned = [0; 3];
        for (axis, position) in order.into_iter().zip(coordinates(i, [size; 3])) {
            turned[axis] = position;
        }
        to[linear(turned, [size; 3])] = *value;
    }
}

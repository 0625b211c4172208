//! conv1 and conv2 in one, against both in f64; their gradients against central differences.
use ndarray::Array3;
use tascan::ops::activations::Activations;
use tascan::ops::first_conv::{self, COUT, FirstConv, MIDDLE};

use super::grids::{assert_grid, at, noise, noisy, poisoned, positions, voxels};
use crate::compare;

/// Worst seen: 8e-6 forward, 1e-5 backward (bound 10 times this).
const TOLERANCE: f64 = 1e-5;
const SHAPE: [usize; 3] = [3, 4, 7];

/// conv1.weight, conv1.bias, conv2.weight, conv2.bias
pub type Parameters = [Vec<f32>; 4];

pub fn parameters() -> Parameters {
    [noise(MIDDLE, 1), noise(MIDDLE, 2), noise(COUT * MIDDLE * 27, 3), noise(COUT, 4)]
}

pub fn conv([weight1, bias1, weight2, bias2]: &Parameters) -> FirstConv<'_> {
    FirstConv { weight1, bias1, weight2, bias2 }
}

fn volume() -> Array3<f32> {
    Array3::from_shape_vec(SHAPE, noise(SHAPE.iter().product(), 5)).unwrap()
}

/// conv2(conv1(x)) at one output element, the padding of conv2 being zero.
pub fn plain(
    [weight1, bias1, weight2, bias2]: &Parameters,
    x: &Array3<f32>,
    place: [isize; 3],
    o: usize,
) -> f64 {
    let mut sum = f64::from(bias2[o]);
    for (k, position) in positions(3).enumerate() {
        let from = [0, 1, 2].map(|axis| (place[axis] + position[axis] as isize - 1) as usize);
        for m in (0..MIDDLE).filter(|_| x.get(from).is_some()) {
            let middle = f64::from(weight1[m]) * f64::from(x[from]) + f64::from(bias1[m]);
            sum += f64::from(weight2[(o * MIDDLE + m) * 27 + k]) * middle;
        }
    }
    sum
}

#[test]
fn forward_equals_both_convolutions() {
    let (parameters, x) = (parameters(), volume());
    let mut y = poisoned(1, SHAPE, COUT);
    conv(&parameters).forward().all(&first_conv::input(&[x.view()]), &mut y);
    assert_grid(&y, |_, place, o| plain(&parameters, &x, place, o), TOLERANCE);
}

/// The loss whose gradient to y is `dy`.
fn loss(parameters: &Parameters, x: &Array3<f32>, dy: &Activations) -> f64 {
    let one = |place, o| plain(parameters, x, place, o) * at(dy, 0, place, o);
    voxels(1, SHAPE).map(|(_, place)| (0..COUT).map(|o| one(place, o)).sum::<f64>()).sum()
}

#[test]
fn gradients_equal_central_differences() {
    let (parameters, x, dy) = (parameters(), volume(), noisy(1, SHAPE, COUT, 6));
    let found = conv(&parameters).backward_weights(&first_conv::input(&[x.view()]), &dy);
    for (tensor, gradient) in [found.weight1, found.bias1, found.weight2].iter().enumerate() {
        // Eight elements, spread over the tensor. The loss is linear in each: the step may be large.
        for i in (0..gradient.len()).step_by(gradient.len().div_ceil(8)) {
            let shifted = |by: f32| {
                let mut shifted = parameters.clone();
                shifted[tensor][i] += by;
                (loss(&shifted, &x, &dy), f64::from(shifted[tensor][i]))
            };
            let (above, below) = (shifted(0.5), shifted(-0.5));
            let expected = (above.0 - below.0) / (above.1 - below.1);
            compare::assert_close_f64(f64::from(gradient[i]), expected, TOLERANCE * 10.0);
        }
    }
}

//! Softmax over the three classes of a voxel, its gradient, and the class of a voxel.
//!
//! `p[c] = exp(x[c] - max x) / sum exp(x - max x)`; `dx[c] = p[c] * (dp[c] - sum p dp)`. The class is the
//! greatest logit, the lower class on a tie (as NumPy's argmax in the authors' `segment_pipe`): so classes do
//! not depend on how `exp` is rounded. Probabilities do, hence an `exp` made of subtractions, products and sums, each rounded: CPU
//! and GPU give the same bits, which no library's `exp` promises.
use super::class_conv::CLASSES;

/// Probabilities of one voxel.
#[inline]
pub fn softmax(logits: [f32; CLASSES]) -> [f32; CLASSES] {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers = logits.map(|x| exp(x - top));
    let sum: f32 = powers.iter().sum();
    powers.map(|power| power / sum)
}

/// Below this `exp` gives 0, so that no power is smaller than the least normal number.
const LEAST: f32 = -86.0;
/// ln 2 in two parts: 9 bits, of which no product with a whole number is rounded, and the rest.
const LN_2: [f32; 2] = [355.0 / 512.0, -2.121_944_4e-4];
/// 1/7!, 1/6!, ... 1/1!, 1/0!
const SERIES: [f32; 8] = [1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];

/// e^x of x <= 0: 2^n e^r, r being at most half of ln 2, by the series of e^r.
#[inline]
fn exp(x: f32) -> f32 {
    let n = (x * std::f32::consts::LOG2_E + 0.5).floor();
    let r = (x - n * LN_2[0]) - n * LN_2[1];
    let sum = SERIES.into_iter().reduce(|sum, next| sum * r + next).unwrap_or_default();
    let power = f32::from_bits((n as i32).wrapping_add(127).wrapping_shl(23) as u32);
    if x < LEAST { 0.0 } else { sum * power }
}

/// Gradient to the logits of one voxel.
#[inline]
pub fn backward(p: [f32; CLASSES], dp: [f32; CLASSES]) -> [f32; CLASSES] {
    let mean: f32 = p.iter().zip(dp).map(|(p, dp)| p * dp).sum();
    std::array::from_fn(|c| p[c] * (dp[c] - mean))
}

/// The most probable class of one voxel: 0 background, 1 membrane, 2 foreground.
#[inline]
pub fn class(logits: [f32; CLASSES]) -> u8 {
    let mut best = 0;
    for c in 1..CLASSES {
        if logits[c] > logits[best] {
            best = c;
        }
    }
    best as u8
}

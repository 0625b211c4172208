//! Softmax over the three classes of a voxel, its gradient, and the class of a voxel.
//!
//! `p[c] = exp(x[c] - max x) / sum exp(x - max x)`; `dx[c] = p[c] * (dp[c] - sum p dp)`. The class is the
//! greatest logit, the lower class on a tie (as NumPy's argmax in the authors' `segment_pipe`): so classes do
//! not depend on how `exp` is rounded.
use super::class_conv::CLASSES;

/// Probabilities of one voxel.
#[inline]
pub fn softmax(logits: [f32; CLASSES]) -> [f32; CLASSES] {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers = logits.map(|x| (x - top).exp());
    let sum: f32 = powers.iter().sum();
    powers.map(|power| power / sum)
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

//! Loops over the channels of a row's voxels: batch norm, forward and backward.
//!
//! The number of channels is a constant inside each loop, so that a voxel is a whole number of registers and
//! sums stay in them along the row. Plain Rust, compiled for each instruction set: the bits are the same on each, since
//! the compiler neither reorders nor fuses floating-point operations. Loops and no closures: a closure would not
//! inherit the instruction set of its function.
use multiversion::multiversion;

/// Most channels that a row may have.
pub const MOST_CHANNELS: usize = 64;

/// Two sums per channel; channels beyond those of the row stay zero.
pub type Sums = [[f32; MOST_CHANNELS]; 2];

/// Runs a loop compiled for the number of channels.
macro_rules! by_channels {
    ($channels:expr, $function:ident ( $($argument:expr),* )) => {
        match $channels {
            3 => $function::<3>($($argument),*),
            32 => $function::<32>($($argument),*),
            64 => $function::<64>($($argument),*),
            channels => panic!("no loop for {channels} channels"),
        }
    };
}

/// `out = relu(scale * y + shift)`; all rows have as many channels as `scale`.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
pub fn relu(y: &[f32], [scale, shift]: [&[f32]; 2], out: &mut [f32]) {
    by_channels!(scale.len(), relu_of(y, fixed(scale), fixed(shift), out))
}

/// `out += relu(scale * y + shift)`
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
pub fn relu_accumulate(y: &[f32], [scale, shift]: [&[f32]; 2], out: &mut [f32]) {
    by_channels!(scale.len(), relu_accumulate_of(y, fixed(scale), fixed(shift), out))
}

/// `y = relu(scale * y + shift)`
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
pub fn relu_in_place(y: &mut [f32], [scale, shift]: [&[f32]; 2]) {
    by_channels!(scale.len(), relu_in_place_of(y, fixed(scale), fixed(shift)))
}

/// `[sum y, sum y^2]`
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
pub fn moments(y: &[f32], channels: usize) -> Sums {
    by_channels!(channels, moments_of(y))
}

/// What the backward pass of a batch norm needs per channel.
#[derive(Clone, Copy)]
pub struct NormRow<'a> {
    /// gamma / sqrt(var + eps)
    pub scale: &'a [f32],
    /// beta - mean * scale
    pub shift: &'a [f32],
    /// Mean of y.
    pub mean: &'a [f32],
    /// 1 / sqrt(var + eps)
    pub inverse: &'a [f32],
}

/// `[sum dz, sum dz * x]` with `dz = da` where the ReLU passed, `x = (y - mean) * inverse`.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
pub fn backward_sums(y: &[f32], da: &[f32], norm: NormRow) -> Sums {
    by_channels!(norm.scale.len(), backward_sums_of(y, da, norm))
}

/// `y = scale * (dz - mean_dz - x * mean_dzx)`
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
pub fn backward_apply(y: &mut [f32], da: &[f32], norm: NormRow, [mean_dz, mean_dzx]: [&[f32]; 2]) {
    by_channels!(norm.scale.len(), backward_apply_of(y, da, norm, fixed(mean_dz), fixed(mean_dzx)))
}

#[inline(always)]
fn fixed<const C: usize>(values: &[f32]) -> &[f32; C] {
    values.try_into().expect("one value per channel")
}

#[inline(always)]
fn relu_of<const C: usize>(y: &[f32], scale: &[f32; C], shift: &[f32; C], out: &mut [f32]) {
    for (y, out) in y.as_chunks::<C>().0.iter().zip(out.as_chunks_mut::<C>().0) {
        for c in 0..C {
            out[c] = (y[c] * scale[c] + shift[c]).max(0.0);
        }
    }
}

#[inline(always)]
fn relu_accumulate_of<const C: usize>(y: &[f32], scale: &[f32; C], shift: &[f32; C], out: &mut [f32]) {
    for (y, out) in y.as_chunks::<C>().0.iter().zip(out.as_chunks_mut::<C>().0) {
        for c in 0..C {
            out[c] += (y[c] * scale[c] + shift[c]).max(0.0);
        }
    }
}

#[inline(always)]
fn relu_in_place_of<const C: usize>(y: &mut [f32], scale: &[f32; C], shift: &[f32; C]) {
    for y in y.as_chunks_mut::<C>().0 {
        for c in 0..C {
            y[c] = (y[c] * scale[c] + shift[c]).max(0.0);
        }
    }
}

#[inline(always)]
fn moments_of<const C: usize>(y: &[f32]) -> Sums {
    let (mut sum, mut square) = ([0.0; C], [0.0; C]);
    for y in y.as_chunks::<C>().0 {
        for c in 0..C {
            sum[c] += y[c];
            square[c] += y[c] * y[c];
        }
    }
    padded(sum, square)
}

#[inline(always)]
fn backward_sums_of<const C: usize>(y: &[f32], da: &[f32], norm: NormRow) -> Sums {
    let (scale, shift) = (fixed::<C>(norm.scale), fixed::<C>(norm.shift));
    let (mean, inverse) = (fixed::<C>(norm.mean), fixed::<C>(norm.inverse));
    let (mut sum, mut sum_x) = ([0.0; C], [0.0; C]);
    for (y, da) in y.as_chunks::<C>().0.iter().zip(da.as_chunks::<C>().0) {
        for c in 0..C {
            let dz = if y[c] * scale[c] + shift[c] > 0.0 { da[c] } else { 0.0 };
            sum[c] += dz;
            sum_x[c] += dz * ((y[c] - mean[c]) * inverse[c]);
        }
    }
    padded(sum, sum_x)
}

#[inline(always)]
fn backward_apply_of<const C: usize>(
    y: &mut [f32],
    da: &[f32],
    norm: NormRow,
    mean_dz: &[f32; C],
    mean_dzx: &[f32; C],
) {
    let (scale, shift) = (fixed::<C>(norm.scale), fixed::<C>(norm.shift));
    let (mean, inverse) = (fixed::<C>(norm.mean), fixed::<C>(norm.inverse));
    for (y, da) in y.as_chunks_mut::<C>().0.iter_mut().zip(da.as_chunks::<C>().0) {
        for c in 0..C {
            let dz = if y[c] * scale[c] + shift[c] > 0.0 { da[c] } else { 0.0 };
            let x = (y[c] - mean[c]) * inverse[c];
            y[c] = scale[c] * (dz - mean_dz[c] - x * mean_dzx[c]);
        }
    }
}

#[inline(always)]
fn padded<const C: usize>(first: [f32; C], second: [f32; C]) -> Sums {
    let mut sums = [[0.0; MOST_CHANNELS]; 2];
    sums[0][..C].copy_from_slice(&first);
    sums[1][..C].copy_from_slice(&second);
    sums
}

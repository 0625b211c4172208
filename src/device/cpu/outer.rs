//! `dw[i][0..cb] += sum over v: a[v * a_step + i] * b[v * b_step + (0..cb)]` along one row of voxels.
//!
//! Register tile: 6 window elements x 64 channels with AVX-512 (24 accumulators), 6 x 16 with AVX2.
use super::simd::{Isa, Lanes, load_all};

/// One row of both operands: `a` is seen through windows, `b` channel by channel.
pub struct Operands<'a> {
    /// Starts at the window of the first voxel.
    pub a: &'a [f32],
    /// Floats from one voxel's window to the next one's.
    pub a_step: usize,
    /// Starts at the first voxel.
    pub b: &'a [f32],
    /// Channels of `b`, and floats from one voxel to the next: 32 or 64.
    pub b_channels: usize,
    /// Voxels in the row.
    pub count: usize,
}

/// Adds one row's products to `dw`: `[stretch][b_channels]`.
///
/// # Panics
/// Where the slices are too short for what is asked, or `b` has neither 32 nor 64 channels.
pub fn outer(isa: Isa, operands: &Operands, dw: &mut [f32]) {
    let stretch = dw.len() / operands.b_channels;
    if operands.count == 0 {
        return;
    }
    assert_eq!(dw.len(), stretch * operands.b_channels, "gradient of whole channels");
    assert!((operands.count - 1) * operands.a_step + stretch <= operands.a.len(), "window outside a");
    assert!(operands.count * operands.b_channels <= operands.b.len(), "row outside b");
    // SAFETY: every access lies within the bounds just checked, and `isa` is one that the machine has.
    unsafe {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => avx512(operands, dw),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => avx2(operands, dw),
            _ => by_channels::<[f32; 16], 1, 1>(operands, dw),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512(operands: &Operands, dw: &mut [f32]) {
    unsafe { by_channels::<std::arch::x86_64::__m512, 2, 4>(operands, dw) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(operands: &Operands, dw: &mut [f32]) {
    unsafe { by_channels::<super::simd::TwoAvx2, 1, 1>(operands, dw) }
}

/// `N32` and `N64` are the registers of `b` per tile where it has 32 and 64 channels.
#[inline(always)]
unsafe fn by_channels<L: Lanes, const N32: usize, const N64: usize>(operands: &Operands, dw: &mut [f32]) {
    unsafe {
        match operands.b_channels {
            32 => tiles::<L, N32>(operands, dw),
            64 => tiles::<L, N64>(operands, dw),
            channels => panic!("no loop for {channels} channels"),
        }
    }
}

#[inline(always)]
unsafe fn tiles<L: Lanes, const NB: usize>(operands: &Operands, dw: &mut [f32]) {
    let channels = operands.b_channels;
    let stretch = dw.len() / channels;
    for channel in (0..channels).step_by(16 * NB) {
        let mut first = 0;
        while first < stretch {
            // SAFETY: checked by `outer`.
            unsafe {
                let a = operands.a.as_ptr().add(first);
                let b = operands.b.as_ptr().add(channel);
                let to = dw.as_mut_ptr().add(first * channels + channel);
                first += match stretch - first {
                    6.. => tile::<L, 6, NB>(operands, a, b, to),
                    4 | 5 => tile::<L, 4, NB>(operands, a, b, to),
                    3 => tile::<L, 3, NB>(operands, a, b, to),
                    2 => tile::<L, 2, NB>(operands, a, b, to),
                    _ => tile::<L, 1, NB>(operands, a, b, to),
                };
            }
        }
    }
}

/// M window elements x 16 NB channels; returns M.
#[inline(always)]
unsafe fn tile<L: Lanes, const M: usize, const NB: usize>(
    operands: &Operands,
    mut a: *const f32,
    mut b: *const f32,
    to: *mut f32,
) -> usize {
    let channels = operands.b_channels;
    unsafe {
        let mut sums = [[L::splat(0.0); NB]; M];
        for (m, sum) in sums.iter_mut().enumerate() {
            *sum = load_all(to.add(m * channels));
        }
        for _ in 0..operands.count {
            let lanes: [L; NB] = load_all(b);
            for (m, sum) in sums.iter_mut().enumerate() {
                let a = L::splat(*a.add(m));
                for n in 0..NB {
                    sum[n] = a.fma(lanes[n], sum[n]);
                }
            }
            a = a.wrapping_add(operands.a_step);
            b = b.wrapping_add(channels);
        }
        for (m, sum) in sums.into_iter().enumerate() {
            for (n, lanes) in sum.into_iter().enumerate() {
                lanes.store(to.add(m * channels + 16 * n));
            }
        }
    }
    M
}

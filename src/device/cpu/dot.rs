//! `out[v][o] = bias[o] + sum over window of v: a[i] * w[o][i]` for three outputs, along one row of voxels.
//!
//! Three channels would leave most lanes of a register idle; here the lanes run over the window, and are
//! added up once at the end. Register tile: 8 voxels x 3 outputs with AVX-512, 2 x 3 with AVX2.
use super::simd::{Isa, Lanes, load_all};

/// Number of outputs: the classes.
pub const OUTPUTS: usize = 3;

/// The windows that one row of output voxels looks at, and their weights.
pub struct Windows<'a> {
    /// The input.
    pub input: &'a [f32],
    /// Where the stretches of the first voxel's window begin in `input`.
    pub starts: &'a [usize],
    /// Floats per stretch, a multiple of 16.
    pub stretch: usize,
    /// `[starts][stretch / 16][OUTPUTS][16]`.
    pub weights: &'a [f32],
    /// Added to every sum.
    pub bias: [f32; OUTPUTS],
}

/// Floats from one voxel's window to the next one's.
pub const STEP: usize = 32;

/// Computes one row; voxel `v` goes to `out[v]`.
///
/// # Panics
/// Where the slices are too short for what is asked.
pub fn dot(isa: Isa, windows: &Windows, out: &mut [[f32; OUTPUTS]]) {
    if out.is_empty() {
        return;
    }
    let last = (out.len() - 1) * STEP + windows.stretch;
    assert!(
        windows.starts.iter().all(|start| start + last <= windows.input.len()),
        "window outside the input"
    );
    assert!(windows.stretch.is_multiple_of(16), "stretch of whole registers");
    assert_eq!(windows.weights.len(), OUTPUTS * windows.starts.len() * windows.stretch, "packed weights");
    // SAFETY: every access lies within the bounds just checked, and `isa` is one that the machine has.
    unsafe {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => avx512(windows, out),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => avx2(windows, out),
            _ => tiles::<[f32; 16], 2>(windows, out),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512(windows: &Windows, out: &mut [[f32; OUTPUTS]]) {
    unsafe { tiles::<std::arch::x86_64::__m512, 8>(windows, out) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(windows: &Windows, out: &mut [[f32; OUTPUTS]]) {
    unsafe { tiles::<super::simd::TwoAvx2, 2>(windows, out) }
}

#[inline(always)]
unsafe fn tiles<L: Lanes, const M: usize>(windows: &Windows, out: &mut [[f32; OUTPUTS]]) {
    let mut chunks = out.chunks_exact_mut(M);
    let mut input = windows.input.as_ptr();
    // SAFETY: checked by `dot`.
    unsafe {
        for chunk in &mut chunks {
            tile::<L, M>(windows, input, chunk);
            input = input.wrapping_add(M * STEP);
        }
        for voxel in chunks.into_remainder().chunks_exact_mut(1) {
            tile::<L, 1>(windows, input, voxel);
            input = input.wrapping_add(STEP);
        }
    }
}

#[inline(always)]
unsafe fn tile<L: Lanes, const M: usize>(windows: &Windows, input: *const f32, out: &mut [[f32; OUTPUTS]]) {
    unsafe {
        let mut sums = [[L::splat(0.0); OUTPUTS]; M];
        let mut weights = windows.weights.as_ptr();
        for &start in windows.starts {
            let window = input.add(start);
            for i in (0..windows.stretch).step_by(16) {
                let w: [L; OUTPUTS] = load_all(weights);
                for (m, sum) in sums.iter_mut().enumerate() {
                    let a = L::load(window.add(m * STEP + i));
                    for o in 0..OUTPUTS {
                        sum[o] = a.fma(w[o], sum[o]);
                    }
                }
                weights = weights.add(16 * OUTPUTS);
            }
        }
        for (voxel, sum) in out.iter_mut().zip(sums) {
            *voxel = std::array::from_fn(|o| windows.bias[o] + sum[o].sum());
        }
    }
}

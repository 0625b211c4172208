//! `out[v][0..cout] = bias + sum over window of v: a[i] * w[i][0..cout]` along one row of voxels.
//!
//! Register tile: up to 12 voxels x 32 channels with AVX-512 (24 accumulators, 2 weights, 1 broadcast), up to
//! 6 voxels x 16 channels with AVX2. A step loads the weights once for the whole tile and costs one
//! broadcast per voxel, so the multiply-adds are the only bound. Weights stream from the second-level cache.
use std::marker::PhantomData;

use super::simd::{Isa, Lanes, load_all};

/// Output channels are packed in blocks of this many.
pub const BLOCK: usize = 32;

/// Most output channels.
pub const MOST_CHANNELS: usize = 64;

/// The windows that one row of output voxels looks at, and their weights.
pub struct Windows<'a> {
    /// The input.
    pub input: &'a [f32],
    /// Where the stretches of the first voxel's window begin in `input`.
    pub starts: &'a [usize],
    /// Floats per stretch.
    pub stretch: usize,
    /// Floats from one output voxel's window to the next one's; 2, 3, 32, 64 and 128 are fastest.
    pub step: usize,
    /// `[cout / 32][starts][stretch][32]`.
    pub weights: &'a [f32],
    /// `[cout]`
    pub bias: &'a [f32],
}

/// Where the results of one row go: voxel `v` to `data[v * step..][..cout]`.
pub struct Row<'a> {
    /// The output.
    pub data: &'a mut [f32],
    /// Floats from one output voxel to the next.
    pub step: usize,
    /// Output voxels.
    pub count: usize,
}

/// Computes one row.
///
/// # Panics
/// Where the slices are too short for what is asked.
pub fn gather(isa: Isa, windows: &Windows, out: Row) {
    let cout = windows.bias.len();
    if out.count == 0 {
        return;
    }
    let last = (out.count - 1) * windows.step + windows.stretch;
    assert!(
        windows.starts.iter().all(|start| start + last <= windows.input.len()),
        "window outside the input"
    );
    assert!(cout.is_multiple_of(BLOCK), "{cout} channels are no multiple of {BLOCK}");
    assert_eq!(windows.weights.len(), cout * windows.starts.len() * windows.stretch, "packed weights");
    assert!((out.count - 1) * out.step + cout <= out.data.len(), "row outside the output");
    // SAFETY: every access lies within the bounds just checked, and `isa` is one that the machine has.
    unsafe {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => avx512(windows, out),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => avx2(windows, out),
            _ => tiles::<Narrow<[f32; 16]>>(windows, out),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512(windows: &Windows, out: Row) {
    unsafe { by_step::<std::arch::x86_64::__m512>(windows, out) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(windows: &Windows, out: Row) {
    unsafe { tiles::<Narrow<super::simd::TwoAvx2>>(windows, out) }
}

/// A step that is known at run time only.
const ANY: usize = 0;

/// With the step a constant, the addresses of a tile's twelve voxels are displacements, not registers.
#[inline(always)]
unsafe fn by_step<L: Lanes>(windows: &Windows, out: Row) {
    unsafe {
        match windows.step {
            2 => tiles::<Wide<L, 2>>(windows, out),
            3 => tiles::<Wide<L, 3>>(windows, out),
            32 => tiles::<Wide<L, 32>>(windows, out),
            64 => tiles::<Wide<L, 64>>(windows, out),
            128 => tiles::<Wide<L, 128>>(windows, out),
            _ => tiles::<Wide<L, ANY>>(windows, out),
        }
    }
}

/// Splits the row into tiles of nearly equal length: a short last tile would waste registers.
#[inline(always)]
unsafe fn tiles<K: Kernel>(windows: &Windows, out: Row) {
    let count = out.count.div_ceil(K::LONGEST);
    let block_len = windows.starts.len() * windows.stretch * BLOCK;
    for (block, weights) in windows.weights.chunks_exact(block_len).enumerate() {
        for lane_start in (0..BLOCK).step_by(K::CHANNELS) {
            let channel = block * BLOCK + lane_start;
            let mut first = 0;
            for tile in 0..count {
                let len = (out.count - first).div_ceil(count - tile);
                // SAFETY: checked by `gather`.
                unsafe {
                    let to = Tile {
                        windows,
                        input: windows.input.as_ptr().add(first * windows.step),
                        weights: weights.as_ptr().add(lane_start),
                        bias: windows.bias.as_ptr().add(channel),
                        out: out.data.as_ptr().cast_mut().add(first * out.step + channel),
                        out_step: out.step,
                    };
                    K::run(len, to);
                }
                first += len;
            }
        }
    }
}

/// How an instruction set cuts a row into tiles.
trait Kernel {
    /// Most voxels in a tile.
    const LONGEST: usize;
    /// Channels of a tile.
    const CHANNELS: usize;
    /// Computes a tile of `len` voxels.
    unsafe fn run(len: usize, to: Tile);
}

/// Up to 6 voxels x 16 channels: for 16 registers.
struct Narrow<L>(PhantomData<L>);

/// Up to 12 voxels x 32 channels: for 32 registers.
struct Wide<L, const STEP: usize>(PhantomData<L>);

struct Tile<'a> {
    windows: &'a Windows<'a>,
    input: *const f32,
    weights: *const f32,
    bias: *const f32,
    out: *mut f32,
    out_step: usize,
}

impl<L: Lanes> Kernel for Narrow<L> {
    const LONGEST: usize = 6;
    const CHANNELS: usize = 16;

    #[inline(always)]
    unsafe fn run(len: usize, to: Tile) {
        unsafe {
            match len {
                1 => tile::<L, 1, 1, ANY>(to),
                2 => tile::<L, 2, 1, ANY>(to),
                3 => tile::<L, 3, 1, ANY>(to),
                4 => tile::<L, 4, 1, ANY>(to),
                5 => tile::<L, 5, 1, ANY>(to),
                _ => tile::<L, 6, 1, ANY>(to),
            }
        }
    }
}

impl<L: Lanes, const STEP: usize> Kernel for Wide<L, STEP> {
    const LONGEST: usize = 12;
    const CHANNELS: usize = 32;

    #[inline(always)]
    unsafe fn run(len: usize, to: Tile) {
        unsafe {
            match len {
                1 => tile::<L, 1, 2, STEP>(to),
                2 => tile::<L, 2, 2, STEP>(to),
                3 => tile::<L, 3, 2, STEP>(to),
                4 => tile::<L, 4, 2, STEP>(to),
                5 => tile::<L, 5, 2, STEP>(to),
                6 => tile::<L, 6, 2, STEP>(to),
                7 => tile::<L, 7, 2, STEP>(to),
                8 => tile::<L, 8, 2, STEP>(to),
                9 => tile::<L, 9, 2, STEP>(to),
                10 => tile::<L, 10, 2, STEP>(to),
                11 => tile::<L, 11, 2, STEP>(to),
                _ => tile::<L, 12, 2, STEP>(to),
            }
        }
    }
}

/// M voxels x 16 NB channels.
#[inline(always)]
unsafe fn tile<L: Lanes, const M: usize, const NB: usize, const STEP: usize>(to: Tile) {
    unsafe {
        let step = if STEP == ANY { to.windows.step } else { STEP };
        let bias: [L; NB] = load_all(to.bias);
        let mut sums = [bias; M];
        let mut weights = to.weights;
        for &start in to.windows.starts {
            let window = to.input.add(start);
            for i in 0..to.windows.stretch {
                let w: [L; NB] = load_all(weights);
                for (m, sum) in sums.iter_mut().enumerate() {
                    let a = L::splat(*window.add(m * step + i));
                    for n in 0..NB {
                        sum[n] = a.fma(w[n], sum[n]);
                    }
                }
                weights = weights.add(BLOCK);
            }
        }
        for (m, sum) in sums.into_iter().enumerate() {
            for (n, lanes) in sum.into_iter().enumerate() {
                lanes.store(to.out.add(m * to.out_step + 16 * n));
            }
        }
    }
}

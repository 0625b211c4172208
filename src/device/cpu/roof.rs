//! What this machine can do at most, measured: fused multiply-adds in registers, and copying beyond all caches.
//! On all threads that the operations use, with the widest vectors that they may choose.
use std::hint::black_box;
use std::time::Instant;

use rayon::prelude::*;

/// Independent chains of multiply-adds: enough to hide a latency of 4 cycles behind two units, few enough for
/// the 16 vector registers of AVX2.
const CHAINS: usize = 12;
const ROUNDS: usize = 10_000_000;
const COPIED: usize = 256 << 20;
const REPETITIONS: usize = 12;

/// The two roofs of the roofline model.
#[derive(Clone, Copy)]
pub struct Roof {
    /// f32 operations a second; a multiply-add counts as two.
    pub flops: f64,
    /// Bytes read and written a second.
    pub bytes: f64,
}

impl Roof {
    /// Measures both, the best of some repetitions: noise only ever slows down.
    pub fn measure() -> Self {
        Roof { flops: best(multiply_adds), bytes: best(copies) }
    }

    /// The least time in seconds that this machine needs for so many operations and bytes.
    pub fn seconds(&self, operations: f64, bytes: f64) -> f64 {
        (operations / self.flops).max(bytes / self.bytes)
    }
}

fn best(mut rate: impl FnMut() -> f64) -> f64 {
    (0..REPETITIONS).map(|_| rate()).fold(0.0, f64::max)
}

/// Operations a second of one go.
fn multiply_adds() -> f64 {
    let start = Instant::now();
    let done: Vec<f64> = rayon::broadcast(|_| chains(ROUNDS));
    done.iter().sum::<f64>() / start.elapsed().as_secs_f64()
}

/// Runs the chains on this thread and says how many operations that were.
fn chains(rounds: usize) -> f64 {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has AVX-512.
            black_box(unsafe { x86::chains_avx512(rounds) });
            return (2 * 16 * CHAINS * rounds) as f64;
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has AVX2 and FMA.
            black_box(unsafe { x86::chains_avx2(rounds) });
            return (2 * 8 * CHAINS * rounds) as f64;
        }
    }
    let mut sums = [[0.0_f32; 4]; CHAINS];
    let [x, y] = [black_box(0.999_f32), black_box(0.001)];
    for _ in 0..rounds {
        sums.iter_mut().flatten().for_each(|sum| *sum = *sum * x + y);
    }
    black_box(sums);
    (2 * 4 * CHAINS * rounds) as f64
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{_mm256_fmadd_ps, _mm256_set1_ps, _mm512_fmadd_ps, _mm512_set1_ps};
    use std::hint::black_box;

    use super::CHAINS;

    macro_rules! chains {
        ($name:ident, $features:literal, $set:ident, $multiply_add:ident, $width:literal) => {
            #[target_feature(enable = $features)]
            pub fn $name(rounds: usize) -> [[f32; $width]; CHAINS] {
                let [x, y] = [$set(black_box(0.999)), $set(black_box(0.001))];
                let mut sums = [y; CHAINS];
                for _ in 0..rounds {
                    sums.iter_mut().for_each(|sum| *sum = $multiply_add(*sum, x, y));
                }
                // SAFETY: both are $width floats a chain, without padding.
                unsafe { std::mem::transmute(sums) }
            }
        };
    }

    chains!(chains_avx512, "avx512f", _mm512_set1_ps, _mm512_fmadd_ps, 16);
    chains!(chains_avx2, "avx2,fma", _mm256_set1_ps, _mm256_fmadd_ps, 8);
}

/// Bytes read and written a second of one go.
fn copies() -> f64 {
    let source = vec![1_u8; COPIED];
    // Written, so that its pages exist.
    let mut target = vec![2_u8; COPIED];
    let part = COPIED / rayon::current_num_threads();
    let start = Instant::now();
    target.par_chunks_mut(part).zip(source.par_chunks(part)).for_each(|(to, from)| to.copy_from_slice(from));
    let seconds = start.elapsed().as_secs_f64();
    black_box(target);
    2.0 * COPIED as f64 / seconds
}

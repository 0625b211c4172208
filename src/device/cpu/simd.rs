//! Sixteen f32 lanes on every machine: one AVX-512 register, two AVX2 registers, or an array.
//!
//! The three give the same bits, because each operation is the same IEEE operation in each lane.
use std::sync::LazyLock;

/// The instruction sets that the CPU loops are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// x86-64 with AVX-512F.
    Avx512,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// Whatever the compiler makes of plain Rust.
    Portable,
}

impl Isa {
    /// The best one that this machine has; looked up once.
    pub fn detect() -> Isa {
        static BEST: LazyLock<Isa> = LazyLock::new(|| *Isa::available().first().expect("never empty"));
        *BEST
    }

    /// All that this machine can run, best first.
    pub fn available() -> Vec<Isa> {
        let mut found = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                found.push(Isa::Avx512);
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                found.push(Isa::Avx2);
            }
        }
        found.push(Isa::Portable);
        found
    }
}

/// Sixteen f32 lanes.
///
/// # Safety
/// Callers of the unsafe functions guarantee that the machine has the instruction set, and that pointers
/// are valid for 16 floats.
pub(super) trait Lanes: Copy {
    unsafe fn splat(value: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    /// `self * b + c`, rounded once.
    unsafe fn fma(self, b: Self, c: Self) -> Self;

    /// The sum of all lanes, in halves: lane i + lane i+8, then +4, +2, +1.
    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        let mut lanes = [0.0f32; 16];
        unsafe { self.store(lanes.as_mut_ptr()) };
        let mut width = 8;
        while width > 0 {
            for i in 0..width {
                lanes[i] += lanes[i + width];
            }
            width /= 2;
        }
        lanes[0]
    }
}

/// N registers from consecutive memory. A loop and no closure: a closure would not inherit the caller's
/// instruction set.
///
/// # Safety
/// As [`Lanes::load`], for 16 N floats.
#[inline(always)]
pub(super) unsafe fn load_all<L: Lanes, const N: usize>(from: *const f32) -> [L; N] {
    unsafe {
        let mut all = [L::splat(0.0); N];
        for (n, lanes) in all.iter_mut().enumerate() {
            *lanes = L::load(from.add(16 * n));
        }
        all
    }
}

impl Lanes for [f32; 16] {
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        [value; 16]
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        unsafe { from.cast::<[f32; 16]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { to.cast::<[f32; 16]>().write_unaligned(self) }
    }
    #[inline(always)]
    unsafe fn fma(self, b: Self, c: Self) -> Self {
        std::array::from_fn(|i| self[i].mul_add(b[i], c[i]))
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::Lanes;

    impl Lanes for __m512 {
        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            unsafe { _mm512_set1_ps(value) }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            unsafe { _mm512_loadu_ps(from) }
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            unsafe { _mm512_storeu_ps(to, self) }
        }
        #[inline(always)]
        unsafe fn fma(self, b: Self, c: Self) -> Self {
            unsafe { _mm512_fmadd_ps(self, b, c) }
        }
    }

    /// Lanes 0 to 7 and 8 to 15.
    #[derive(Clone, Copy)]
    pub struct TwoAvx2(__m256, __m256);

    impl Lanes for TwoAvx2 {
        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            let both = unsafe { _mm256_set1_ps(value) };
            TwoAvx2(both, both)
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            unsafe { TwoAvx2(_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))) }
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            unsafe {
                _mm256_storeu_ps(to, self.0);
                _mm256_storeu_ps(to.add(8), self.1);
            }
        }
        #[inline(always)]
        unsafe fn fma(self, b: Self, c: Self) -> Self {
            unsafe { TwoAvx2(_mm256_fmadd_ps(self.0, b.0, c.0), _mm256_fmadd_ps(self.1, b.1, c.1)) }
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::TwoAvx2;

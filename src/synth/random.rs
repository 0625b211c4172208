//! Random numbers that are the same on every machine.
//!
//! Each purpose, plane and cell has its own stream of ChaCha8, so that no result depends on the order in which
//! threads run. Exponentials and logarithms come from `libm`: those of the system differ from machine to machine.
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Below this mean, photon counts are drawn one by one; above it the Poisson distribution is near enough normal.
const FEW_PHOTONS: f32 = 16.0;

/// The stream number `stream` of the generator seeded with `seed`.
pub(crate) fn stream(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    rng
}

/// Uniform in [0, 1).
pub(crate) fn unit(rng: &mut impl Rng) -> f32 {
    (rng.next_u32() >> 8) as f32 / 16_777_216.0
}

/// Uniform in [low, high).
pub(crate) fn uniform(rng: &mut impl Rng, low: f32, high: f32) -> f32 {
    low + (high - low) * unit(rng)
}

/// Between `low` and `high`, uniform in the logarithm.
pub(crate) fn log_uniform(rng: &mut impl Rng, low: f32, high: f32) -> f32 {
    libm::expf(uniform(rng, libm::logf(low), libm::logf(high)))
}

/// True with probability `p`.
pub(crate) fn chance(rng: &mut impl Rng, p: f32) -> bool {
    unit(rng) < p
}

/// Nearly standard normal: the sum of eight uniform 16-bit numbers (excess kurtosis -0.15, ends at 4.9 sd).
/// Integers alone, so exact everywhere, and several times faster than a transform.
pub(crate) fn normal(rng: &mut impl Rng) -> f32 {
    const MEAN: f32 = 8.0 * 32_767.5;
    const SD: f32 = 53_509.5; // 65536 sqrt(8 / 12)
    let sum = [rng.next_u64(), rng.next_u64()]
        .iter()
        .flat_map(|&bits| [bits, bits >> 16, bits >> 32, bits >> 48])
        .map(|half| (half & 0xffff) as u32)
        .sum::<u32>();
    (sum as f32 - MEAN) / SD
}

/// exp of a normal number with standard deviation `sd`: mean near 1 for the small `sd` used here.
pub(crate) fn log_normal(rng: &mut impl Rng, sd: f32) -> f32 {
    libm::expf(sd * normal(rng))
}

/// A count with the given mean and as much variance.
pub(crate) fn poisson(rng: &mut impl Rng, mean: f32) -> f32 {
    if mean >= FEW_PHOTONS {
        return (mean + mean.sqrt() * normal(rng)).round().max(0.0);
    }
    let mut term = libm::expf(-mean);
    let mut rest = unit(rng);
    let mut count = 0.0;
    while rest >= term && count < 100.0 {
        rest -= term;
        count += 1.0;
        term *= mean / count;
    }
    count
}

/// A direction, uniform on the sphere.
pub(crate) fn direction(rng: &mut impl Rng) -> [f32; 3] {
    loop {
        let v: [f32; 3] = std::array::from_fn(|_| uniform(rng, -1.0, 1.0));
        let length = dot(v, v).sqrt();
        if (0.1..=1.0).contains(&length) {
            return v.map(|x| x / length);
        }
    }
}

/// A well-mixed number for a wall between two cells (in either order) or for a single cell (twice the same).
pub(crate) fn mix(seed: u64, a: u32, b: u32) -> u64 {
    let pair = (u64::from(a.min(b)) << 32) | u64::from(a.max(b));
    splitmix(splitmix(seed).wrapping_add(pair))
}

/// One normal and one uniform number out of a mixed one.
pub(crate) fn draws(mixed: u64) -> (f32, f32) {
    let mut rng = Mixed(mixed);
    (normal(&mut rng), unit(&mut rng))
}

/// The scalar product.
pub(crate) fn dot(a: [f32; 3], b: [f32; 3]) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn splitmix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// SplitMix64: seeding a ChaCha8 for each of a million wall voxels would take most of the time.
struct Mixed(u64);

impl rand::TryRng for Mixed {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok((self.try_next_u64()? >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        Ok(splitmix(self.0))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.try_next_u64()?.to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

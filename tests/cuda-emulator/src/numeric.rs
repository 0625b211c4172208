//! Formats narrower than a double, and rounding (PTX ISA, section 5.2.3; IEEE 754 for the arithmetic).
//!
//! Every narrowing goes through one function, `narrow`, from a double. A result that no double holds exactly is
//! first rounded to odd, which the second rounding cannot spoil as long as the double has two more bits than the
//! target (Boldo and Melquiond, 2008). That covers sums and fused multiply-adds of all the narrower formats.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Round {
    /// `.rn`: nearest, ties to even.
    Nearest,
    /// `.rna`: nearest, ties away from zero.
    Away,
    Zero,
    Down,
    Up,
}

/// A binary format: exponent bits and stored fraction bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    exponent: u32,
    fraction: u32,
}

pub const F16: Format = Format { exponent: 5, fraction: 10 };
pub const BF16: Format = Format { exponent: 8, fraction: 7 };
/// The fraction of tf32; `narrow_tf32` puts it where a single has its own.
pub const TF32: Format = Format { exponent: 8, fraction: 10 };
pub const F32: Format = Format { exponent: 8, fraction: 23 };

/// The bits of `x` in `format`.
pub fn narrow(x: f64, format: Format, round: Round) -> u32 {
    let sign = u32::from(x.is_sign_negative()) << (format.exponent + format.fraction);
    let infinity = ((1u32 << format.exponent) - 1) << format.fraction;
    if x.is_nan() {
        // The canonical NaN of the narrow formats is 0x7fff, of the single 0x7fffffff (section 5.2.3).
        return (1u32 << (format.exponent + format.fraction)) - 1;
    }
    if x.is_infinite() {
        return sign | infinity;
    }
    if x == 0.0 {
        return sign;
    }
    let bits = x.to_bits();
    let exponent = ((bits >> 52) & 0x7ff) as i32 - 1023;
    let mantissa = (bits & ((1 << 52) - 1)) | (1 << 52);
    let bias = (1 << (format.exponent - 1)) - 1;
    // Below the least normal exponent fewer bits remain.
    let lost = (52 - format.fraction as i32) + (1 - bias - exponent).max(0);
    let (kept, rest, half) = if lost > 63 {
        (0, mantissa, u64::MAX)
    } else {
        (mantissa >> lost, mantissa & ((1 << lost) - 1), 1 << (lost - 1))
    };
    let negative = x.is_sign_negative();
    let up = match round {
        Round::Nearest => rest > half || (rest == half && kept & 1 == 1),
        Round::Away => rest >= half,
        Round::Zero => false,
        Round::Down => negative && rest != 0,
        Round::Up => !negative && rest != 0,
    };
    let rounded = kept + u64::from(up);
    // A carry out of the fraction lands in the exponent, where it belongs.
    let base = ((exponent + bias).max(1) as u64 - 1) << format.fraction;
    let magnitude = base + rounded;
    if magnitude >= u64::from(infinity) {
        let to_infinity = match round {
            Round::Nearest | Round::Away => true,
            Round::Zero => false,
            Round::Down => negative,
            Round::Up => !negative,
        };
        return sign | if to_infinity { infinity } else { infinity - 1 };
    }
    sign | magnitude as u32
}

pub fn narrow_f32(x: f64, round: Round) -> f32 {
    f32::from_bits(narrow(x, F32, round))
}

/// A single whose lower 13 fraction bits are zero.
pub fn narrow_tf32(x: f32, round: Round) -> u32 {
    narrow(f64::from(x), TF32, round) << 13
}

/// The half's value; free of branches, so that loops over it vectorise.
#[inline(always)]
pub fn half_to_f32(bits: u16) -> f32 {
    let magnitude = u32::from(bits & 0x7fff) << 13;
    // Moves the exponent's bias from 15 to 127, subnormals included.
    let scaled = f32::from_bits(magnitude) * f32::from_bits((254 - 15) << 23);
    let special = if magnitude >= 0x7c00 << 13 { 0xff << 23 } else { 0 };
    f32::from_bits(scaled.to_bits() | special | (u32::from(bits & 0x8000) << 16))
}

#[inline(always)]
pub fn bf16_to_f32(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// a + b with the inexact result rounded to odd.
pub fn add_odd(a: f64, b: f64) -> f64 {
    let sum = a + b;
    if !sum.is_finite() {
        return sum;
    }
    // Knuth's exact error of the sum.
    let b_part = sum - a;
    let error = (a - (sum - b_part)) + (b - b_part);
    if error == 0.0 || sum.to_bits() & 1 == 1 {
        return sum;
    }
    // Of the two neighbours around the exact value one is odd: the one on the error's side.
    let away = (error > 0.0) == (sum > 0.0);
    f64::from_bits(if away { sum.to_bits() + 1 } else { sum.to_bits() - 1 })
}

/// a * b + c for factors whose product a double holds exactly (up to 26 bits each).
pub fn fma_odd(a: f64, b: f64, c: f64) -> f64 {
    add_odd(a * b, c)
}

/// `.ftz`: subnormals become zero of the same sign.
#[inline(always)]
pub fn flush(x: f32) -> f32 {
    if x.abs() < f32::MIN_POSITIVE { f32::from_bits(x.to_bits() & 0x8000_0000) } else { x }
}

/// `.sat`: into [0, 1], NaN to 0.
#[inline(always)]
pub fn saturate(x: f32) -> f32 {
    if x > 0.0 { x.min(1.0) } else { 0.0 }
}

//! Conversions and arithmetic of halves, against every value where there are few.

use crate::harness::{Buffer, kernel, launch, line, map3, words};

/// The half's value from its definition: sign, exponent of bias 15, ten bits of fraction.
fn half(bits: u16) -> f64 {
    let (sign, exponent, fraction) = (bits >> 15, bits >> 10 & 31, f64::from(bits & 1023));
    let magnitude = match exponent {
        31 if bits & 1023 == 0 => f64::INFINITY,
        31 => f64::NAN,
        0 => fraction * 2f64.powi(-24),
        e => (1024.0 + fraction) * 2f64.powi(i32::from(e) - 25),
    };
    if sign == 1 { -magnitude } else { magnitude }
}

fn bfloat(bits: u16) -> f64 {
    f64::from(f32::from_bits(u32::from(bits) << 16))
}

/// The value's nearest neighbour in a format of 16 bits, ties to the even pattern, by search among all.
struct Nearest {
    /// Finite values in ascending order with their patterns.
    sorted: Vec<(f64, u16)>,
    infinity: u16,
}

impl Nearest {
    fn new(value: fn(u16) -> f64, infinity: u16) -> Self {
        let mut sorted: Vec<_> =
            (0..=u16::MAX).map(|b| (value(b), b)).filter(|(v, _)| v.is_finite()).collect();
        sorted.retain(|(_, bits)| *bits != 0x8000);
        sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
        Nearest { sorted, infinity }
    }

    fn of(&self, x: f64) -> u16 {
        let (largest, _) = self.sorted[self.sorted.len() - 1];
        let (second, _) = self.sorted[self.sorted.len() - 2];
        let sign = if x < 0.0 { 0x8000 } else { 0 };
        if x.abs() >= largest + (largest - second) / 2.0 {
            return self.infinity | sign;
        }
        let above = self.sorted.partition_point(|(value, _)| *value < x).min(self.sorted.len() - 1);
        let below = above.saturating_sub(1);
        let ((low, low_bits), (high, high_bits)) = (self.sorted[below], self.sorted[above]);
        let bits = match (x - low).total_cmp(&(high - x)) {
            _ if x <= low => low_bits,
            std::cmp::Ordering::Less => low_bits,
            std::cmp::Ordering::Greater => high_bits,
            std::cmp::Ordering::Equal if low_bits & 1 == 0 => low_bits,
            std::cmp::Ordering::Equal => high_bits,
        };
        if bits == 0 { sign } else { bits }
    }
}

/// Runs `op` from %h0, %h1, %h2 (and their pairs %r0, %r1, %r2) to %r9 on lists of halves.
fn on_halves(op: &str, a: &[u16], b: &[u16], c: &[u16]) -> Vec<u32> {
    let widen = |values: &[u16]| values.iter().map(|v| u32::from(*v)).collect::<Vec<_>>();
    let op = format!("cvt.u16.u32 %h0, %r0; cvt.u16.u32 %h1, %r1; cvt.u16.u32 %h2, %r2; {op}");
    let chunks = a.chunks(1024).zip(b.chunks(1024)).zip(c.chunks(1024));
    chunks.flat_map(|((a, b), c)| map3(&op, &widen(a), &widen(b), &widen(c))).collect()
}

#[test]
fn every_half_widens() {
    let all: Vec<u16> = (0..=u16::MAX).collect();
    for (bits, found) in
        all.iter().zip(on_halves("cvt.f32.f16 %f9, %h0; mov.b32 %r9, %f9;", &all, &all, &all))
    {
        let (found, want) = (f32::from_bits(found), half(*bits));
        assert!(f64::from(found) == want || (found.is_nan() && want.is_nan()), "{bits:#x}: {found}");
    }
}

#[test]
fn singles_narrow_to_the_nearest() {
    let values: Vec<u32> =
        words(3, 1024).into_iter().map(|w| w & 0x8fff_ffff | 0x3800_0000 & !(w << 3)).collect();
    let plain: Vec<u32> = values.iter().copied().filter(|bits| f32::from_bits(*bits).is_finite()).collect();
    let (halves, bfloats) = (Nearest::new(half, 0x7c00), Nearest::new(bfloat, 0x7f80));
    let f16 = map3("cvt.rn.f16.f32 %h9, %f0; cvt.u32.u16 %r9, %h9;", &plain, &plain, &plain);
    let bf16 = map3("cvt.rn.bf16.f32 %h9, %f0; cvt.u32.u16 %r9, %h9;", &plain, &plain, &plain);
    for n in 0..plain.len() {
        let x = f64::from(f32::from_bits(plain[n]));
        assert_eq!(f16[n], u32::from(halves.of(x)), "f16 of {x:e}");
        assert_eq!(bf16[n], u32::from(bfloats.of(x)), "bf16 of {x:e}");
    }
}

#[test]
fn arithmetic_of_halves_rounds_once() {
    let pick = |seed: u32| words(seed, 1024).into_iter().map(|w| (w >> 7) as u16).collect::<Vec<u16>>();
    let finite =
        |v: Vec<u16>| v.into_iter().map(|b| if b & 0x7c00 == 0x7c00 { b & 0xbfff } else { b }).collect();
    let (a, b, c): (Vec<u16>, Vec<u16>, Vec<u16>) = (finite(pick(1)), finite(pick(2)), finite(pick(3)));
    let nearest = Nearest::new(half, 0x7c00);
    let sums = on_halves("add.f16 %h9, %h0, %h1; cvt.u32.u16 %r9, %h9;", &a, &b, &c);
    let products = on_halves("mul.f16 %h9, %h0, %h1; cvt.u32.u16 %r9, %h9;", &a, &b, &c);
    let fused = on_halves("fma.rn.f16 %h9, %h0, %h1, %h2; cvt.u32.u16 %r9, %h9;", &a, &b, &c);
    for n in 0..a.len() {
        let (x, y, z) = (half(a[n]), half(b[n]), half(c[n]));
        let check = |found: u32, exact: f64| {
            let want = nearest.of(exact);
            assert!(
                found == u32::from(want) || exact == 0.0 && found & 0x7fff == 0,
                "{found:#x} not {want:#x}"
            );
        };
        check(sums[n], x + y);
        check(products[n], x * y);
        // Halves span 40 binary orders: products of 22 bits and a third summand fit a double.
        check(fused[n], x * y + z);
    }
}

#[test]
fn pairs_of_halves() {
    let [one, two, three] = [0x3c00u32, 0x4000, 0x4200];
    let pair = |low: u32, high: u32| high << 16 | low;
    let (a, b) = ([pair(one, two)], [pair(two, one)]);
    assert_eq!(map3("add.f16x2 %r9, %r0, %r1;", &a, &b, &a), [pair(three, three)]);
    assert_eq!(map3("fma.rn.f16x2 %r9, %r0, %r1, %r2;", &a, &b, &[pair(one, 0)]), [pair(three, two)]);
    assert_eq!(map3("max.f16x2 %r9, %r0, %r1;", &a, &b, &a), [pair(two, two)]);
    assert_eq!(map3("neg.f16x2 %r9, %r0;", &a, &b, &a), [pair(one | 0x8000, two | 0x8000)]);
    let (one, two) = (0x3f80u32, 0x4000);
    assert_eq!(
        map3("fma.rn.bf16x2 %r9, %r0, %r0, %r1;", &[pair(one, one)], &[pair(one, 0)], &a),
        [pair(two, one)]
    );
    let floats = [1f32.to_bits(), 2f32.to_bits()];
    let packed = map3("cvt.rn.f16x2.f32 %r9, %f0, %f1;", &floats[..1], &floats[1..], &floats[..1]);
    assert_eq!(packed, [pair(0x4000, 0x3c00)]);
}

#[test]
fn integers_and_floats() {
    let x = [2.5f32, -2.5, 3.5, 1e20, -1e20, f32::NAN, -0.5, 0.5].map(f32::to_bits);
    let as_signed = |op: &str| map3(op, &x, &x, &x).into_iter().map(|v| v as i32).collect::<Vec<_>>();
    let ends = [i32::MAX, i32::MIN, 0];
    assert_eq!(as_signed("cvt.rzi.s32.f32 %r9, %f0;"), [2, -2, 3, ends[0], ends[1], ends[2], 0, 0]);
    assert_eq!(as_signed("cvt.rni.s32.f32 %r9, %f0;"), [2, -2, 4, ends[0], ends[1], ends[2], 0, 0]);
    assert_eq!(as_signed("cvt.rpi.s32.f32 %r9, %f0;"), [3, -2, 4, ends[0], ends[1], ends[2], 0, 1]);
    assert_eq!(map3("cvt.rzi.u32.f32 %r9, %f0;", &x, &x, &x)[..3], [2, 0, 3]);
    let w = [0xffff_ff80u32, 0x0100_0001, 200];
    assert_eq!(
        map3("cvt.rn.f32.u32 %f9, %r0; mov.b32 %r9, %f9;", &w, &w, &w),
        w.map(|v| (v as f32).to_bits())
    );
    assert_eq!(
        map3("cvt.rz.f32.u32 %f9, %r0; mov.b32 %r9, %f9;", &w[1..2], &w, &w)[0],
        16_777_216f32.to_bits()
    );
    assert_eq!(map3("cvt.s32.s8 %r9, %r0;", &w, &w, &w), [0xffff_ff80, 1, 0xffff_ffc8]);
    assert_eq!(map3("cvt.sat.u8.s32 %r9, %r0;", &w, &w, &w), [0, 255, 200]);
    assert_eq!(
        map3("cvt.s64.s32 %d9, %r0; shr.u64 %d9, %d9, 32; cvt.u32.u64 %r9, %d9;", &w, &w, &w)[0],
        u32::MAX
    );
}

#[test]
fn tf32_keeps_ten_bits_of_fraction() {
    let bits = [0x3f80_1000u32, 0x3f80_0fff, 0x3f80_3000];
    let found = map3("cvt.rna.tf32.f32 %r9, %f0;", &bits, &bits, &bits);
    assert_eq!(found, [0x3f80_2000, 0x3f80_0000, 0x3f80_4000]);
}

#[test]
fn bytes_and_vectors_in_memory() {
    let data = Buffer::of(&(0..=255).collect::<Vec<u8>>());
    let out = Buffer::empty(64);
    let body = "ld.global.v4.u32 {%r0, %r1, %r2, %r3}, [%p0+16]; st.global.v4.u32 [%p1], {%r3, %r2, %r1, %r0};\n\
        ld.global.s8 %r4, [%p0+200]; st.global.u32 [%p1+16], %r4; ld.global.u16 %h0, [%p0+2];\n\
        st.global.u16 [%p1+20], %h0; ld.global.v2.u64 {%d0, %d1}, [%p0+32]; st.global.u64 [%p1+24], %d1;\n\
        ld.global.u8 %h1, [%p0+9]; st.global.u8 [%p1+32], %h1;";
    launch(&kernel(2, body), "k", line(1, 1), &[(&data).into(), (&out).into()]).unwrap();
    let found = out.bytes();
    assert_eq!(found[..16], [28, 29, 30, 31, 24, 25, 26, 27, 20, 21, 22, 23, 16, 17, 18, 19]);
    assert_eq!(found[16..20], (-56i32).to_le_bytes());
    assert_eq!(found[20..22], [2, 3]);
    assert_eq!(found[24..33], [40, 41, 42, 43, 44, 45, 46, 47, 9]);
}

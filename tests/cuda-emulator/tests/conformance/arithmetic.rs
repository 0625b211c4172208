//! Integer, logic and floating-point arithmetic.

use crate::harness::{map3, map3_f32, singles, words};

const N: usize = 256;

/// Compares an instruction on 32-bit words with a function of them.
fn check(op: &str, expected: impl Fn(u32, u32, u32) -> u32) {
    let (a, b, c) = (words(1, N), words(5, N), words(9, N));
    let found = map3(op, &a, &b, &c);
    for n in 0..N {
        let want = expected(a[n], b[n], c[n]);
        assert_eq!(
            found[n], want,
            "{op} of {:#x} {:#x} {:#x}: {:#x} not {want:#x}",
            a[n], b[n], c[n], found[n]
        );
    }
}

#[test]
fn integer_arithmetic() {
    check("add.s32 %r9, %r0, %r1;", |a, b, _| (a as u64 + b as u64) as u32);
    check("sub.s32 %r9, %r0, %r1;", |a, b, _| (a as i64 - b as i64) as u32);
    check("mul.lo.s32 %r9, %r0, %r1;", |a, b, _| (a as u64 * b as u64) as u32);
    check("mul.hi.u32 %r9, %r0, %r1;", |a, b, _| ((a as u64 * b as u64) >> 32) as u32);
    check("mul.hi.s32 %r9, %r0, %r1;", |a, b, _| ((a as i32 as i64 * b as i32 as i64) >> 32) as u32);
    check("mad.lo.s32 %r9, %r0, %r1, %r2;", |a, b, c| (a as u64 * b as u64 + c as u64) as u32);
    check("mul.wide.s32 %d9, %r0, %r1; shr.u64 %d8, %d9, 32; cvt.u32.u64 %r9, %d8;", |a, b, _| {
        ((a as i32 as i64 * b as i32 as i64) >> 32) as u32
    });
    check("or.b32 %r1, %r1, 1; div.u32 %r9, %r0, %r1;", |a, b, _| a / (b | 1));
    check("or.b32 %r1, %r1, 1; rem.s32 %r9, %r0, %r1;", |a, b, _| {
        (a as i32 as i64 % ((b | 1) as i32 as i64)) as u32
    });
    check("min.s32 %r9, %r0, %r1;", |a, b, _| if (a as i32) < b as i32 { a } else { b });
    check("max.u32 %r9, %r0, %r1;", |a, b, _| if a > b { a } else { b });
    check("abs.s32 %r9, %r0;", |a, _, _| if (a as i32) < 0 { (-(a as i32 as i64)) as u32 } else { a });
    check("neg.s32 %r9, %r0;", |a, _, _| (-(a as i32 as i64)) as u32);
    check("sad.u32 %r9, %r0, %r1, %r2;", |a, b, c| ((a as i64 - b as i64).unsigned_abs() + c as u64) as u32);
    check("dp4a.s32.u32 %r9, %r0, %r1, %r2;", |a, b, c| {
        let sum: i64 = (0..4).map(|i| (a >> (8 * i)) as u8 as i8 as i64 * (b >> (8 * i)) as u8 as i64).sum();
        (sum + c as i64) as u32
    });
}

#[test]
fn logic_and_bit_fields() {
    check("and.b32 %r9, %r0, %r1;", |a, b, _| a & b);
    check("not.b32 %r9, %r0;", |a, _, _| !a);
    check("lop3.b32 %r9, %r0, %r1, %r2, 0xca;", |a, b, c| (a & b) | (!a & c));
    check("lop3.b32 %r9, %r0, %r1, %r2, 0x96;", |a, b, c| a ^ b ^ c);
    check("shl.b32 %r9, %r0, %r1;", |a, b, _| if b > 31 { 0 } else { a << b });
    check("shr.s32 %r9, %r0, %r1;", |a, b, _| ((a as i32 as i64) >> b.min(63)) as u32);
    check("shr.u32 %r9, %r0, %r1;", |a, b, _| if b > 31 { 0 } else { a >> b });
    check("shf.l.wrap.b32 %r9, %r0, %r1, %r2;", |a, b, c| {
        let (both, n) = ((b as u64) << 32 | a as u64, c % 32);
        (both << n >> 32) as u32
    });
    check("shf.r.clamp.b32 %r9, %r0, %r1, %r2;", |a, b, c| {
        (((b as u64) << 32 | a as u64) >> c.min(32)) as u32
    });
    check("popc.b32 %r9, %r0;", |a, _, _| (0..32).filter(|i| a >> i & 1 == 1).count() as u32);
    check("clz.b32 %r9, %r0;", |a, _, _| (0..32).rev().find(|i| a >> i & 1 == 1).map_or(32, |i| 31 - i));
    check("brev.b32 %r9, %r0;", |a, _, _| (0..32).fold(0, |r, i| r | (a >> i & 1) << (31 - i)));
    check("bfind.u32 %r9, %r0;", |a, _, _| (0..32).rev().find(|i| a >> i & 1 == 1).unwrap_or(u32::MAX));
    check("and.b32 %r1, %r1, 31; and.b32 %r2, %r2, 31; bfe.u32 %r9, %r0, %r1, %r2;", |a, b, c| {
        ((a as u64 >> (b & 31)) & ((1 << (c & 31)) - 1)) as u32
    });
    check("and.b32 %r1, %r1, 31; and.b32 %r2, %r2, 31; bfe.s32 %r9, %r0, %r1, %r2;", |a, b, c| {
        let (pos, len) = (b & 31, c & 31);
        let bit = |i: u32| (a >> i) & 1;
        let sign = if len == 0 { 0 } else { bit((pos + len - 1).min(31)) };
        (0..32).fold(0, |r, i| r | (if i < len && pos + i <= 31 { bit(pos + i) } else { sign }) << i)
    });
    check("and.b32 %r1, %r1, 31; bfi.b32 %r9, %r0, %r2, %r1, 7;", |a, b, c| {
        let pos = b & 31;
        (0..32).fold(0, |r, i| r | (if i >= pos && i < pos + 7 { a >> (i - pos) } else { c >> i } & 1) << i)
    });
    let wide = "mov.b64 %d5, {%r0, %r1}; mov.b64 %d6, {%r2, %r0}; bfi.b64 %d7, %d5, %d6, 24, 20; shr.u64 %d8, %d7, 16;";
    check(&format!("{wide} cvt.u32.u64 %r9, %d8;"), |a, _, c| {
        let target = (a as u64) << 32 | c as u64;
        let bit = |i: u32| if (24..44).contains(&i) { a as u64 >> (i - 24) } else { target >> i } & 1;
        (16..48).fold(0, |r, i| r | (bit(i) as u32) << (i - 16))
    });
    check("prmt.b32 %r9, %r0, %r1, 0x6421;", |a, b, _| {
        let byte = |i: u32| if i < 4 { (a >> (8 * i)) & 255 } else { (b >> (8 * (i - 4))) & 255 };
        byte(1) | byte(2) << 8 | byte(4) << 16 | byte(6) << 24
    });
    check("prmt.b32 %r9, %r0, %r1, 0xba98;", |a, _, _| {
        (0..4).fold(0, |r, i| r | if a >> (8 * i + 7) & 1 == 1 { 255 << (8 * i) } else { 0 })
    });
}

#[test]
fn comparisons() {
    let select = "selp.u32 %r9, 1, 0, %q1;";
    check(&format!("setp.lt.s32 %q1, %r0, %r1; {select}"), |a, b, _| u32::from((a as i32) < b as i32));
    check(&format!("setp.hs.u32 %q1, %r0, %r1; {select}"), |a, b, _| u32::from(a >= b));
    check(&format!("setp.gt.u32 %q0, %r0, 99; setp.ne.and.s32 %q1, %r1, %r2, !%q0; {select}"), |a, b, c| {
        u32::from(b != c && a <= 99)
    });
    check(&format!("setp.eq.s32 %q0|%q1, %r0, %r1; {select}"), |a, b, _| u32::from(a != b));
    check("set.lt.u32.u32 %r9, %r0, %r1;", |a, b, _| if a < b { u32::MAX } else { 0 });
    check("slct.b32.s32 %r9, %r0, %r1, %r2;", |a, b, c| if c as i32 >= 0 { a } else { b });
}

/// Equal, or both NaN.
fn same(found: f32, want: f32) -> bool {
    found.to_bits() == want.to_bits() || (found.is_nan() && want.is_nan())
}

fn check_f32(op: &str, expected: impl Fn(f32, f32, f32) -> f32) {
    let (a, b, c) = (singles(1, N), singles(5, N), singles(9, N));
    let found = map3_f32(op, &a, &b, &c);
    for n in 0..N {
        let want = expected(a[n], b[n], c[n]);
        assert!(
            same(found[n], want),
            "{op} of {:e} {:e} {:e}: {:e} not {want:e}",
            a[n],
            b[n],
            c[n],
            found[n]
        );
    }
}

#[test]
fn single_precision() {
    // A product or a sum of moderate singles, rounded from the exact double, is the IEEE result.
    check_f32("mul.f32 %f9, %f0, %f1;", |a, b, _| (f64::from(a) * f64::from(b)) as f32);
    check_f32("add.f32 %f9, %f0, %f1;", |a, b, _| a + b);
    check_f32("fma.rn.f32 %f9, %f0, %f1, %f2;", |a, b, c| a.mul_add(b, c));
    check_f32("div.rn.f32 %f9, %f0, %f1;", |a, b, _| (f64::from(a) / f64::from(b)) as f32);
    check_f32("abs.f32 %f8, %f0; sqrt.rn.f32 %f9, %f8;", |a, _, _| f64::from(a.abs()).sqrt() as f32);
    check_f32("neg.f32 %f9, %f0;", |a, _, _| f32::from_bits(a.to_bits() ^ 1 << 31));
    check_f32("cvt.sat.f32.f32 %f9, %f0;", |a, _, _| {
        if a > 1.0 {
            1.0
        } else if a > 0.0 {
            a
        } else {
            0.0
        }
    });
    check_f32(
        "add.ftz.f32 %f9, %f0, 0f00000000;",
        |a, _, _| {
            if a.abs() < f32::MIN_POSITIVE { 0.0 } else { a }
        },
    );
    check_f32("cvt.rmi.f32.f32 %f9, %f0;", |a, _, _| a.floor());
}

#[test]
fn directed_rounding() {
    // The neighbours of the nearest result, chosen by the sign of its error.
    let exact = |a: f32, b: f32| f64::from(a) * f64::from(b);
    let down = |x: f64| {
        let near = x as f32;
        if f64::from(near) > x { near.next_down() } else { near }
    };
    check_f32("mul.rm.f32 %f9, %f0, %f1;", |a, b, _| down(exact(a, b)));
    check_f32("mul.rp.f32 %f9, %f0, %f1;", |a, b, _| -down(-exact(a, b)));
    check_f32("fma.rm.f32 %f9, %f0, 0f437C0000, 0f4B400001;", |a, _, _| {
        // 252 a + 12582913 is exact in a double for the moderate values, and for the rest the sum decides.
        let sum = f64::from(a).mul_add(252.0, 12_582_913.0);
        if a.abs() > 1e-30 || a == 0.0 {
            down(sum)
        } else if a < 0.0 {
            12_582_912.0
        } else {
            12_582_913.0
        }
    });
}

#[test]
fn extremes_of_floats() {
    check_f32("min.f32 %f9, %f0, %f1;", |a, b, _| match (a == b, a < b) {
        (true, _) => {
            if a.is_sign_negative() {
                a
            } else {
                b
            }
        }
        (_, true) => a,
        _ => b,
    });
    let nan = f32::NAN;
    assert_eq!(map3_f32("max.f32 %f9, %f0, %f1;", &[nan, 2.0], &[3.0, nan], &[0.0; 2]), [3.0, 2.0]);
    assert!(map3_f32("max.NaN.f32 %f9, %f0, %f1;", &[nan], &[3.0], &[0.0])[0].is_nan());
}

#[test]
fn approximations_keep_their_bounds() {
    let x: Vec<f32> = (1..=256).map(|n| n as f32 * 0.0371).collect();
    let zero = vec![0.0; x.len()];
    let relative = |op: &str, bound: f64, f: fn(f64) -> f64| {
        for (x, y) in x.iter().zip(map3_f32(op, &x, &zero, &zero)) {
            let want = f(f64::from(*x));
            assert!((f64::from(y) - want).abs() <= bound * want.abs(), "{op} of {x}: {y} not {want}");
        }
    };
    // Two units in the last place are at most 2^-22 of the value.
    let ulp2 = 2f64.powi(-22);
    relative("ex2.approx.f32 %f9, %f0;", ulp2, f64::exp2);
    relative("rcp.approx.f32 %f9, %f0;", ulp2, |x| 1.0 / x);
    relative("rsqrt.approx.f32 %f9, %f0;", ulp2, |x| 1.0 / x.sqrt());
    relative("sqrt.approx.f32 %f9, %f0;", ulp2, f64::sqrt);
    relative("tanh.approx.f32 %f9, %f0;", 2f64.powi(-11), f64::tanh);
    let absolute = |op: &str, bound: f64, f: fn(f64) -> f64| {
        for (x, y) in x.iter().zip(map3_f32(op, &x, &zero, &zero)) {
            assert!((f64::from(y) - f(f64::from(*x))).abs() <= bound, "{op} of {x}: {y}");
        }
    };
    absolute("lg2.approx.f32 %f9, %f0;", 2f64.powi(-21), f64::log2);
    absolute("sin.approx.f32 %f9, %f0;", 2f64.powi(-20), f64::sin);
    absolute("cos.approx.f32 %f9, %f0;", 2f64.powi(-20), f64::cos);
}

//! `mma.sync` and `ldmatrix` against the fragments that the manual draws (section 9.7.14).

use crate::harness::{Buffer, kernel, launch, line};

/// Small integers, which every format holds exactly, and so do their sums of products.
fn small(seed: usize, n: usize) -> i32 {
    ((seed * 31 + n * 7 + n / 3) % 9) as i32 - 4
}

fn half_bits(value: i32) -> u16 {
    let magnitude = value.unsigned_abs();
    let exponent = magnitude.checked_ilog2();
    let bits = exponent.map_or(0, |e| ((e + 15) << 10) | ((magnitude << (10 - e)) & 1023));
    bits as u16 | if value < 0 { 0x8000 } else { 0 }
}

fn bfloat_bits(value: i32) -> u16 {
    ((value as f32).to_bits() >> 16) as u16
}

/// Runs one product of A (16 x k, rows) and B (k x 8, given as 8 columns) on top of C.
fn product(shape: &str, ty: &str, a: &[u32], b: &[u32], per_thread: (usize, usize)) -> Vec<f32> {
    let registers =
        |first: usize, n: usize| (first..first + n).map(|r| format!("%r{r}")).collect::<Vec<_>>().join(", ");
    let (na, nb) = per_thread;
    let loads = |pointer: &str, first: usize, n: usize| -> String {
        let base = format!("mul.wide.u32 %o, %t, {}; add.s64 %d0, {pointer}, %o;", 4 * n);
        (0..n).fold(base, |text, i| format!("{text} ld.global.u32 %r{}, [%d0+{}];", first + i, 4 * i))
    };
    let body = format!(
        "{} {}\nmov.f32 %f0, 0f3F800000; mov.f32 %f1, %f0; mov.f32 %f2, %f0; mov.f32 %f3, %f0;\n\
         mma.sync.aligned.{shape}.row.col.f32.{ty}.{ty}.f32 {{%f4, %f5, %f6, %f7}}, {{{}}}, {{{}}}, {{%f0, %f1, %f2, %f3}};\n\
         mul.wide.u32 %o, %t, 16; add.s64 %d0, %p2, %o; st.global.v4.f32 [%d0], {{%f4, %f5, %f6, %f7}};",
        loads("%p0", 0, na),
        loads("%p1", 8, nb),
        registers(0, na),
        registers(8, nb)
    );
    let (a, b, out) = (Buffer::u32s(a), Buffer::u32s(b), Buffer::empty(512));
    launch(&kernel(3, &body), "k", line(1, 32), &[(&a).into(), (&b).into(), (&out).into()]).unwrap();
    out.read_f32s()
}

fn check(depth: usize, found: &[f32]) {
    for lane in 0..32 {
        for i in 0..4 {
            // Section 9.7.14, accumulator: row = groupID for c0, c1, groupID + 8 else; col = threadID * 2 + (i & 1).
            let (row, col) = (lane / 4 + if i < 2 { 0 } else { 8 }, lane % 4 * 2 + i % 2);
            let sum: i32 = (0..depth).map(|k| small(1, row * depth + k) * small(2, k * 8 + col)).sum();
            assert_eq!(found[lane * 4 + i], 1.0 + sum as f32, "row {row} column {col}");
        }
    }
}

/// Fragments of 16-bit formats: element i of A lies in row groupID (+8 for i = 2, 3, 6, 7), column
/// threadID * 2 + (i & 1) (+8 for i >= 4); of B in row threadID * 2 + (i & 1) (+8 for i >= 2), column groupID.
fn fragments(depth: usize, bits: fn(i32) -> u16) -> (Vec<u32>, Vec<u32>) {
    let pack = |values: Vec<u16>| {
        values.chunks(2).map(|p| u32::from(p[1]) << 16 | u32::from(p[0])).collect::<Vec<_>>()
    };
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for lane in 0..32 {
        let (group, member) = (lane / 4, lane % 4);
        for i in 0..depth / 2 {
            let row = group + if i % 4 >= 2 { 8 } else { 0 };
            let col = member * 2 + i % 2 + if i >= 4 { 8 } else { 0 };
            a.push(bits(small(1, row * depth + col)));
        }
        for i in 0..depth / 4 {
            let row = member * 2 + i % 2 + if i >= 2 { 8 } else { 0 };
            b.push(bits(small(2, row * 8 + group)));
        }
    }
    (pack(a), pack(b))
}

#[test]
fn products_of_halves() {
    let (a, b) = fragments(16, half_bits);
    check(16, &product("m16n8k16", "f16", &a, &b, (4, 2)));
    let (a, b) = fragments(8, half_bits);
    check(8, &product("m16n8k8", "f16", &a, &b, (2, 1)));
}

#[test]
fn products_of_bfloats() {
    let (a, b) = fragments(16, bfloat_bits);
    check(16, &product("m16n8k16", "bf16", &a, &b, (4, 2)));
    let (a, b) = fragments(8, bfloat_bits);
    check(8, &product("m16n8k8", "bf16", &a, &b, (2, 1)));
}

#[test]
fn products_of_tf32() {
    // A: a0 (group, member), a1 (group + 8, member), a2 (group, member + 4), a3 (group + 8, member + 4);
    // B: b0 (member, group), b1 (member + 4, group).
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for lane in 0..32 {
        let (group, member) = (lane / 4, lane % 4);
        for (row, col) in [(group, member), (group + 8, member), (group, member + 4), (group + 8, member + 4)]
        {
            a.push((small(1, row * 8 + col) as f32).to_bits());
        }
        for row in [member, member + 4] {
            b.push((small(2, row * 8 + group) as f32).to_bits());
        }
    }
    check(8, &product("m16n8k8", "tf32", &a, &b, (4, 2)));
}

#[test]
fn ldmatrix_deals_rows() {
    // Four matrices of 8 x 8 numbers, one after the other; lane i gives the address of row i.
    let numbers: Vec<u16> = (0..256).collect();
    for transposed in [false, true] {
        let (data, out) = (Buffer::u16s(&numbers), Buffer::empty(512));
        let trans = if transposed { ".trans" } else { "" };
        let body = format!(
            ".shared .align 16 .b8 s[512];\nmul.wide.u32 %o, %t, 16; add.s64 %d0, %p0, %o; mov.u32 %r9, s;\n\
             mad.lo.u32 %r8, %t, 16, %r9; ld.global.v4.u32 {{%r0, %r1, %r2, %r3}}, [%d0];\n\
             st.shared.v4.u32 [%r8], {{%r0, %r1, %r2, %r3}}; bar.warp.sync -1;\n\
             ldmatrix.sync.aligned.m8n8.x4{trans}.shared.b16 {{%r0, %r1, %r2, %r3}}, [%r8];\n\
             add.s64 %d1, %p1, %o; st.global.v4.u32 [%d1], {{%r0, %r1, %r2, %r3}};"
        );
        launch(&kernel(2, &body), "k", line(1, 32), &[(&data).into(), (&out).into()]).unwrap();
        for (n, word) in out.read_u32s().into_iter().enumerate() {
            let (lane, matrix) = (n / 4, n % 4);
            let element = |c: usize| {
                let (row, col) = if transposed { (c, lane / 4) } else { (lane / 4, c) };
                (matrix * 64 + row * 8 + col) as u32
            };
            assert_eq!(
                word,
                element(lane % 4 * 2) | element(lane % 4 * 2 + 1) << 16,
                "lane {lane} matrix {matrix}"
            );
        }
    }
}

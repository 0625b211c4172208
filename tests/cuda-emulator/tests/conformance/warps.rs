//! Shuffles, votes, reductions, atomics.

use crate::harness::{Buffer, kernel, launch, line, map3, words};

fn iota() -> Vec<u32> {
    (0..32).collect()
}

fn shuffle(op: &str) -> Vec<u32> {
    let lanes = iota();
    map3(op, &lanes, &lanes, &lanes)
}

#[test]
fn shuffles() {
    let down = shuffle("shfl.sync.down.b32 %r9|%q0, %r0, 4, 31, 0xffffffff;");
    assert_eq!(down, (0..32).map(|i| if i + 4 < 32 { i + 4 } else { i }).collect::<Vec<_>>());
    let up = shuffle("shfl.sync.up.b32 %r9, %r0, 3, 0, -1;");
    assert_eq!(up, (0..32).map(|i| if i >= 3 { i - 3 } else { i }).collect::<Vec<_>>());
    let butterfly = shuffle("shfl.sync.bfly.b32 %r9, %r0, 16, 31, -1;");
    assert_eq!(butterfly, (0..32).map(|i| i ^ 16).collect::<Vec<_>>());
    // Segments of 8 lanes: the mask of c is 24.
    let index = shuffle("shfl.sync.idx.b32 %r9, %r0, 2, 0x181f, -1;");
    assert_eq!(index, (0..32).map(|i| i / 8 * 8 + 2).collect::<Vec<_>>());
    let found = shuffle("shfl.sync.down.b32 %r8|%q0, %r0, 1, 0x181f, -1; selp.u32 %r9, 1, 0, %q0;");
    assert_eq!(found, (0..32).map(|i| u32::from(i % 8 != 7)).collect::<Vec<_>>());
}

#[test]
fn votes_and_reductions() {
    let odd = "and.b32 %r1, %r0, 1; setp.eq.s32 %q0, %r1, 1;";
    assert_eq!(shuffle(&format!("{odd} vote.sync.ballot.b32 %r9, %q0, -1;")), [0xaaaa_aaaa; 32]);
    assert_eq!(
        shuffle(&format!("{odd} vote.sync.any.pred %q1, !%q0, -1; selp.u32 %r9, 1, 0, %q1;")),
        [1; 32]
    );
    assert_eq!(shuffle(&format!("{odd} vote.sync.all.pred %q1, %q0, -1; selp.u32 %r9, 1, 0, %q1;")), [0; 32]);
    assert_eq!(shuffle("redux.sync.add.s32 %r9, %r0, -1;"), [496; 32]);
    assert_eq!(shuffle("redux.sync.max.u32 %r9, %r0, -1;"), [31; 32]);
    let half = "setp.lt.u32 %q0, %r0, 16; mov.u32 %r9, 0; @%q0 activemask.b32 %r9;";
    assert_eq!(shuffle(half)[..2], [0xffff, 0xffff]);
    let masks = shuffle("mov.u32 %r9, %lanemask_lt;");
    assert_eq!(masks, (0..32u32).map(|i| ((1u64 << i) - 1) as u32).collect::<Vec<_>>());
}

#[test]
fn atomics_count_everything() {
    let ops = [
        ("add.u32", 0u32, (0..4096u32).sum::<u32>()),
        ("max.u32", 0, 4095),
        ("min.s32", 5000, 0),
        ("or.b32", 0, 4095),
        ("xor.b32", 7, 7 ^ (0..4096).fold(0, |a, b| a ^ b)),
        ("and.b32", u32::MAX, 0),
    ];
    for (op, start, want) in ops {
        let cell = Buffer::u32s(&[start]);
        let body = format!("atom.global.{op} %r0, [%p0], %t;");
        launch(&kernel(1, &body), "k", line(32, 128), &[(&cell).into()]).unwrap();
        assert_eq!(cell.read_u32s(), [want], "{op}");
    }
    let sum = Buffer::f32s(&[0.5]);
    let body = "red.global.add.f32 [%p0], 0f3F800000;";
    launch(&kernel(1, body), "k", line(8, 64), &[(&sum).into()]).unwrap();
    assert_eq!(sum.read_f32s(), [512.5]);
}

#[test]
fn compare_and_swap_gives_one_winner() {
    let (cell, out) = (Buffer::u32s(&[7]), Buffer::empty(4 * 256));
    let body = "mul.wide.u32 %o, %t, 4; add.s64 %d0, %p1, %o; add.u32 %r1, %t, 100;\n\
        atom.global.cas.b32 %r0, [%p0], 7, %r1; st.global.u32 [%d0], %r0;";
    launch(&kernel(2, body), "k", line(2, 128), &[(&cell).into(), (&out).into()]).unwrap();
    let winner = cell.read_u32s()[0];
    assert!((100..356).contains(&winner));
    let olds = out.read_u32s();
    assert_eq!(olds.iter().filter(|old| **old == 7).count(), 1);
    assert!(olds.iter().all(|old| *old == 7 || *old == winner));
}

#[test]
fn wide_atomics() {
    let cell = Buffer::of(&(u64::from(u32::MAX)).to_le_bytes());
    let body = "mov.u64 %d0, 1; atom.global.add.u64 %d1, [%p0], %d0;";
    launch(&kernel(1, body), "k", line(1, 64), &[(&cell).into()]).unwrap();
    assert_eq!(cell.read_u64s(), [u64::from(u32::MAX) + 64]);
}

#[test]
fn selections_of_64_bits() {
    let (a, b) = (words(2, 64), words(3, 64));
    let op = "mov.b64 %d0, {%r0, %r1}; mov.b64 {%r5, %r6}, %d0; setp.lt.u32 %q0, %r0, %r1;\n\
        mov.u64 %d1, 5; selp.b64 %d2, %d0, %d1, %q0; cvt.u32.u64 %r9, %d2; xor.b32 %r9, %r9, %r6;";
    let found = map3(op, &a, &b, &a);
    for n in 0..64 {
        assert_eq!(found[n], (if a[n] < b[n] { a[n] } else { 5 }) ^ b[n]);
    }
}

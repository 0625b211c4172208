//! Kernels that the checks must catch, each beside its repaired form where one differs by a line.

use crate::harness::{Arg, Buffer, Shape, kernel, launch, line};
use cuda::check::Kind;
use cuda::memory::device::Device;

fn fault(source: &str, shape: Shape, args: &[Arg]) -> (Kind, String) {
    let report = launch(source, "k", shape, args).expect_err("the kernel is broken");
    (report.kind, report.to_string())
}

const REVERSE: &str = ".shared .align 4 .b8 tile[1024];\nmul.wide.u32 %o, %t, 4; add.s64 %d1, %p0, %o;\n\
    mov.u32 %r1, tile; shl.b32 %r2, %t, 2; add.u32 %r3, %r1, %r2; st.shared.u32 [%r3], %t; BARRIER\n\
    sub.u32 %r4, 1020, %r2; add.u32 %r4, %r1, %r4; ld.shared.u32 %r5, [%r4]; st.global.u32 [%d1], %r5;";

#[test]
fn missing_barrier() {
    let out = Buffer::empty(1024);
    let fixed = kernel(1, &REVERSE.replace("BARRIER", "bar.sync 0;"));
    launch(&fixed, "k", line(1, 256), &[(&out).into()]).unwrap();
    // With the reads ahead of the writes, warp 0 finds what nobody wrote; behind them, a race.
    let broken = kernel(1, &REVERSE.replace("BARRIER", ""));
    let (kind, text) = fault(&broken, line(1, 256), &[(&out).into()]);
    assert!(matches!(kind, Kind::Uninitialised | Kind::SharedRace), "{text}");
    assert!(text.contains("kernel k") && text.contains("`ld.shared.u32 %r5, [%r4]`"), "{text}");
}

#[test]
fn race_between_warps() {
    let body = ".shared .align 4 .b8 s[4];\nmov.u32 %r1, s; st.shared.u32 [%r1], %t;";
    assert_eq!(fault(&kernel(0, body), line(1, 64), &[]).0, Kind::SharedRace);
    launch(&kernel(0, body), "k", line(1, 32), &[]).unwrap();
    // Read by one warp, written by the next without a barrier.
    let body = ".shared .align 4 .b8 s[4];\nmov.u32 %r1, s; setp.eq.u32 %q0, %t, 0; @%q0 st.shared.u32 [%r1], %t;\n\
        bar.sync 0; ld.shared.u32 %r2, [%r1]; setp.eq.u32 %q1, %t, 32; BARRIER @%q1 st.shared.u32 [%r1], %t;";
    assert_eq!(fault(&kernel(0, &body.replace("BARRIER", "")), line(1, 64), &[]).0, Kind::SharedRace);
    launch(&kernel(0, &body.replace("BARRIER", "bar.sync 0;")), "k", line(1, 64), &[]).unwrap();
}

#[test]
fn index_off_by_one() {
    let (data, out) = (Buffer::u32s(&[5; 64]), Buffer::empty(256));
    let body = "mul.wide.u32 %o, %t, 4; add.s64 %d0, %p0, %o; add.s64 %d1, %p1, %o;\n\
        ld.global.u32 %r0, [%d0+4]; st.global.u32 [%d1], %r0;";
    let (kind, text) = fault(&kernel(2, body), line(2, 32), &[(&data).into(), (&out).into()]);
    assert_eq!(kind, Kind::OutOfBounds);
    assert!(text.contains("block (1,0,0), thread (31,0,0)") && text.contains("256 bytes"), "{text}");
    let body = ".shared .align 4 .b8 s[128];\nmov.u32 %r1, s; mad.lo.u32 %r2, %t, 4, %r1; st.shared.u32 [%r2+4], %t;";
    assert_eq!(fault(&kernel(0, body), line(1, 32), &[]).0, Kind::OutOfBounds);
}

#[test]
fn memory_of_another_device() {
    let address = Device::lock().allocate(1, 64).expect("memory");
    let (kind, text) = fault(&kernel(1, "st.global.u32 [%p0], %t;"), line(1, 1), &[Arg::U64(address)]);
    assert!(kind == Kind::OutOfBounds && text.contains("in memory of device 1"), "{text}");
    Device::lock().release(address);
}

#[test]
fn misaligned_vector() {
    let data = Buffer::u32s(&[5; 64]);
    let body = "ld.global.v4.u32 {%r0, %r1, %r2, %r3}, [%p0+4];";
    assert_eq!(fault(&kernel(1, body), line(1, 1), &[(&data).into()]).0, Kind::Misaligned);
}

#[test]
fn unwritten_memory() {
    let data = Buffer::empty(64);
    assert_eq!(
        fault(&kernel(1, "ld.global.u32 %r0, [%p0];"), line(1, 1), &[(&data).into()]).0,
        Kind::Uninitialised
    );
    let half = "st.global.u16 [%p0], 7; ld.global.u32 %r0, [%p0];";
    assert_eq!(fault(&kernel(1, half), line(1, 1), &[(&data).into()]).0, Kind::Uninitialised);
    let body = ".shared .align 4 .b8 s[4];\nmov.u32 %r1, s; ld.shared.u32 %r0, [%r1];";
    assert_eq!(fault(&kernel(0, body), line(1, 1), &[]).0, Kind::Uninitialised);
}

#[test]
fn use_after_free() {
    let data = Buffer::u32s(&[5; 64]);
    let address = data.address;
    drop(data);
    let (kind, text) = fault(&kernel(1, "ld.global.u32 %r0, [%p0];"), line(1, 1), &[Arg::U64(address)]);
    assert_eq!(kind, Kind::UseAfterFree, "{text}");
}

const COPY: &str = ".shared .align 16 .b8 s[1024];\nmul.wide.u32 %o, %t, 16; add.s64 %d0, %p0, %o;\n\
    mov.u32 %r1, s; mad.lo.u32 %r2, %t, 16, %r1; cp.async.cg.shared.global [%r2], [%d0], 16; cp.async.commit_group;\n\
    WAIT BARRIER xor.b32 %r3, %r2, 512; ld.shared.u32 %r0, [%r3];";

#[test]
fn forgotten_wait() {
    let data = Buffer::u32s(&[5; 256]);
    let run = |wait: &str, barrier: &str| {
        let body = COPY.replace("WAIT", wait).replace("BARRIER", barrier);
        launch(&kernel(1, &body), "k", line(1, 64), &[(&data).into()]).err().map(|report| report.kind)
    };
    assert_eq!(run("cp.async.wait_group 0;", "bar.sync 0;"), None);
    assert_eq!(run("cp.async.wait_all;", "bar.sync 0;"), None);
    assert_eq!(run("", "bar.sync 0;"), Some(Kind::UnwaitedCopy));
    assert_eq!(run("cp.async.wait_group 1;", "bar.sync 0;"), Some(Kind::UnwaitedCopy));
    let unordered = run("cp.async.wait_group 0;", "");
    assert!(matches!(unordered, Some(Kind::SharedRace | Kind::Uninitialised)), "{unordered:?}");
}

const PARTS: &str = ".shared .align 16 .b8 s[512];\nmul.wide.u32 %o, %t, 16; add.s64 %d0, %p0, %o; add.s64 %d1, %p1, %o;\n\
    mov.u32 %r1, s; mad.lo.u32 %r2, %t, 16, %r1; rem.u32 %r3, %t, WORDS; shl.b32 %r3, %r3, 2;\n\
    cp.async.cg.shared.global [%r2], [%d0+SHIFT], 16, %r3; cp.async.wait_all;\n\
    ld.shared.v4.u32 {%r4, %r5, %r6, %r7}, [%r2]; st.global.v4.u32 [%d1], {%r4, %r5, %r6, %r7};";

#[test]
fn copies_of_parts() {
    // The last thread copies one word, and there are no more.
    let (data, out) = (Buffer::u32s(&Vec::from_iter(1..=4 * 31 + 1)), Buffer::empty(512));
    let body = |words: &str, shift: &str| kernel(2, &PARTS.replace("WORDS", words).replace("SHIFT", shift));
    launch(&body("5", "0"), "k", line(1, 32), &[(&data).into(), (&out).into()]).unwrap();
    let expected = (0..32 * 4).map(|word| if word % 4 < word / 4 % 5 { word + 1 } else { 0 });
    assert_eq!(out.read_u32s(), Vec::from_iter(expected));
    for (words, shift, kind) in
        [("4", "4", Kind::Misaligned), ("5", "4", Kind::Misaligned), ("4", "0", Kind::OutOfBounds)]
    {
        assert_eq!(fault(&body(words, shift), line(1, 32), &[(&data).into(), (&out).into()]).0, kind);
    }
}

#[test]
fn divergent_barrier() {
    let inside =
        "setp.lt.u32 %q0, %t, 16; @%q0 bra $skip; bar.sync 0;\n$skip: add.u32 %r0, %r0, 1; bar.sync 0;";
    assert_eq!(fault(&kernel(0, inside), line(1, 32), &[]).0, Kind::DivergentBarrier);
    let exited = "setp.lt.u32 %q0, %t, 32; @%q0 ret; bar.sync 0;";
    assert_eq!(fault(&kernel(0, exited), line(1, 64), &[]).0, Kind::DivergentBarrier);
    let elsewhere = "setp.lt.u32 %q0, %t, 32; @%q0 bra $one; bar.sync 0; ret;\n$one: bar.sync 1;";
    assert_eq!(fault(&kernel(0, elsewhere), line(1, 64), &[]).0, Kind::DivergentBarrier);
}

#[test]
fn missing_lanes_of_a_shuffle() {
    let body = "setp.lt.u32 %q0, %t, 16; @%q0 ret; shfl.sync.down.b32 %r0, %r1, 1, 31, 0xffffffff;";
    assert_eq!(fault(&kernel(0, body), line(1, 32), &[]).0, Kind::Divergence);
}

#[test]
fn race_between_blocks() {
    let cell = Buffer::u32s(&[0; 4]);
    let store = "st.global.u32 [%p0], %t;";
    assert_eq!(fault(&kernel(1, store), line(64, 32), &[(&cell).into()]).0, Kind::GlobalRace);
    launch(&kernel(1, store), "k", line(1, 32), &[(&cell).into()]).unwrap();
    let mixed = "ld.global.u32 %r0, [%p0]; setp.eq.u32 %q0, %t, 63; @%q0 st.global.u32 [%p0], %t;";
    assert_eq!(fault(&kernel(1, mixed), line(2, 32), &[(&cell).into()]).0, Kind::GlobalRace);
    // Neighbouring bytes are no conflict.
    let bytes =
        "cvt.u64.u32 %o, %r60; add.s64 %d0, %p0, %o; ld.global.u8 %r0, [%d0]; st.global.u8 [%d0], %r60;";
    launch(&kernel(1, bytes), "k", line(16, 1), &[(&cell).into()]).unwrap();
}

//! Branches, loops, divergence, barriers, special registers, and errors of loading.

use crate::harness::{Buffer, kernel, launch, line, map3, words};
use cuda::module::Module;

#[test]
fn divergent_loops_reconverge() {
    // The Collatz steps of each thread's number.
    let steps = |mut n: u64| {
        let mut count = 0;
        while n != 1 {
            n = if n.is_multiple_of(2) { n / 2 } else { 3 * n + 1 };
            count += 1;
        }
        count
    };
    let numbers: Vec<u32> = (1..=256).collect();
    let op = "mov.u32 %r9, 0;\n$loop: setp.eq.u32 %q0, %r0, 1; @%q0 bra $done; and.b32 %r3, %r0, 1;\n\
        setp.eq.u32 %q1, %r3, 0; @%q1 bra $even; mad.lo.u32 %r0, %r0, 3, 1; bra.uni $next;\n\
        $even: shr.u32 %r0, %r0, 1;\n$next: add.u32 %r9, %r9, 1; bra $loop;\n$done:";
    let found = map3(op, &numbers, &numbers, &numbers);
    assert_eq!(found, numbers.iter().map(|n| steps(u64::from(*n))).collect::<Vec<u32>>());
}

#[test]
fn tables_of_branches() {
    let numbers: Vec<u32> = (0..64).map(|n| n % 3).collect();
    let op = "$table: .branchtargets $a, $b, $c;\nbrx.idx %r0, $table;\n$a: mov.u32 %r9, 10; bra $end;\n\
        $b: mov.u32 %r9, 20; bra $end;\n$c: mov.u32 %r9, 30;\n$end: bar.warp.sync 0xffffffff;";
    let found = map3(op, &numbers, &numbers, &numbers);
    assert_eq!(found, numbers.iter().map(|n| 10 * (n + 1)).collect::<Vec<_>>());
}

#[test]
fn barriers_order_shared_memory() {
    let input = words(4, 256);
    let (a, out) = (Buffer::u32s(&input), Buffer::empty(1024));
    let body = ".shared .align 4 .b8 tile[1024];\nmul.wide.u32 %o, %t, 4; add.s64 %d0, %p0, %o; add.s64 %d1, %p1, %o;\n\
        ld.global.u32 %r0, [%d0]; mov.u32 %r1, tile; shl.b32 %r2, %t, 2; add.u32 %r3, %r1, %r2;\n\
        st.shared.u32 [%r3], %r0; bar.sync 0; sub.u32 %r4, 1020, %r2; add.u32 %r4, %r1, %r4;\n\
        ld.shared.u32 %r5, [%r4]; st.global.u32 [%d1], %r5;";
    launch(&kernel(2, body), "k", line(1, 256), &[(&a).into(), (&out).into()]).unwrap();
    assert!(out.read_u32s().iter().eq(input.iter().rev()));
}

#[test]
fn barriers_reduce_and_name() {
    let out = Buffer::empty(4 * 96);
    let body = "mul.wide.u32 %o, %t, 4; add.s64 %d0, %p0, %o; setp.lt.u32 %q0, %t, 40;\n\
        bar.red.popc.u32 %r0, 0, %q0; barrier.sync 1, 96; st.global.u32 [%d0], %r0;";
    launch(&kernel(1, body), "k", line(1, 96), &[(&out).into()]).unwrap();
    assert_eq!(out.read_u32s(), [40; 96]);
}

#[test]
fn special_registers_of_three_axes() {
    let out = Buffer::empty(4 * 2 * 3 * 4 * 8);
    let body = "mov.u32 %r0, %tid.x; mov.u32 %r1, %tid.y; mov.u32 %r2, %tid.z; mov.u32 %r3, %ctaid.y;\n\
        mad.lo.u32 %r4, %r2, 3, %r1; mad.lo.u32 %r4, %r4, 2, %r0; mad.lo.u32 %r4, %r3, 24, %r4;\n\
        mul.wide.u32 %o, %r4, 4; add.s64 %d0, %p0, %o; mov.u32 %r6, %nctaid.y; mad.lo.u32 %r5, %r6, 1000, %r4;\n\
        st.global.u32 [%d0], %r5;";
    launch(&kernel(1, body), "k", ([1, 8, 1], [2, 3, 4], 0), &[(&out).into()]).unwrap();
    assert_eq!(out.read_u32s(), (0..192).map(|n| 8000 + n).collect::<Vec<_>>());
}

#[test]
fn local_and_generic_memory() {
    let numbers: Vec<u32> = (0..32).collect();
    let op = ".local .align 4 .b8 depot[16];\nmov.u64 %d10, depot; cvta.local.u64 %d11, %d10; st.u32 [%d11+8], %r0;\n\
        ld.local.u32 %r5, [%d10+8]; cvta.to.local.u64 %d12, %d11; ld.local.u32 %r6, [%d12+8]; add.u32 %r9, %r5, %r6;";
    assert_eq!(map3(op, &numbers, &numbers, &numbers), numbers.iter().map(|n| 2 * n).collect::<Vec<_>>());
}

#[test]
fn constants_have_their_values() {
    let source = kernel(
        1,
        "mul.wide.u32 %o, %t, 4; add.s64 %d0, %p0, %o; mov.u64 %d1, table; add.s64 %d1, %d1, %o;\n\
        ld.const.u32 %r0, [%d1]; st.global.u32 [%d0], %r0;",
    );
    let source = source.replace(".visible", ".const .align 4 .u32 table[4] = {3, 0x10, 7};\n.visible");
    let out = Buffer::empty(16);
    launch(&source, "k", line(1, 4), &[(&out).into()]).unwrap();
    assert_eq!(out.read_u32s(), [3, 16, 7, 0]);
}

#[test]
fn what_is_unknown_is_named() {
    let load = |body: &str| Module::load(&kernel(0, body), 0, 80).err().expect("an error").to_string();
    assert!(load("frobnicate.u32 %r0, %r1;").contains("unknown instruction 'frobnicate.u32'"));
    assert!(load("add.fancy.s32 %r0, %r1, %r2;").contains("unknown modifier '.fancy'"));
    assert!(load("mov.u32 %r0, %nosuch;").contains("%nosuch"));
    assert!(load("add.s32 %d0, %r1, %r2;").contains("register"));
    assert!(load("bra $nowhere;").contains("$nowhere"));
    assert!(load("call foo, ();").contains("'('") || load("call foo;").contains("not supported"));
    assert!(Module::load(&kernel(0, ""), 0, 75).err().expect("an error").to_string().contains("sm_80"));
}

#[test]
fn counters_tell_sectors_and_conflicts() {
    let data = Buffer::u32s(&vec![1; 32 * 32]);
    let strided = "mul.wide.u32 %o, %t, 128; add.s64 %d0, %p0, %o; ld.global.u32 %r0, [%d0];";
    let counts = launch(&kernel(1, strided), "k", line(1, 32), &[(&data).into()]).unwrap();
    assert_eq!((counts.sectors, counts.ideal_sectors), (32, 4));
    let dense = "mul.wide.u32 %o, %t, 4; add.s64 %d0, %p0, %o; ld.global.u32 %r0, [%d0];";
    let counts = launch(&kernel(1, dense), "k", line(1, 32), &[(&data).into()]).unwrap();
    assert_eq!((counts.sectors, counts.ideal_sectors), (4, 4));
    let conflict = ".shared .align 4 .b8 s[4096];\nmov.u32 %r1, s; mad.lo.u32 %r2, %t, 128, %r1; st.shared.u32 [%r2], %t;";
    assert_eq!(launch(&kernel(0, conflict), "k", line(1, 32), &[]).unwrap().extra_wavefronts, 31);
    let fused = launch(&kernel(0, "fma.rn.f32 %f0, %f1, %f2, %f3;"), "k", line(1, 40), &[]).unwrap();
    assert_eq!(fused.multiply_adds, [40, 0, 0, 0]);
}

//! Thread-instructions a second and core, for kernels bound by arithmetic, by memory, and by tensor cores: all, or those whose
//! name holds one of the arguments.

use cuda::exec::launch::{Launch, next_serial};
use cuda::memory::device::Device;
use cuda::module::Module;
use std::time::Instant;

const PTX: &str = include_str!("../tests/data/samples_80.ptx");

const REPETITIONS: usize = 20;

fn loop_of(body: &str) -> String {
    format!(
        ".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry k()\n{{\n.reg .pred %p<2>; .reg .b32 %r<16>;\n\
         .reg .f32 %f<8>;\nmov.u32 %r0, 0; mov.u32 %r1, %tid.x; mov.f32 %f1, 0f3F800000; mov.f32 %f2, %f1;\n\
         $loop:\n{}add.u32 %r0, %r0, 1; setp.lt.u32 %p1, %r0, 500; @%p1 bra $loop;\nret;\n}}\n",
        body.repeat(16)
    )
}

fn measure(name: &str, ptx: &str, kernel: &str, grid: [u32; 3], block: [u32; 3], params: Vec<u8>) {
    let mut wanted = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).peekable();
    if wanted.peek().is_some() && !wanted.any(|part| name.contains(&part)) {
        return;
    }
    let module = Module::load(ptx, 0, 80).unwrap_or_else(|error| panic!("{error}"));
    let program = &module.function(kernel).expect("the kernel").program;
    let memory = || Device::lock().snapshot(0);
    let run = || {
        let (memory, serial, params) = (memory(), next_serial(), params.clone());
        let start = Instant::now();
        let outcome =
            Launch { program, grid, block, params, dynamic_shared: 0, memory, serial, multiprocessors: 108 }
                .run();
        assert!(outcome.fault.is_none(), "{:?}", outcome.fault);
        (start.elapsed().as_secs_f64(), outcome.counts)
    };
    let (mut best, mut counts) = (f64::INFINITY, Default::default());
    // What else runs only ever slows down.
    for _ in 0..REPETITIONS {
        let (time, found) = run();
        best = best.min(time);
        counts = found;
    }
    let cores = rayon::current_num_threads() as f64;
    let rate = counts.threads() as f64 / best / cores / 1e6;
    let adds = counts.multiply_adds.iter().sum::<u64>() as f64 / best / cores / 1e6;
    println!("{name:20} {rate:8.0} M thread-instructions/s/core {adds:8.0} M multiply-adds/s/core");
}

fn buffer(bytes: usize) -> u64 {
    let mut device = Device::lock();
    let address = device.allocate(0, bytes).expect("memory");
    let (allocation, _) = device.find(address, bytes).expect("just allocated");
    allocation.mark_written(0, bytes);
    address
}

fn params(pointers: &[u64], sizes: &[u32]) -> Vec<u8> {
    let pointers = pointers.iter().flat_map(|p| p.to_le_bytes());
    pointers.chain(sizes.iter().flat_map(|s| s.to_le_bytes())).collect()
}

fn main() {
    let integer = loop_of("mad.lo.u32 %r2, %r1, %r0, %r2; xor.b32 %r3, %r2, %r1;\n");
    measure("integer", &integer, "k", [64, 1, 1], [256, 1, 1], Vec::new());
    let fused = loop_of("fma.rn.f32 %f3, %f1, %f2, %f3;\n");
    measure("fma", &fused, "k", [64, 1, 1], [256, 1, 1], Vec::new());
    let (a, b, c) = (buffer(1 << 20), buffer(1 << 20), buffer(1 << 20));
    let square = params(&[a, b, c], &[256, 256, 256]);
    measure("tiled product", PTX, "tiled", [16, 16, 1], [16, 16, 1], square.clone());
    measure("reduction", PTX, "reduce", [64, 1, 1], [256, 1, 1], params(&[a, c], &[1 << 18]));
    measure("mma pipeline", PTX, "pipeline", [4, 4, 1], [128, 1, 1], square);
}

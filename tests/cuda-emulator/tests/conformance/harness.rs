//! Runs a kernel without a driver: buffers, parameters, launch.

use cuda::check::Report;
use cuda::count::Counts;
use cuda::exec::launch::{Launch, next_serial};
use cuda::memory::device::Device;
use cuda::module::Module;

/// Device memory that is released with its owner.
pub struct Buffer {
    pub address: u64,
    bytes: usize,
}

impl Drop for Buffer {
    fn drop(&mut self) {
        Device::lock().release(self.address);
    }
}

impl Buffer {
    /// Memory that nothing wrote.
    pub fn empty(bytes: usize) -> Buffer {
        let address = Device::lock().allocate(0, bytes).expect("memory");
        Buffer { address, bytes }
    }

    pub fn of(data: &[u8]) -> Buffer {
        let buffer = Buffer::empty(data.len());
        let (allocation, _) = Device::lock().find(buffer.address, data.len()).expect("just allocated");
        unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), allocation.data(), data.len()) };
        allocation.mark_written(0, data.len());
        buffer
    }

    pub fn u32s(values: &[u32]) -> Buffer {
        Self::of(&values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>())
    }

    pub fn f32s(values: &[f32]) -> Buffer {
        Self::u32s(&values.iter().map(|value| value.to_bits()).collect::<Vec<_>>())
    }

    pub fn u16s(values: &[u16]) -> Buffer {
        Self::of(&values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>())
    }

    pub fn bytes(&self) -> Vec<u8> {
        let (allocation, _) = Device::lock().find(self.address, self.bytes).expect("alive");
        unsafe { std::slice::from_raw_parts(allocation.data(), self.bytes) }.to_vec()
    }

    pub fn read_u32s(&self) -> Vec<u32> {
        self.bytes().chunks_exact(4).map(|b| u32::from_le_bytes(b.try_into().expect("4 bytes"))).collect()
    }

    pub fn read_u64s(&self) -> Vec<u64> {
        self.bytes().chunks_exact(8).map(|b| u64::from_le_bytes(b.try_into().expect("8 bytes"))).collect()
    }

    pub fn read_f32s(&self) -> Vec<f32> {
        self.read_u32s().into_iter().map(f32::from_bits).collect()
    }
}

/// A kernel's argument.
pub enum Arg {
    U64(u64),
    U32(u32),
}

impl From<&Buffer> for Arg {
    fn from(buffer: &Buffer) -> Arg {
        Arg::U64(buffer.address)
    }
}

impl From<u32> for Arg {
    fn from(value: u32) -> Arg {
        Arg::U32(value)
    }
}

/// Grid, block, dynamic shared memory.
pub type Shape = ([u32; 3], [u32; 3], usize);

pub fn line(blocks: u32, threads: u32) -> Shape {
    ([blocks, 1, 1], [threads, 1, 1], 0)
}

pub fn launch(
    ptx: &str,
    kernel: &str,
    (grid, block, shared): Shape,
    args: &[Arg],
) -> Result<Counts, Box<Report>> {
    let module = Module::load(ptx, 0, 80).unwrap_or_else(|error| panic!("{error}"));
    let program = &module.function(kernel).expect("the kernel").program;
    let mut params = vec![0; program.param_bytes];
    assert_eq!(args.len(), program.params.len());
    for (arg, (offset, size)) in args.iter().zip(&program.params) {
        let bytes = match arg {
            Arg::U64(value) => value.to_le_bytes().to_vec(),
            Arg::U32(value) => value.to_le_bytes().to_vec(),
        };
        params[*offset..offset + size].copy_from_slice(&bytes);
    }
    let memory = Device::lock().snapshot(0);
    let (serial, multiprocessors) = (next_serial(), 108);
    let outcome =
        Launch { program, grid, block, params, dynamic_shared: shared, memory, serial, multiprocessors }
            .run();
    match outcome.fault {
        None => Ok(outcome.counts),
        Some(fault) => Err(fault),
    }
}

/// A kernel of parameters `p0`, `p1`, ... (pointers) around a body in which `%t` is the thread's number in the grid.
pub fn kernel(pointers: usize, body: &str) -> String {
    let params: Vec<String> = (0..pointers).map(|n| format!(".param .u64 p{n}")).collect();
    let loads: String = (0..pointers).map(|n| format!("ld.param.u64 %p{n}, [p{n}];\n")).collect();
    format!(
        ".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry k({})\n{{\n\
         .reg .pred %q<16>; .reg .b16 %h<32>; .reg .b32 %r<64>; .reg .b64 %d<64>; .reg .f32 %f<64>;\n\
         .reg .f64 %g<16>; .reg .b64 %p<8>; .reg .b32 %t; .reg .b64 %o;\n\
         mov.u32 %r60, %ctaid.x; mov.u32 %r61, %ntid.x; mov.u32 %r62, %tid.x;\n\
         mad.lo.s32 %t, %r60, %r61, %r62;\n{loads}{body}\nret;\n}}\n",
        params.join(", ")
    )
}

/// Applies an instruction to 32-bit operands, a thread each: `op` uses %r0, %r1, %r2 and gives %r9.
pub fn map3(op: &str, a: &[u32], b: &[u32], c: &[u32]) -> Vec<u32> {
    let body = format!(
        "mul.wide.u32 %o, %t, 4; add.s64 %d0, %p0, %o; add.s64 %d1, %p1, %o; add.s64 %d2, %p2, %o;\n\
         add.s64 %d3, %p3, %o; ld.global.u32 %r0, [%d0]; ld.global.u32 %r1, [%d1]; ld.global.u32 %r2, [%d2];\n\
         mov.b32 %f0, %r0; mov.b32 %f1, %r1; mov.b32 %f2, %r2;\n{op}\nst.global.u32 [%d3], %r9;"
    );
    let (a, b, c) = (Buffer::u32s(a), Buffer::u32s(b), Buffer::u32s(c));
    let out = Buffer::empty(a.bytes);
    let threads = (a.bytes / 4) as u32;
    let args = [(&a).into(), (&b).into(), (&c).into(), (&out).into()];
    launch(&kernel(4, &body), "k", line(1, threads), &args).unwrap_or_else(|fault| panic!("{fault}"));
    out.read_u32s()
}

/// As `map3`, for an instruction from %f0, %f1, %f2 to %f9.
pub fn map3_f32(op: &str, a: &[f32], b: &[f32], c: &[f32]) -> Vec<f32> {
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    let out = map3(&format!("{op} mov.b32 %r9, %f9;"), &bits(a), &bits(b), &bits(c));
    out.into_iter().map(f32::from_bits).collect()
}

/// Words that cover corners and, by a simple generator, the middle.
pub fn words(seed: u32, count: usize) -> Vec<u32> {
    let corners = [0, 1, 2, 31, 32, 33, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0x0000_ffff, 0xffff_0000];
    let mut state = seed;
    (0..count)
        .map(|n| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if n < 32 { corners[(n + seed as usize) % corners.len()] } else { state }
        })
        .collect()
}

/// Singles of moderate size, zeros, infinities, subnormals.
pub fn singles(seed: u32, count: usize) -> Vec<f32> {
    let corners =
        [0.0, -0.0, 1.0, -1.5, f32::INFINITY, f32::NEG_INFINITY, 1e-40, -1e-40, f32::MAX, f32::MIN_POSITIVE];
    let random = words(seed, count);
    let value = |bits: u32| (f64::from(bits) / f64::from(u32::MAX) * 200.0 - 100.0) as f32;
    let pick =
        |n: usize| if n < 32 { corners[(n * 7 + seed as usize) % corners.len()] } else { value(random[n]) };
    (0..count).map(pick).collect()
}

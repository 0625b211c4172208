//! What a GPU can do at most, measured (`kernels/roof.cu`).
use std::sync::Arc;
use std::time::Instant;

use cudarc::driver::{DeviceRepr, sys};

use super::Gpu;
use super::kernels::Launch;
use crate::error::Result;

/// The three roofs of the roofline model, and the way to the host.
#[derive(Clone, Copy, Debug)]
pub struct Roof {
    /// f32 operations a second; a multiply-add counts as two.
    pub scalar: f64,
    /// Operations a second of matrix products with f16 factors and f32 sums.
    pub tensor: f64,
    /// Bytes read and written a second.
    pub bytes: f64,
    /// Bytes a second from an array of the host, and to one.
    pub bus: [f64; 2],
}

#[repr(C)]
struct Copy {
    from: u64,
    to: u64,
    units: i64,
}

#[repr(C)]
struct Chains {
    result: u64,
    rounds: i32,
}

// SAFETY: integers in the layout of the kernels' parameters.
unsafe impl DeviceRepr for Copy {}
// SAFETY: as above.
unsafe impl DeviceRepr for Chains {}

const THREADS: u32 = 256;
const REPETITIONS: usize = 5;

/// How much is done to measure: some milliseconds on a GPU.
struct Load {
    bytes: usize,
    /// Blocks of threads on each multiprocessor.
    blocks: u32,
    rounds: i32,
}

const ON_GPU: Load = Load { bytes: 512 << 20, blocks: 8, rounds: 4096 };
/// Enough to run the kernels once; what it measures is the emulator.
const EMULATED: Load = Load { bytes: 1 << 20, blocks: 1, rounds: 16 };

impl Roof {
    /// Measures all of them, the best of some repetitions: noise only ever slows down.
    ///
    /// # Errors
    /// Where the GPU has too little memory or fails.
    pub fn measure(gpu: &Arc<Gpu>) -> Result<Self> {
        let load = if gpu.is_emulated() { EMULATED } else { ON_GPU };
        // Per round and thread: 16 multiply-adds; per round and warp: 8 products of 16x16 and 16x8.
        let scalar = chains(gpu, &load, "roof_scalar", 2.0 * 16.0)?;
        let tensor = chains(gpu, &load, "roof_tensor", 8.0 * 2.0 * (16 * 8 * 16) as f64 / 32.0)?;
        Ok(Roof { scalar, tensor, bytes: copies(gpu, &load)?, bus: bus(gpu, &load)? })
    }
}

/// Units of `work` a second, at best.
fn best(gpu: &Gpu, work: f64, mut launch: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut rate: f64 = 0.0;
    for _ in 0..REPETITIONS {
        gpu.wait()?;
        let start = Instant::now();
        launch()?;
        gpu.wait()?;
        rate = rate.max(work / start.elapsed().as_secs_f64());
    }
    Ok(rate)
}

fn copies(gpu: &Arc<Gpu>, load: &Load) -> Result<f64> {
    let (from, to) = (gpu.zeros(load.bytes)?, gpu.zeros(load.bytes)?);
    let units = load.bytes / 16;
    let arguments = Copy { from: from.address(), to: to.address(), units: units as i64 };
    let launch = Launch { grid: [units.div_ceil(THREADS as usize) as u32, 1, 1], threads: THREADS };
    let kernel = gpu.kernel("roof", "roof_copy")?;
    best(gpu, 2.0 * load.bytes as f64, || {
        // SAFETY: both buffers have the bytes that are stated.
        unsafe { gpu.launch(&kernel, launch, &arguments) }
    })
}

fn bus(gpu: &Arc<Gpu>, load: &Load) -> Result<[f64; 2]> {
    let mut values = vec![0u8; load.bytes];
    let up = best(gpu, load.bytes as f64, || gpu.upload(&values).map(drop))?;
    let buffer = gpu.upload(&values)?;
    Ok([up, best(gpu, load.bytes as f64, || gpu.download(&buffer, &mut values))?])
}

/// `operations` are those of a thread and round.
fn chains(gpu: &Arc<Gpu>, load: &Load, kernel: &'static str, operations: f64) -> Result<f64> {
    let processors = gpu.attribute(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?;
    let blocks = load.blocks * processors as u32;
    let threads = (blocks * THREADS) as usize;
    let result = gpu.buffer(threads * size_of::<f32>())?;
    let arguments = Chains { result: result.address(), rounds: load.rounds };
    let kernel = gpu.kernel("roof", kernel)?;
    best(gpu, operations * threads as f64 * f64::from(load.rounds), || {
        // SAFETY: there is a place for each thread's result.
        unsafe { gpu.launch(&kernel, Launch { grid: [blocks, 1, 1], threads: THREADS }, &arguments) }
    })
}

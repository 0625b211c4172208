//! Copies from and to the host.
use std::sync::Arc;

use cudarc::driver::DeviceRepr;
use tascan::device::cuda::Gpu;
use tascan::device::cuda::kernels::Launch;
use tascan::device::cuda::memory::Buffer;
use tascan::device::cuda::transfer::Fetched;

use super::driver::{emulated, emulated_in_orders};

/// Numbers without a pattern, for more than two of the parts in which large arrays are copied.
fn numbers() -> Vec<u32> {
    (0..9_000_001u32).map(|i| i.wrapping_mul(2_654_435_761)).collect()
}

fn come_back(gpu: &Arc<Gpu>) {
    let values = numbers();
    let buffer = gpu.upload(&values).unwrap();
    for first in [0, 4_500_001, 8_999_999, 9_000_001] {
        let mut found = vec![0; values.len() - first];
        gpu.download_from(&buffer, first, &mut found).unwrap();
        assert!(found == values[first..], "from {first}");
    }
    assert!(taken(Gpu::fetch(buffer, 4 * values.len(), UNIT).unwrap()) == values);
}

/// Bytes of which parts are whole multiples.
const UNIT: usize = 12_000;

/// All values that are on their way.
fn taken(fetched: Fetched) -> Vec<u32> {
    let mut values = Vec::new();
    let mut rest_was_taken = false;
    fetched
        .for_each(&mut |part: &[u32]| {
            assert!(!rest_was_taken);
            rest_was_taken = !(4 * part.len()).is_multiple_of(UNIT);
            values.extend_from_slice(part);
        })
        .unwrap();
    values
}

#[test]
fn large_arrays_come_back() {
    emulated("cuda::transfer::large_arrays_come_back", come_back);
}

#[test]
fn large_arrays_come_back_in_whatever_order_streams_run() {
    emulated_in_orders("cuda::transfer::large_arrays_come_back_in_whatever_order_streams_run", 3, come_back);
}

/// `Regions` of kernels/regions.cu.
#[repr(C)]
struct Regions {
    labels: u64,
    sizes: u64,
    firsts: u64,
    voxels: i64,
}

// SAFETY: integers in the layout of the kernel's parameter.
unsafe impl DeviceRepr for Regions {}

/// Sends label 1 + i * `step` modulo `count` for voxel i, `step` and `count` having no common divisor, and launches the
/// kernel that finds the first voxel of each label.
fn send_labels(gpu: &Arc<Gpu>, count: usize, step: usize) -> Buffer {
    let label = |i: usize| (1 + i * step % count) as u32;
    let sent = gpu.send(4 * count, &|first, target| {
        for (i, place) in (first / 4..).zip(target.chunks_exact_mut(4)) {
            place.copy_from_slice(&label(i).to_ne_bytes());
        }
    });
    let (sent, sizes) = (sent.unwrap(), gpu.zeros(4 * count).unwrap());
    let firsts = gpu.zeros(4 * count).unwrap();
    let arguments = Regions {
        labels: sent.address(),
        sizes: sizes.address(),
        firsts: firsts.address(),
        voxels: count as i64,
    };
    let launch = Launch { grid: [count.div_ceil(256) as u32, 1, 1], threads: 256 };
    let kernel = gpu.kernel("regions", "regions").unwrap();
    // SAFETY: all three arrays have `count` values, and labels are from 1 to `count`.
    unsafe { gpu.launch(&kernel, launch, &arguments) }.unwrap();
    firsts
}

/// Arrays of more than two parts, the second one sent while the kernel for the first may still be running, and a third
/// one on its way back through the same memory.
fn arrive(gpu: &Arc<Gpu>) {
    let count = 4_500_007;
    let steps = [7919, 104_729];
    let values = numbers();
    let fetched = Gpu::fetch(gpu.upload(&values).unwrap(), 4 * values.len(), UNIT).unwrap();
    let firsts = steps.map(|step| send_labels(gpu, count, step));
    assert!(taken(fetched) == values);
    for (step, firsts) in steps.into_iter().zip(firsts) {
        let mut found = vec![0u32; count];
        gpu.download(&firsts, &mut found).unwrap();
        assert!((0..count).all(|i| found[i * step % count] == !(i as u32)), "step {step}");
    }
}

#[test]
fn what_is_sent_arrives() {
    emulated("cuda::transfer::what_is_sent_arrives", arrive);
}

#[test]
fn what_is_sent_arrives_in_whatever_order_streams_run() {
    emulated_in_orders("cuda::transfer::what_is_sent_arrives_in_whatever_order_streams_run", 3, arrive);
}

//! Copies from and to the host.
use std::sync::Arc;

use tascan::device::cuda::Gpu;

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
    let fetched = Gpu::fetch(buffer, 4 * values.len()).unwrap();
    assert!(fetched.values::<u32>().unwrap() == values);
}

#[test]
fn large_arrays_come_back() {
    emulated("cuda::transfer::large_arrays_come_back", come_back);
}

#[test]
fn large_arrays_come_back_in_whatever_order_streams_run() {
    emulated_in_orders("cuda::transfer::large_arrays_come_back_in_whatever_order_streams_run", 3, come_back);
}

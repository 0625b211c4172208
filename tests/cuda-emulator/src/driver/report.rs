//! The profile of the process, by kernel, written as JSON to `CUDA_EMULATOR_REPORT` after every launch, so that it is
//! there however the process ends.

use super::device;
use crate::count::Counts;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Mutex;

/// Of a kernel: what was counted, and its launches on each device.
type Total = (Counts, Vec<u64>);

static TOTALS: Mutex<BTreeMap<String, Total>> = Mutex::new(BTreeMap::new());

pub fn add(kernel: &str, device: usize, counts: &Counts) {
    let Ok(path) = std::env::var("CUDA_EMULATOR_REPORT") else { return };
    let mut totals = TOTALS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let (all, by_device) = totals.entry(kernel.to_owned()).or_default();
    all.add(counts);
    by_device.resize(device::count(), 0);
    by_device[device] += counts.launches;
    let by_kernel: serde_json::Map<_, _> =
        totals.iter().map(|(name, total)| (name.clone(), to_json(total))).collect();
    let text = Value::Object(by_kernel).to_string();
    if let Err(error) = std::fs::write(&path, text) {
        eprintln!("cuda-emulator: {path}: {error}");
    }
}

fn to_json((counts, by_device): &Total) -> Value {
    let mut kernel = counts.to_json();
    kernel["launches_by_device"] = json!(by_device);
    kernel
}

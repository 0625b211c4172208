//! The profile of the process, by kernel, written as JSON to `CUDA_EMULATOR_REPORT` after every launch, so that it is
//! there however the process ends.

use crate::count::Counts;
use std::collections::BTreeMap;
use std::sync::Mutex;

static TOTALS: Mutex<BTreeMap<String, Counts>> = Mutex::new(BTreeMap::new());

pub fn add(kernel: &str, counts: &Counts) {
    let Ok(path) = std::env::var("CUDA_EMULATOR_REPORT") else { return };
    let mut totals = TOTALS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    totals.entry(kernel.to_owned()).or_default().add(counts);
    let by_kernel: serde_json::Map<_, _> =
        totals.iter().map(|(name, counts)| (name.clone(), counts.to_json())).collect();
    let text = serde_json::Value::Object(by_kernel).to_string();
    if let Err(error) = std::fs::write(&path, text) {
        eprintln!("cuda-emulator: {path}: {error}");
    }
}

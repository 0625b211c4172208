//! Weights that need no file: a hash of seed, tensor and element, the same in every language.
use tascan::network::layout;
use tascan::weights::{Metadata, Weights};

/// Weights of 3DCellSegNet from a recipe that the reference values were computed with; their seed is 3.
pub fn cellsegnet_weights(seed: u64) -> Weights {
    let keys = sorted_keys();
    let mut values = Vec::with_capacity(layout::total_len());
    for (parameter, _) in layout::tensors() {
        let n = keys.binary_search(&parameter.name.to_owned()).expect("every tensor is a key");
        values.extend((0..parameter.len()).map(|i| value(parameter, uniform(seed, n as u64, i as u64))));
    }
    Weights { values, metadata: Metadata::default() }
}

/// The keys of PyTorch's state dict, counters of batches included.
fn sorted_keys() -> Vec<String> {
    let mut keys: Vec<String> = layout::tensors().map(|(parameter, _)| parameter.name.to_owned()).collect();
    let counters = keys.iter().filter_map(|key| key.strip_suffix("running_mean"));
    let counters: Vec<String> = counters.map(|module| format!("{module}num_batches_tracked")).collect();
    keys.extend(counters);
    keys.sort();
    keys
}

/// Element `i` of the `n`-th key, uniform in [0, 1).
fn uniform(seed: u64, n: u64, i: u64) -> f64 {
    let stream = seed.wrapping_mul(1_000_003).wrapping_add(n).wrapping_mul(0xD1B5_4A32_D192_ED03);
    let mut z = (i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(stream);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^= z >> 31;
    (z >> 40) as f64 / f64::from(1 << 24)
}

/// Brings `u` into a range that keeps activations moderate in a deep network.
fn value(parameter: &layout::Parameter, u: f64) -> f32 {
    let fan: usize = parameter.shape[1..].iter().product();
    let value = if parameter.name.ends_with("running_var") {
        0.5 + u
    } else if parameter.shape.len() == 1 && parameter.name.ends_with("weight") {
        0.75 + 0.5 * u
    } else if parameter.shape.len() == 1 {
        0.4 * (u - 0.5)
    } else {
        2.0 * (u - 0.5) * (3.0 / fan as f64).sqrt()
    };
    value as f32
}

//! Model files: every tensor in its place, and no file that can do harm.
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use half::f16;
use proptest::prelude::*;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use tascan::Spacing;
use tascan::network::layout;
use tascan::ops::contrast::Contrast;
use tascan::weights::{Metadata, Precision, Weights};

use crate::{compare, oracle, recipe};

/// A file of tests/data/weights.
pub fn fixture(name: &str) -> std::path::PathBuf {
    oracle::data("weights").join(name)
}

#[track_caller]
pub fn error_of(bytes: &[u8]) -> String {
    Weights::from_bytes("model.file", bytes).expect_err("a model that must be refused").to_string()
}

#[track_caller]
pub fn assert_says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in {message:?}");
    }
}

#[test]
fn layout_has_the_papers_size() {
    assert_eq!(layout::trainable_len(), 1_281_411);
}

#[test]
fn recipe_has_the_reference_values() {
    let weights = recipe::cellsegnet_weights(3);
    let expected = fs::read(fixture("cellsegnet_recipe_first4.json")).unwrap();
    let expected: BTreeMap<String, Vec<f32>> = serde_json::from_slice(&expected).unwrap();
    let tensors: Vec<_> =
        expected.iter().filter(|(name, _)| !name.ends_with("num_batches_tracked")).collect();
    assert_eq!(tensors.len(), layout::tensors().count());
    for (name, first) in tensors {
        let found = weights.get(name);
        assert_eq!(&found[..found.len().min(4)], first, "{name}");
    }
}

fn described() -> Weights {
    let mut weights = recipe::cellsegnet_weights(11);
    weights.metadata = Metadata {
        normalization: Some("percentile 1 99".into()),
        contrast: Some(Contrast { half_width: 9, floor: 0.03 }),
        spacing: Some(Spacing([0.5, 0.1625, 0.1625])),
        training_data: Some("synthetic tissue".into()),
        version: Some("1".into()),
        other: BTreeMap::from([("author".into(), "a \"quoted\" name".into()), ("b".into(), String::new())]),
    };
    weights
}

/// The bytes of a saved file.
fn saved(weights: &Weights, precision: Precision) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    weights.save(&path, precision).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "something was left beside the file");
    fs::read(path).unwrap()
}

#[test]
fn saved_weights_come_back() {
    let weights = described();
    let loaded = Weights::from_bytes("f32", &saved(&weights, Precision::F32)).unwrap();
    assert_eq!(loaded, weights);
    let halved = Weights::from_bytes("f16", &saved(&weights, Precision::F16)).unwrap();
    assert_eq!(halved.metadata, weights.metadata);
    for (parameter, range) in layout::tensors() {
        let round = |v: f32| if parameter.shape.len() > 1 { f16::from_f32(v).to_f32() } else { v };
        let expected: Vec<f32> = weights.values[range.clone()].iter().map(|&v| round(v)).collect();
        assert_eq!(halved.values[range], expected, "{}", parameter.name);
    }
}

#[test]
fn saved_files_are_equal_and_small() {
    let first = saved(&described(), Precision::F16);
    assert!((0..4).all(|_| saved(&described(), Precision::F16) == first));
    assert!(first.len() < 3_000_000, "{} bytes", first.len());
}

#[test]
fn saved_files_have_what_pytorch_insists_on() {
    let bytes = saved(&recipe::cellsegnet_weights(3), Precision::F16);
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let expected = fs::read(fixture("cellsegnet_recipe_keys.json")).unwrap();
    let expected: Vec<(String, Vec<usize>, Option<f64>)> = serde_json::from_slice(&expected).unwrap();
    let mut found: Vec<_> = file.iter().map(|(name, t)| (name.to_owned(), t.shape().to_vec())).collect();
    found.sort();
    assert_eq!(found, expected.into_iter().map(|(name, shape, _)| (name, shape)).collect::<Vec<_>>());
    let header = bytes.len() - file.iter().map(|(_, t)| t.data().len()).sum::<usize>();
    assert_eq!(header % 8, 0, "values must be aligned");
}

#[test]
fn values_beyond_f16_are_not_saved() {
    let mut weights = recipe::cellsegnet_weights(3);
    weights.values[layout::range_of("conv4.weight").unwrap()][3] = 1e6;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let message = weights.save(&path, Precision::F16).unwrap_err().to_string();
    assert_says(&message, &["conv4.weight", "1000000", "element 3", "f16"]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    weights.save(&path, Precision::F32).unwrap();
}

#[test]
fn unwritable_folder_is_named() {
    let message = Weights::initial(0).save("/no/such/folder/m.safetensors", Precision::F32).unwrap_err();
    assert_says(&message.to_string(), &["/no/such/folder/m.safetensors"]);
}

/// A safetensors file after `change` of its tensors: name to type, shape and bytes.
fn changed(change: impl FnOnce(&mut BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>)) -> Vec<u8> {
    let bytes = saved(&recipe::cellsegnet_weights(3), Precision::F32);
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let owned = |t: TensorView| (t.dtype(), t.shape().to_vec(), t.data().to_vec());
    let mut tensors = file.iter().map(|(name, tensor)| (name.to_owned(), owned(tensor))).collect();
    change(&mut tensors);
    let views = tensors
        .iter()
        .map(|(name, (dtype, shape, data))| (name, TensorView::new(*dtype, shape.clone(), data).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

#[test]
fn bfloat16_tensors_load() {
    let bytes = changed(|tensors| {
        for (dtype, shape, data) in tensors.values_mut().filter(|(dtype, ..)| *dtype == Dtype::F32) {
            *dtype = Dtype::BF16;
            *data = half::bf16::from_f32(-1.5).to_le_bytes().repeat(shape.iter().product());
        }
        for (_, (.., data)) in tensors.iter_mut().filter(|(name, _)| name.ends_with("running_var")) {
            *data = half::bf16::from_f32(0.75).to_le_bytes().repeat(data.len() / 2);
        }
    });
    let weights = Weights::from_bytes("bf16", &bytes).unwrap();
    compare::assert_close(weights.get("conv1.bias"), &[-1.5; 16], 0.0);
    compare::assert_close(weights.get("bnorm4.running_var"), &[0.75; 32], 0.0);
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    let missing = changed(|tensors| {
        tensors.remove("deconv2.bias");
        tensors.insert("conv7.bias".into(), (Dtype::F32, vec![1], vec![0; 4]));
    });
    let parts = ["model.file", "1 missing tensors (deconv2.bias)", "1 unexpected tensors (conv7.bias)"];
    assert_says(&error_of(&missing), &parts);
    let shape = changed(|tensors| tensors.get_mut("conv1.bias").unwrap().1 = vec![4, 4]);
    assert_says(&error_of(&shape), &["conv1.bias", "[4, 4]", "[16]"]);
    let kind = changed(|tensors| tensors.get_mut("conv1.bias").unwrap().0 = Dtype::I32);
    assert_says(&error_of(&kind), &["conv1.bias", "I32"]);
}

#[test]
fn counters_are_optional() {
    let bytes = changed(|tensors| tensors.retain(|name, _| !name.ends_with("num_batches_tracked")));
    assert_eq!(Weights::from_bytes("model.file", &bytes).unwrap(), recipe::cellsegnet_weights(3));
}

#[test]
fn values_that_spoil_everything_are_refused() {
    for (name, value) in
        [("conv3.bias", f32::NAN), ("conv6.weight", f32::INFINITY), ("bnorm2.running_var", -0.5)]
    {
        let bytes = changed(|tensors| {
            tensors.get_mut(name).unwrap().2[8..12].copy_from_slice(&value.to_le_bytes());
        });
        assert_says(&error_of(&bytes), &[name, "element 2", &value.to_string()]);
    }
}

#[test]
fn files_of_another_kind_are_refused() {
    assert_says(&error_of(b""), &["model.file", "0 bytes", "safetensors"]);
    assert_says(&error_of(&[b'I'; 4096]), &["4096 bytes that are no model"]);
    assert_says(&error_of(b"PK\x03\x04"), &["broken zip"]);
    let missing = Weights::load("/no/such/model").unwrap_err().to_string();
    assert_says(&missing, &["/no/such/model"]);
    let folder = Weights::load(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap_err().to_string();
    assert_says(&folder, &[env!("CARGO_MANIFEST_DIR")]);
}

#[test]
fn huge_files_are_not_read() {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(1 << 40).unwrap();
    let message = Weights::load(file.path()).unwrap_err().to_string();
    assert_says(&message, &["1099511627776 bytes"]);
}

#[test]
fn lying_headers_are_refused() {
    let good = saved(&recipe::cellsegnet_weights(3), Precision::F16);
    for len in [u64::MAX, 1 << 40, 99_999_999, 3, 0] {
        let mut bytes = good.clone();
        bytes[..8].copy_from_slice(&len.to_le_bytes());
        assert_says(&error_of(&bytes), &["model.file"]);
    }
    let huge = br#"{"conv1.bias":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,64]}}"#;
    let bytes = [&(huge.len() as u64).to_le_bytes()[..], huge, &[0; 64]].concat();
    assert_says(&error_of(&bytes), &["broken safetensors"]);
}

#[test]
fn local_contrast_that_is_none_is_refused() {
    for (half_width, floor) in [("0", "0.05"), ("17", "0.05"), ("12", "nan"), ("12", "0"), ("1.5", "0.05")] {
        let mut weights = recipe::cellsegnet_weights(11);
        let entries = [("half_width", half_width), ("floor", floor)];
        weights.metadata.other.extend(entries.map(|(key, value)| (key.to_owned(), value.to_owned())));
        let message = error_of(&saved(&weights, Precision::F16));
        assert_says(&message, &[half_width, floor, "from 1 to 16 voxels"]);
    }
}

#[test]
fn spacing_that_is_none_is_refused() {
    let mut weights = recipe::cellsegnet_weights(3);
    for spacing in ["1 two 3", "1 2", "1 0 1", "1 1 inf", "1 2 3 4"] {
        weights.metadata.other.insert("spacing".into(), spacing.into());
        let message = error_of(&saved(&weights, Precision::F16));
        assert_says(&message, &[spacing, "micrometres"]);
    }
}

#[test]
fn initial_weights_follow_pytorch() {
    let weights = Weights::initial(1);
    assert_eq!(weights, Weights::initial(1));
    assert_ne!(weights.values, Weights::initial(2).values);
    for (parameter, range) in layout::tensors() {
        let values = &weights.values[range];
        let of_norm = parameter.name.contains("norm");
        if of_norm {
            let one = parameter.name.ends_with("weight") || parameter.name.ends_with("running_var");
            assert!(values.iter().all(|&v| v == f32::from(u8::from(one))), "{}", parameter.name);
        }
    }
    // Bounds worked out from PyTorch's documentation: 1/sqrt(axis 1 times the kernel's voxels).
    let cases = [
        ("conv1.weight", 1),
        ("conv2.weight", 16 * 27),
        ("conv2.bias", 16 * 27),
        ("deconv3.weight", 32 * 64),
        ("deconv3.bias", 32 * 64),
        ("conv6.weight", 32 * 27),
    ];
    for (name, fan_in) in cases {
        let bound = 1.0 / f32::sqrt(fan_in as f32);
        let values = weights.get(name);
        let largest = values.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
        assert!(largest <= bound && largest > 0.7 * bound, "{name}: {largest} of {bound}");
        let mean: f32 = values.iter().sum::<f32>() / values.len() as f32;
        assert!(mean.abs() <= 3.0 * bound / f32::sqrt(3.0 * values.len() as f32), "{name}: mean {mean}");
    }
}

#[test]
fn initial_weights_spread_as_pytorchs() {
    let Some(first) = oracle::shared("oracle/loss/train_init_part0.npz") else { return };
    let weights = Weights::initial(0);
    for name in oracle::names(&first).iter().filter(|n| layout::range_of(n).is_some()) {
        let reference = oracle::array::<f32>(&first, name);
        let (ours, theirs) = (spread(weights.get(name)), spread(reference.as_slice().unwrap()));
        // The spread of n uniform values scatters by less than 1/sqrt(n).
        let tolerance = 4.0 / f64::sqrt(reference.len() as f64);
        assert!((ours - theirs).abs() <= tolerance * theirs, "{name}: {ours} and {theirs}");
    }
}

fn spread(values: &[f32]) -> f64 {
    (values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
}

/// A file with some bytes changed near its start and its end, perhaps cut short.
pub fn mutated(good: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let len = good.len();
    let near = prop_oneof![0..8192.min(len), len.saturating_sub(8192)..len, 0..len];
    let cut = prop_oneof![2 => Just(len), 1 => 0..len];
    (prop::collection::vec((near, any::<u8>()), 1..6), cut).prop_map(move |(changes, cut)| {
        let mut bytes = good.clone();
        for (at, value) in changes {
            bytes[at] = value;
        }
        bytes.truncate(cut);
        bytes
    })
}

/// What loads from any bytes is complete and finite.
pub fn load_or_refuse(bytes: &[u8]) -> Result<(), TestCaseError> {
    if let Ok(weights) = Weights::from_bytes("mutated", bytes) {
        prop_assert_eq!(weights.values.len(), layout::total_len());
        prop_assert!(weights.values.iter().all(|v| v.is_finite()));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_safetensors_never_panic(bytes in mutated(saved(&Weights::initial(5), Precision::F16))) {
        load_or_refuse(&bytes)?;
    }
}

//! PyTorch checkpoints: what the authors' code saves loads, whatever else a pickle may do is refused.
use std::fs;
use std::io::{Cursor, Write};

use proptest::prelude::*;
use tascan::network::layout;
use tascan::weights::Weights;

use crate::oracle;
use crate::weights::{assert_says, error_of, fixture, load_or_refuse, mutated};

/// The value that tests/data/weights/make_checkpoints.py gives to each tensor.
fn assert_stretched(weights: &Weights, except: &[&str]) {
    for (n, (parameter, range)) in layout::tensors().enumerate() {
        if !except.contains(&parameter.name) {
            let expected = (n + 1) as f32 / 64.0;
            assert!(weights.values[range].iter().all(|&v| v == expected), "{}", parameter.name);
        }
    }
}

#[test]
fn authors_checkpoint_equals_its_arrays() {
    let Some(path) = oracle::shared("oracle/net/cellsegnet.pkl") else { return };
    let weights = Weights::load(&path).unwrap();
    let parts = (0..3).map(|i| path.with_file_name(format!("cellsegnet_part{i}.npz")));
    let mut seen = 0;
    for part in parts {
        for name in oracle::names(&part) {
            if layout::range_of(&name).is_some() {
                let expected = oracle::array::<f32>(&part, &name);
                assert_eq!(weights.get(&name), expected.as_slice().unwrap(), "{name}");
                seen += 1;
            }
        }
    }
    assert_eq!(seen, layout::tensors().count());
}

#[test]
fn partial_checkpoint_lists_what_is_missing() {
    let Some(path) = oracle::shared("oracle/net/cellsegnet_partial.pkl") else { return };
    let message = Weights::load(&path).unwrap_err().to_string();
    assert_says(&message, &["cellsegnet_partial.pkl", "38 missing tensors", "conv3.weight", "deconv3.bias"]);
    assert!(!message.contains("conv6") && !message.contains("unexpected"), "{message}");
}

#[test]
fn checkpoints_of_every_type_load() {
    for name in ["float.pkl", "bare_bfloat16.pth", "parallel_half.pt", "parameters_double.pt"] {
        assert_stretched(&Weights::load(fixture(name)).unwrap_or_else(|e| panic!("{e}")), &[]);
    }
}

#[test]
fn strided_tensors_load_in_the_order_of_their_shape() {
    let weights = Weights::load(fixture("transposed.pt")).unwrap();
    assert_stretched(&weights, &["bnorm1.weight", "conv6.weight"]);
    let odd: Vec<f32> = (0..32).map(|i| (2 * i + 1) as f32).collect();
    assert_eq!(weights.get("bnorm1.weight"), odd);
    let [o, i, k] = [2, 5, 14];
    assert_eq!(weights.get("conv6.weight")[(o * 32 + i) * 27 + k], (k * 96 + i * 3 + o) as f32);
}

#[test]
fn other_pickles_are_refused_by_name() {
    let legacy = Weights::load(fixture("legacy.pkl")).unwrap_err().to_string();
    assert_says(&legacy, &["legacy.pkl", "legacy format", "1.6"]);
    let module = Weights::load(fixture("whole_module.pkl")).unwrap_err().to_string();
    assert_says(&module, &["whole_module.pkl", "torch.nn.modules.batchnorm.BatchNorm3d"]);
}

/// A checkpoint with this pickle and no storage.
fn with_pickle(pickle: &[u8]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    zip.start_file("archive/data.pkl", stored).unwrap();
    zip.write_all(pickle).unwrap();
    zip.finish().unwrap().into_inner()
}

#[test]
fn harmful_pickles_are_refused() {
    let system = error_of(&with_pickle(b"\x80\x02cposix\nsystem\nX\x02\0\0\0id\x85R."));
    assert_says(&system, &["model.file", "posix.system"]);
    let cases: [(&[u8], &str); 11] = [
        (b"", "cut short"),
        (b"\x80\x04.", "protocol 4"),
        (b"\x80\x02.", "takes more than it has"),
        (b"\x80\x02}(.", "takes more than it has"),
        (b"\x80\x02N.", "no dict"),
        (b"\x80\x02t.", "without the mark"),
        (b"\x80\x02h\x07.", "recalls what it never stored"),
        (b"\x80\x02X\xff\xff\xff\xffabc", "cut short"),
        (b"\x80\x02i.", "opcode 0x69"),
        (b"\x80\x02NNa.", "no list"),
        (b"\x80\x02}X\x01\0\0\0aNs.", "a, which is no tensor"),
    ];
    for (pickle, expected) in cases {
        assert_says(&error_of(&with_pickle(pickle)), &[expected]);
    }
}

#[test]
fn deeply_nested_and_repeated_tuples_take_little() {
    // (((...))) a hundred thousand deep, then t = (t, t) thirty times over.
    let deep = [&b"\x80\x02)"[..], &[0x85].repeat(100_000), b"."].concat();
    assert_says(&error_of(&with_pickle(&deep)), &["no dict"]);
    let wide = [&b"\x80\x02)"[..], &b"q\x00h\x00\x86".repeat(30), b"."].concat();
    assert_says(&error_of(&with_pickle(&wide)), &["no dict"]);
}

#[test]
fn storages_that_lie_are_refused() {
    let bytes = fs::read(fixture("float.pkl")).unwrap();
    // The first storage claims two values (`K\x01` is its length behind the device), the file has one.
    let device = b"X\x03\x00\x00\x00cpu";
    let at = bytes.windows(device.len()).position(|w| w == device).unwrap() + device.len();
    let length = bytes[at..].iter().position(|&b| b == b'K').unwrap() + at + 1;
    let mut longer = bytes.clone();
    longer[length] = 2;
    // The archive's checksum guards the pickle: keep it true.
    let repaired = rezip(&longer, &bytes);
    assert_says(&error_of(&repaired), &["conv1.weight", "storage 0 of 4 bytes instead of 8"]);
    let mut shorter = bytes.clone();
    shorter[length] = 0;
    assert_says(&error_of(&rezip(&shorter, &bytes)), &["conv1.weight"]);
}

/// The archive `original` with the entries' bytes as they stand in `changed`, an archive of the same extent.
fn rezip(changed: &[u8], original: &[u8]) -> Vec<u8> {
    let mut source = zip::ZipArchive::new(Cursor::new(original)).unwrap();
    let mut target = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for i in 0..source.len() {
        let entry = source.by_index(i).unwrap();
        let start = entry.data_start().unwrap() as usize;
        target.start_file(entry.name().unwrap(), stored).unwrap();
        target.write_all(&changed[start..start + entry.size() as usize]).unwrap();
    }
    target.finish().unwrap().into_inner()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_checkpoints_never_panic(bytes in mutated(fs::read(fixture("parameters_double.pt")).unwrap())) {
        load_or_refuse(&bytes)?;
    }

    #[test]
    fn mutated_pickles_never_panic(changes in prop::collection::vec((0_usize..9000, any::<u8>()), 1..4)) {
        let good = fs::read(fixture("transposed.pt")).unwrap();
        let mut bytes = good.clone();
        for (at, value) in changes {
            bytes[at] = value;
        }
        load_or_refuse(&rezip(&bytes, &good))?;
    }
}

//! NPY and NPZ files of NumPy, old and odd ones among them; tests/data/README.md says how they were made.
use std::fs;

use ndarray::Array3;
use tascan::io::{self, Pick, Role, Selection};
use tascan::volume::{Dtype, Spacing};

use super::fixture;

fn index(plus: f32) -> Array3<f32> {
    Array3::from_shape_fn((3, 4, 5), |(z, y, x)| ((z * 4 + y) * 5 + x) as f32 + plus)
}

fn channel(number: usize) -> Selection {
    Selection { channel: Some(Pick::Number(number)), ..Role::Raw.into() }
}

#[test]
fn arrays_of_any_numpy_are_read() {
    for (spec, dtype, scale, mapped) in [
        ("python2.npy", Dtype::U16, 1.0, true),
        ("version3.npy", Dtype::U16, 1.0, true),
        ("f16.npy", Dtype::F32, 1.0, false),
        ("folders.npz:deep/raw", Dtype::U16, 1.0, false),
        ("folders.npz:half", Dtype::F32, 0.25, false),
        ("integers.npz", Dtype::U16, 1.0, false),
    ] {
        let volume = io::open(&fixture(spec), Role::Raw).unwrap();
        assert_eq!((volume.dtype(), volume.origin().mapped), (dtype, mapped), "{spec}");
        assert_eq!(volume.to_f32(), index(0.0) * scale, "{spec}");
    }
    let chosen = io::open(&fixture("folders.npz"), Role::Raw).unwrap();
    assert_eq!(chosen.origin().dataset.as_deref(), Some("deep/raw"));
    let integers = io::open(&fixture("integers.npz"), Role::Raw).unwrap();
    assert_eq!(integers.spacing(), Some(Spacing([1.0, 2.0, 3.0])));
}

#[test]
fn a_channel_of_four_axes_is_read_where_it_lies() {
    for (spec, scale, mapped) in [
        ("four_fortran.npy", 1.0, false),
        ("channels_last.npy", 0.25, false),
        ("folders.npz:channels", 1.0, false),
    ] {
        for number in 0..2 {
            let volume = io::open(&fixture(spec), channel(number)).unwrap();
            assert_eq!(volume.to_f32(), index(60.0 * number as f32) * scale, "{spec}");
            assert_eq!(volume.origin().mapped, mapped, "{spec}");
        }
        let message = io::open(&fixture(spec), Role::Raw).err().unwrap().to_string();
        assert!(message.contains("2 channels") && message.contains("--channel"), "{message}");
    }
    // 1 x 3 x 4 x 5: nothing to choose.
    assert!(io::open(&fixture("four.npy"), Role::Raw).unwrap().origin().mapped);
}

#[test]
fn what_is_no_array_of_numbers_is_named() {
    for (spec, reason) in [
        ("pickle.npy", "a Python pickle, no array"),
        ("objects.npy", "allow_pickle=False"),
        ("structured.npy", "structured type"),
        ("text.npy", "text"),
        ("complex.npy", "complex numbers"),
    ] {
        let message = io::open(&fixture(spec), Role::Raw).err().unwrap().to_string();
        assert!(message.contains(reason), "{spec}: {message}");
    }
}

#[test]
fn a_header_is_no_longer_than_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("header.npy");
    let brackets = "(".repeat(60_000);
    for (version, length, text) in [(2, u32::MAX, "{"), (3, 1000, "{"), (9, 1, "{"), (2, 60_000, &brackets)] {
        let mut bytes = vec![0x93, b'N', b'U', b'M', b'P', b'Y', version, 0];
        bytes.extend(length.to_le_bytes());
        bytes.extend(text.as_bytes());
        fs::write(&path, bytes).unwrap();
        let message = io::open(&path, Role::Raw).err().unwrap().to_string();
        assert!(message.contains("NumPy header"), "{message}");
    }
}

#[test]
fn an_archive_with_a_password_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("locked.npz");
    let mut bytes = fs::read(fixture("stored.npz")).unwrap();
    // The flag of encryption, in the local headers and in the directory.
    for (signature, flags) in [(b"PK\x03\x04", 6), (b"PK\x01\x02", 8)] {
        for at in 0..bytes.len() - 12 {
            if bytes[at..].starts_with(signature) {
                bytes[at + flags] |= 1;
            }
        }
    }
    fs::write(&path, bytes).unwrap();
    let message = io::open(&path.with_file_name("locked.npz:raw"), Role::Raw).err().unwrap().to_string();
    assert!(message.contains("assword"), "{message}");
}

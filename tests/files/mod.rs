//! Files in and out.
mod bad;
mod fixtures;
mod garbage;
mod hdf5;
mod layouts;
mod metaimage;
mod npy;
mod nrrd;
mod planes;
mod tiff;
mod tiff_file;

use std::path::{Path, PathBuf};

use ndarray::Array3;
use tascan::io::{self, Role};
use tascan::volume::{Dtype, Sample, Spacing, Volume};

use crate::oracle;

const SPACING: Spacing = Spacing([0.235, 0.15, 0.1523]);

/// A file of tests/data/files, with the data set that its name may end in.
fn fixture(spec: &str) -> PathBuf {
    oracle::data(&format!("files/{spec}"))
}

/// A volume of 3 x 4 x 5 voxels that hold their index, x fastest.
fn indices() -> Array3<f32> {
    Array3::from_shape_fn((3, 4, 5), |(z, y, x)| ((z * 4 + y) * 5 + x) as f32)
}

/// The voxels as 16-bit integers, least significant byte first.
fn little(voxels: &Array3<f32>) -> Vec<u8> {
    voxels.iter().flat_map(|&value| (value as u16).to_le_bytes()).collect()
}

/// A number in the bytes of a type, least significant byte first.
fn number(dtype: Dtype, value: u8) -> Vec<u8> {
    match dtype {
        Dtype::F32 => f32::from(value).to_le_bytes().to_vec(),
        Dtype::F64 => f64::from(value).to_le_bytes().to_vec(),
        _ => u64::from(value).to_le_bytes()[..dtype.size()].to_vec(),
    }
}

/// Saves a file of a text and the bytes behind it.
fn save(folder: &Path, name: &str, text: &str, data: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, [text.as_bytes(), data].concat()).unwrap();
    path
}

/// Why a file is refused.
fn message(path: &Path) -> String {
    io::open(path, Role::Raw).err().expect("a reason").to_string()
}

fn assert_spacing(path: &Path, expected: Option<[f64; 3]>) {
    let text = || String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
    match (io::open(path, Role::Raw).unwrap().spacing(), expected) {
        (Some(Spacing(found)), Some(edges)) => {
            let near = (0..3).all(|axis| (found[axis] / edges[axis] - 1.0).abs() <= 1e-15);
            assert!(near, "{found:?}: {}", text());
        }
        (found, edges) => assert_eq!(found.is_some(), edges.is_some(), "{}", text()),
    }
}

/// Even sizes that would mean something else without their unit are read as they were written, to the bit.
fn sizes_survive(name: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    for edges in [[1.0 / 3.0, 1e-3, 12345.678], [0.162_319_8, 4.27e-2, 1.0], [1.0; 3], [1e-3, 2e-4, 3e-12]] {
        io::write(&path, indices().view(), Some(Spacing(edges))).unwrap();
        assert_eq!(io::open(&path, Role::Raw).unwrap().spacing(), Some(Spacing(edges)), "{name}");
    }
}

/// A header with its voxels in another file is not written; the message says what to write instead.
fn header_alone_is_refused(name: &str, instead: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    let written = io::write(&path, indices().view(), None).unwrap_err().to_string();
    let checked = io::check_output(&fixture("u16.npy"), &path).unwrap_err().to_string();
    assert!(
        [&written, &checked].iter().all(|said| said.contains(name) && said.contains(instead)),
        "{written}"
    );
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// All voxels of a file that has to be readable.
fn read(path: &Path) -> Array3<f32> {
    io::open(path, Role::Raw).unwrap_or_else(|error| panic!("{error}")).to_f32()
}

/// Distinct values over the whole range of a type.
fn ramp<T: Sample>(make: impl Fn(usize) -> T) -> Array3<T> {
    Array3::from_shape_vec((3, 5, 7), (0..105).map(make).collect()).unwrap()
}

fn round_trip<T: Sample + std::fmt::Debug>(folder: &Path, ending: &str, voxels: Array3<T>) {
    let path = folder.join(format!("volume.{ending}"));
    io::write(&path, voxels.view(), Some(SPACING)).unwrap();
    let back = io::open(&path, Role::Raw).unwrap();
    assert_eq!((back.shape(), back.dtype()), ([3, 5, 7], T::DTYPE), "{ending}");
    assert_eq!(back.read::<T>([0; 3], [3, 5, 7]), voxels, "{ending}");
    assert_eq!(back.read::<T>([1, 2, 3], [2, 1, 4]), voxels.slice(ndarray::s![1.., 2..3, 3..]), "{ending}");
    if ending != "npy" {
        assert_eq!(back.spacing(), Some(SPACING), "{ending}");
    }
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 1, "{ending}: only the file itself");
}

#[test]
fn every_type_survives_every_format() {
    for ending in ["tif", "h5", "npy", "npz", "mha", "nrrd"] {
        let folder = tempfile::tempdir().unwrap();
        round_trip(folder.path(), ending, ramp(|i| i as u8 * 2));
        round_trip(folder.path(), ending, ramp(|i| i as i8));
        round_trip(folder.path(), ending, ramp(|i| i as u16 * 600));
        round_trip(folder.path(), ending, ramp(|i| i as i16 * 300 - 15000));
        round_trip(folder.path(), ending, ramp(|i| i as u32 * 40_000_000));
        round_trip(folder.path(), ending, ramp(|i| i as i32 * 20_000_000 - 1_000_000_000));
        round_trip(folder.path(), ending, ramp(|i| i as u64 * 40_000_000_000));
        round_trip(folder.path(), ending, ramp(|i| i as i64 * 40_000_000_000 - 1));
        round_trip(folder.path(), ending, ramp(|i| i as f32 / 3.0 - 9.0));
        round_trip(folder.path(), ending, ramp(|i| i as f64 / 3.0 - 9.0));
    }
}

#[test]
fn the_smallest_volumes_survive_every_format() {
    let folder = tempfile::tempdir().unwrap();
    for shape in [[1, 1, 1], [1, 4, 5], [3, 1, 1], [1, 1, 7]] {
        for ending in ["tif", "btf", "h5", "npy", "npz", "mha", "nrrd"] {
            let path = folder.path().join(format!("small.{ending}"));
            let voxels = Array3::<i16>::from_elem(shape, -3);
            io::write(&path, voxels.view(), None).unwrap();
            let back = io::open(&path, Role::Raw).unwrap();
            assert_eq!(back.read::<i16>([0; 3], shape), voxels, "{ending} {shape:?}");
            assert_eq!(back.spacing(), None, "{ending}");
        }
    }
}

#[test]
fn any_voxel_size_and_memory_layout_survives() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("turned.tif");
    let turned = ramp(|i| i as u16).reversed_axes();
    for edges in [[1.0 / 3.0, 1e-3, 12345.678], [0.162_319_8, 4.27e-2, 1.0]] {
        io::write(&path, turned.view(), Some(Spacing(edges))).unwrap();
        let back = io::open(&path, Role::Raw).unwrap();
        assert_eq!(back.read::<u16>([0; 3], [7, 5, 3]), turned);
        let found = back.spacing().unwrap().0;
        let near = |axis: usize| (found[axis] / edges[axis] - 1.0).abs() <= 1e-15;
        assert!((0..3).all(near), "{found:?} instead of {edges:?}");
    }
    let memory = Volume::from_array(turned.clone(), None);
    assert_eq!(memory.to_f32(), turned.mapv(f32::from));
}

#[test]
fn the_first_voxel_that_is_not_finite_is_found() {
    let mut voxels = Array3::<f32>::zeros((4, 5, 6));
    assert_eq!(Volume::from_array(voxels.clone(), None).first_non_finite(), None);
    voxels[[3, 0, 0]] = f32::INFINITY;
    voxels[[2, 4, 1]] = f32::NAN;
    let volume = Volume::from_array(voxels, None);
    assert_eq!(volume.first_non_finite(), Some([2, 4, 1]));
    assert_eq!(volume.range(), Some((0.0, f64::INFINITY)));
}

#[test]
fn labels_are_u16_while_they_fit() {
    let folder = tempfile::tempdir().unwrap();
    for (greatest, dtype) in [(65535, Dtype::U16), (65536, Dtype::U32)] {
        let path = folder.path().join("labels.tif");
        let mut labels = Array3::<u32>::zeros((2, 3, 4));
        labels[[1, 2, 3]] = greatest;
        io::write_labels(&path, labels.view(), None).unwrap();
        let back = io::open(&path, Role::Labels).unwrap();
        assert_eq!(back.dtype(), dtype);
        assert_eq!(back.to_labels().unwrap(), labels);
    }
}

#[test]
fn a_voxel_that_is_no_label_is_named() {
    for value in [-1.0, 0.5, f32::NAN, f32::INFINITY, 4294967296.0] {
        let mut voxels = Array3::<f32>::zeros((2, 3, 4));
        voxels[[1, 0, 2]] = value;
        let message = Volume::from_array(voxels, None).to_labels().unwrap_err().to_string();
        assert!(message.contains("z 1, y 0, x 2"), "{message}");
    }
}

#[test]
fn real_stacks_have_their_shape_and_voxel_size() {
    for (file, shape, size) in [
        ("data/ovule_raw.tif", [32, 128, 128], [0.235, 0.15, 0.15]),
        ("data/ovule_labels.tif", [32, 128, 128], [0.235, 0.15, 0.15]),
        ("data/celegans_t024_raw.tif", [134, 205, 285], [0.225, 0.225, 0.225]),
    ] {
        let Some(path) = oracle::shared(file) else { continue };
        let volume = io::open(&path, Role::Raw).unwrap();
        assert_eq!(volume.shape(), shape, "{file}");
        let found = volume.spacing().unwrap().0;
        assert!((0..3).all(|a| (found[a] - size[a]).abs() < 1e-6), "{file}: {found:?}");
    }
}

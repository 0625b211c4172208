//! Reference values, computed with the authors' code.
use std::fs::File;
use std::path::{Path, PathBuf};

use ndarray::{ArrayD, Dimension, OwnedRepr};
use ndarray_npy::{NpzReader, ReadableElement};

/// The folder beside the checkout that holds the larger reference files and real volumes; `None` says on
/// stderr that the test was skipped.
pub fn shared(file: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared").join(file);
    let found = path.exists();
    if !found {
        eprintln!("skipped: {} is absent", path.display());
    }
    found.then_some(path)
}

/// The path of a file in `tests/data`.
pub fn data(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(file)
}

/// One array of an `.npz` file.
pub fn array<T: ReadableElement>(npz: &Path, name: &str) -> ArrayD<T> {
    array_of(npz, name)
}

/// One volume of an `.npz` file.
pub fn volume<T: ReadableElement>(npz: &Path, name: &str) -> ndarray::Array3<T> {
    array_of(npz, name)
}

fn array_of<T: ReadableElement, D: Dimension>(npz: &Path, name: &str) -> ndarray::Array<T, D> {
    let file = File::open(npz).unwrap_or_else(|e| panic!("{}: {e}", npz.display()));
    let mut reader = NpzReader::new(file).unwrap();
    reader
        .by_name::<OwnedRepr<T>, D>(&format!("{name}.npy"))
        .or_else(|_| reader.by_name::<OwnedRepr<T>, D>(name))
        .unwrap_or_else(|e| panic!("{} in {}: {e}", name, npz.display()))
}

/// The names of the arrays of an `.npz` file.
pub fn names(npz: &Path) -> Vec<String> {
    let file = File::open(npz).unwrap_or_else(|e| panic!("{}: {e}", npz.display()));
    let names = NpzReader::new(file).unwrap().names().unwrap();
    names.iter().map(|name| name.trim_end_matches(".npy").to_owned()).collect()
}

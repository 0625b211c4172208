//! Random layouts of TIFF, HDF5, NPY and NPZ, which scripts/write-layouts writes: this program has to find in them what
//! tifffile, h5py and NumPy find. TASCAN_LAYOUTS=N compares N files instead of 400, TASCAN_LAYOUTS_SEED=S others.
use std::any::Any;
use std::env;
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::process::Command;

use ndarray::Array3;
use ndarray_npy::ReadableElement;
use serde_json::Value;
use tascan::io::{self, Pick, Role, Selection};
use tascan::volume::{Dtype, Sample, Spacing, Volume};

const COUNT: &str = "400";
const SEED: &str = "1";

/// How many failures are shown.
const SHOWN: usize = 20;

/// One entry of cases.json.
#[derive(serde::Deserialize)]
struct Case {
    /// The file, with the data set where it has to be named.
    spec: String,
    role: String,
    /// A number, a name or null.
    channel: Value,
    time: Option<usize>,
    /// The file of the expected voxels.
    expected: String,
    spacing: Option<[f64; 3]>,
    /// `false`, or why a reader may refuse the layout.
    may_refuse: Value,
    description: String,
}

enum Outcome {
    Compared,
    Refused,
}

#[test]
fn random_layouts_are_read_as_other_programs_read_them() {
    let Some(python) = python() else {
        return println!("skipped: no Python with tifffile and h5py; scripts/test sets it up");
    };
    let folder = tempfile::tempdir().unwrap();
    write_layouts(&python, folder.path());
    let text = fs::read_to_string(folder.path().join("cases.json")).unwrap();
    let cases: Vec<Case> = serde_json::from_str(&text).unwrap();
    let (mut compared, mut refused, mut failures) = (0, 0, Vec::new());
    for case in &cases {
        match case.outcome(folder.path()) {
            Ok(Outcome::Compared) => compared += 1,
            Ok(Outcome::Refused) => refused += 1,
            Err(problem) => failures.push(format!("{} ({}): {problem}", case.spec, case.description)),
        }
    }
    println!("layouts: {compared} compared, {refused} refused by name");
    let shown = failures.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("\n");
    assert!(failures.is_empty(), "{} of {} layouts:\n{shown}", failures.len(), cases.len());
}

/// The interpreter with the libraries, if there is one.
fn python() -> Option<PathBuf> {
    let own = || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/layouts-env/bin/python");
    let chosen = env::var_os("PYTHON").filter(|python| !python.is_empty()).map(PathBuf::from);
    chosen.or_else(|| Some(own()).filter(|python| python.exists()))
}

fn write_layouts(python: &Path, folder: &Path) {
    let count = env::var("TASCAN_LAYOUTS").unwrap_or_else(|_| COUNT.into());
    let seed = env::var("TASCAN_LAYOUTS_SEED").unwrap_or_else(|_| SEED.into());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/write-layouts");
    let mut command = Command::new(python);
    command.arg(script).arg("--output").arg(folder).args(["--count", &count, "--seed", &seed]);
    let output = command.output().unwrap_or_else(|e| panic!("{}: {e}", python.display()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

impl Case {
    /// Opens the file and compares what it holds; an error says what is wrong.
    fn outcome(&self, folder: &Path) -> Result<Outcome, String> {
        let opened = panic::catch_unwind(AssertUnwindSafe(|| {
            io::open(&folder.join(&self.spec), self.selection()).map_err(|e| e.to_string())
        }));
        match opened.map_err(|panic| format!("panicked: {}", said(&*panic)))? {
            Ok(volume) => self.compare(&volume, &folder.join(&self.expected)).map(|()| Outcome::Compared),
            Err(_) if self.may_refuse.is_string() => Ok(Outcome::Refused),
            Err(refusal) => Err(format!("refused: {refusal}")),
        }
    }

    fn selection(&self) -> Selection {
        let channel = match &self.channel {
            Value::String(name) => Some(Pick::Name(name.clone())),
            number => number.as_u64().map(|number| Pick::Number(number as usize)),
        };
        let role = if self.role == "labels" { Role::Labels } else { Role::Raw };
        Selection { role, channel, time: self.time.map(Pick::Number) }
    }

    fn compare(&self, volume: &Volume, expected: &Path) -> Result<(), String> {
        same_spacing(volume.spacing(), self.spacing)?;
        match volume.dtype() {
            Dtype::U8 => same_voxels::<u8>(volume, expected),
            Dtype::I8 => same_voxels::<i8>(volume, expected),
            Dtype::U16 => same_voxels::<u16>(volume, expected),
            Dtype::I16 => same_voxels::<i16>(volume, expected),
            Dtype::U32 => same_voxels::<u32>(volume, expected),
            Dtype::I32 => same_voxels::<i32>(volume, expected),
            Dtype::U64 => same_voxels::<u64>(volume, expected),
            Dtype::I64 => same_voxels::<i64>(volume, expected),
            Dtype::F32 => same_voxels::<f32>(volume, expected),
            Dtype::F64 => same_voxels::<f64>(volume, expected),
        }
    }
}

/// What a panic said.
fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or_default()
}

fn same_spacing(found: Option<Spacing>, expected: Option<[f64; 3]>) -> Result<(), String> {
    let same = match (found, expected) {
        (None, None) => true,
        (Some(Spacing(found)), Some(expected)) => {
            found.iter().zip(expected).all(|(found, expected)| (found / expected - 1.0).abs() <= 1e-9)
        }
        _ => false,
    };
    same.then_some(()).ok_or_else(|| format!("voxel size {found:?} instead of {expected:?}"))
}

/// Compares type, shape and every voxel to the bit; all NaN are the same.
fn same_voxels<T: Sample + ReadableElement>(volume: &Volume, expected: &Path) -> Result<(), String> {
    let expected: Array3<T> = ndarray_npy::read_npy(expected)
        .map_err(|e| format!("{} instead of the expected type ({e})", T::DTYPE))?;
    let shape = <[usize; 3]>::from(expected.dim());
    if volume.shape() != shape {
        return Err(format!("shape {:?} instead of {shape:?}", volume.shape()));
    }
    let found = volume.read::<T>([0; 3], shape);
    let different =
        |a: &T, b: &T| bytemuck::bytes_of(a) != bytemuck::bytes_of(b) && !(is_nan(a) && is_nan(b));
    let mut wrong = expected.indexed_iter().filter(|&(at, voxel)| different(voxel, &found[at]));
    match wrong.next() {
        None => Ok(()),
        Some((at, voxel)) => {
            let more = wrong.count();
            Err(format!(
                "voxel {at:?} is {} instead of {voxel}, and {more} more of {}",
                found[at],
                found.len()
            ))
        }
    }
}

/// Whether a value is equal to nothing, not even to itself.
fn is_nan<T: Sample>(value: &T) -> bool {
    value.partial_cmp(value).is_none()
}

//! Which inputs there are, and which file each one becomes: settled before anything is computed.
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::io;

/// What the files of one input are called after: `NAME_labels.tif`, `NAME_classes.tif`, ...
const SUFFIXES: [&str; 6] = ["labels", "classes", "supervoxels", "background", "membrane", "foreground"];

/// One volume to segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// What the user named, or a file of the folder that the user named.
    pub input: PathBuf,
    /// The label file.
    pub output: PathBuf,
}

impl Job {
    /// The file beside the labels that holds `what`: `NAME_what.tif`.
    pub fn beside(&self, what: &str) -> PathBuf {
        let ending = file_of(&self.output).extension().unwrap_or_default().to_string_lossy().into_owned();
        let stem = stem(&self.output);
        let stem = stem.strip_suffix("_labels").unwrap_or(&stem);
        self.output.with_file_name(format!("{stem}_{what}.{ending}"))
    }
}

/// Whether these are more volumes than one, or may be: a folder that is no stack of planes.
pub fn are_several(inputs: &[PathBuf]) -> bool {
    inputs.len() > 1 || !inputs.iter().all(|input| is_one_volume(input))
}

/// One job an input. `output` is a file for a single input, and a folder for several or where it is one. The planes of a
/// folder become a file too, unless the output's name has no ending: then that is the name of a folder, made where it is
/// missing.
///
/// # Errors
/// Where a folder holds no volume or cannot be read, and where two inputs would become one file.
pub fn jobs(inputs: &[PathBuf], output: &Path) -> Result<Vec<Job>> {
    let several = are_several(inputs);
    let beside_planes = !several && inputs[0].is_dir() && output.extension().is_none();
    if !several && !beside_planes && !output.is_dir() && !ends_in_separator(output) {
        return Ok(vec![Job { input: inputs[0].clone(), output: output.to_owned() }]);
    }
    if beside_planes && !output.exists() {
        fs::create_dir(output).map_err(|source| Error::io(output, source))?;
    }
    if !output.is_dir() {
        return Err(Error::format(output, "no such folder", "the folder for the labels of the inputs"));
    }
    let mut taken = BTreeMap::<PathBuf, PathBuf>::new();
    let mut jobs = Vec::new();
    for input in inputs.iter().map(|input| volumes_of(input)).collect::<Result<Vec<_>>>()?.concat() {
        let output = output.join(format!("{}_labels.{}", stem(&input), ending_for(&input)));
        if let Some(other) = taken.insert(output.clone(), input.clone()) {
            let both = format!("{} and {}", other.display(), input.display());
            return Err(Error::format(output, both, "inputs of different names"));
        }
        jobs.push(Job { input, output });
    }
    Ok(jobs)
}

/// Whether an input is a file, or a folder of the single planes of one stack.
fn is_one_volume(input: &Path) -> bool {
    !input.is_dir() || io::is_stack_of_planes(input)
}

/// The input itself, or the volumes in it; what an earlier run wrote there is passed over.
fn volumes_of(input: &Path) -> Result<Vec<PathBuf>> {
    if is_one_volume(input) {
        return Ok(vec![input.to_owned()]);
    }
    let failed = |source| Error::io(input, source);
    let entries = fs::read_dir(input).map_err(failed)?;
    let paths =
        entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>().map_err(failed)?;
    let mut volumes: Vec<_> =
        paths.into_iter().filter(|path| path.is_file() && io::is_volume(path) && !is_result(path)).collect();
    volumes.sort();
    match volumes.is_empty() {
        true => Err(Error::format(input, "a folder without volumes", "a folder with volumes to segment")),
        false => Ok(volumes),
    }
}

fn is_result(path: &Path) -> bool {
    let stem = stem(path);
    SUFFIXES.iter().any(|suffix| stem.strip_suffix(suffix).is_some_and(|stem| stem.ends_with('_')))
}

/// The name of the file without its ending, without `.ome` and without a data set's name; a folder's whole name.
fn stem(path: &Path) -> String {
    if path.is_dir() {
        return path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    }
    let stem = file_of(path).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let stem = stem.replace(['*', '?'], "").trim_matches(['_', '-', '.', ' ']).to_owned();
    stem.strip_suffix(".ome").map(str::to_owned).unwrap_or(stem)
}

/// Labels keep the format of their input; TIFF's many endings become one, as do a header and its voxels in two files.
fn ending_for(input: &Path) -> String {
    let ending = file_of(input).extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    match ending.as_str() {
        "npy" | "npz" | "h5" | "hdf5" | "mha" | "nrrd" => ending,
        "mhd" => "mha".to_owned(),
        "nhdr" => "nrrd".to_owned(),
        _ => "tif".to_owned(),
    }
}

/// The path without the data set; what is no volume's name fails later, and alone.
fn file_of(path: &Path) -> PathBuf {
    io::file_of(path).unwrap_or_else(|_| path.to_owned())
}

fn ends_in_separator(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().last().is_some_and(|&byte| std::path::is_separator(byte.into()))
}

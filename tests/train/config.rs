//! `run.toml`: defaults, and what is refused.
use std::path::{Path, PathBuf};

use ndarray::Array3;
use tascan::train::config::Config;
use tascan::train::run::{Start, train};
use tempfile::TempDir;

/// Writes `text` as a configuration in a folder of its own.
fn written(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.toml");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

#[track_caller]
fn assert_refused(text: &str, reason: &str) {
    let (_folder, path) = written(text);
    let error = Config::read(&path).unwrap_err().to_string();
    assert!(error.contains(reason) && error.contains("run.toml"), "{error}");
}

#[test]
fn misspelt_and_senseless_parameters_are_refused() {
    assert_refused("[synthetic]\nsed = 3", "unknown field `sed`");
    assert_refused("step = 3\n[synthetic]", "unknown field `step`");
    assert_refused("steps = -3\n[synthetic]", "invalid value");
    assert_refused("steps = 3", "neither or both");
    assert_refused("pairs = [{ raw = 'a', labels = 'b' }]\n[synthetic]", "neither or both");
    assert_refused("pairs = [{ raw = 'a' }]", "missing field `labels`");
    assert_refused("[synthetic]\n[cuboids]\nbatch = 0", "cuboids.batch = 0");
    assert_refused("[synthetic]\n[cuboids]\nsmallest = 65", "cuboids from 65 to 64");
    assert_refused("[synthetic]\n[optimiser]\nrate = nan", "optimiser.rate = NaN");
    assert_refused("[synthetic]\n[loss]\nvariant = 'best'", "unknown variant `best`");
    assert_refused("[synthetic]\n[loss]\ncross_entropy = -1.0", "loss.cross_entropy = -1");
    assert_refused("[synthetic]\n[masks]\nmembrane_width = 0.0", "masks.membrane_width = 0");
    assert_refused("[synthetic]\nshape = [0, 4, 4]", "synthetic.shape");
    assert_refused("[synthetic]\n[augmentation]\nflip = 2.0", "probability outside 0 to 1");
    assert_refused("checkpoint_every = 0\n[synthetic]", "checkpoint_every = 0");
}

#[test]
fn defaults_are_those_of_the_paper_and_paths_are_relative_to_the_file() {
    let (folder, path) = written("pairs = [{ raw = 'a.tif', labels = '/b.tif' }]");
    let config = Config::read(&path).unwrap();
    assert_eq!((config.cuboids.batch, config.cuboids.smallest, config.cuboids.largest), (7, 56, 64));
    assert_eq!((config.optimiser.rate, config.masks.membrane_width), (1e-4, 1.5));
    assert_eq!(config.pairs[0].raw, folder.path().join("a.tif"));
    assert_eq!(config.pairs[0].labels, Path::new("/b.tif"));
    assert_eq!(config.output, folder.path().join("run"));
}

#[test]
fn what_is_written_reads_back() {
    let (_folder, path) = written("steps = 7\n[synthetic]\ncount = 3\n[validation]\nevery = 2");
    let config = Config::read(&path).unwrap();
    let (_folder, again) = written(&config.to_toml());
    assert_eq!(Config::read(&again).unwrap(), config);
}

/// The error of a run on one pair: grey values of shape `raw`, and `labels`.
fn error_of_pair(raw: Array3<f32>, labels: Array3<f32>) -> String {
    let (folder, path) = written("steps = 1\npairs = [{ raw = 'raw.npy', labels = 'labels.npy' }]");
    ndarray_npy::write_npy(folder.path().join("raw.npy"), &raw).unwrap();
    ndarray_npy::write_npy(folder.path().join("labels.npy"), &labels).unwrap();
    let error = train(&Config::read(&path).unwrap(), &Start::Fresh(None)).unwrap_err();
    assert!(!folder.path().join("run/checkpoint.safetensors").exists());
    error.to_string()
}

fn ramp(shape: [usize; 3]) -> Array3<f32> {
    Array3::from_shape_fn(shape, |(z, y, x)| (z + y + x) as f32)
}

#[test]
fn pairs_that_do_not_fit_are_refused() {
    let one_cell = Array3::from_elem([8, 8, 8], 1.0f32);
    let error = error_of_pair(ramp([8, 8, 9]), one_cell.clone());
    assert!(error.contains("labels.npy") && error.contains("[8, 8, 9]"), "{error}");
    let error = error_of_pair(ramp([8, 8, 8]), ramp([8, 8, 8]).mapv(|v| v + 0.5));
    assert!(error.contains("labels.npy"), "{error}");
    let error = error_of_pair(ramp([8, 8, 8]), Array3::zeros([8, 8, 8]));
    assert!(error.contains("labels.npy") && error.contains("no cell"), "{error}");
    let error = error_of_pair(Array3::zeros([8, 8, 8]), one_cell.clone());
    assert!(error.contains("raw.npy") && error.contains("every voxel is 0"), "{error}");
    let mut holed = ramp([8, 8, 8]);
    holed[[1, 2, 3]] = f32::NAN;
    let error = error_of_pair(holed, one_cell);
    assert!(error.contains("raw.npy") && error.contains("NaN"), "{error}");
}

#[test]
fn a_missing_file_is_named() {
    let (_folder, path) = written("pairs = [{ raw = 'nowhere.tif', labels = 'labels.npy' }]");
    let error = train(&Config::read(&path).unwrap(), &Start::Fresh(None)).unwrap_err();
    assert!(error.to_string().contains("nowhere.tif"), "{error}");
}

#[test]
fn an_unusable_model_to_begin_with_is_refused() {
    let (folder, path) = written("[synthetic]\nshape = [8, 8, 8]");
    let model = folder.path().join("model.safetensors");
    std::fs::write(&model, b"no model at all").unwrap();
    let error = train(&Config::read(&path).unwrap(), &Start::Fresh(Some(model))).unwrap_err();
    assert!(error.to_string().contains("model.safetensors"), "{error}");
}

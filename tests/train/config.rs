//! `run.toml`: defaults, and what is refused.
use std::path::{Path, PathBuf};

use ndarray::Array3;
use tascan::device::Device;
use tascan::train::config::Config;
use tascan::train::run::{Start, train};
use tempfile::TempDir;

use crate::compare::assert_close;

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
    assert_refused("[synthetic]\nshapes = ['nowhere.tif']", "nowhere.tif");
    assert_refused("[synthetic]\nshapes_share = 1.5", "synthetic.shapes_share = 1.5");
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
    // A run of a version without the key goes on.
    assert!(!config.to_toml().contains("ignore"));
    let (_folder, path) = written("[synthetic]\n[masks]\nignore = [255, -2]");
    let config = Config::read(&path).unwrap();
    assert_eq!(config.masks.ignore, [255, -2]);
    let (_folder, again) = written(&config.to_toml());
    assert_eq!(Config::read(&again).unwrap(), config);
}

/// The error of a run on one pair: grey values of shape `raw`, and `labels`.
fn error_of_pair(raw: Array3<f32>, labels: Array3<f32>) -> String {
    error_of_pair_with("", raw, labels)
}

/// As [`error_of_pair`], with more parameters.
fn error_of_pair_with(more: &str, raw: Array3<f32>, labels: Array3<f32>) -> String {
    let text = format!("steps = 1\npairs = [{{ raw = 'raw.npy', labels = 'labels.npy' }}]\n{more}");
    let (folder, path) = written(&text);
    ndarray_npy::write_npy(folder.path().join("raw.npy"), &raw).unwrap();
    ndarray_npy::write_npy(folder.path().join("labels.npy"), &labels).unwrap();
    let error = train(&Config::read(&path).unwrap(), &Start::Fresh(None), &Device::Cpu).unwrap_err();
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
fn labels_without_a_voxel_that_counts_are_refused() {
    let all = |value| Array3::from_elem([8, 8, 8], value);
    let error = error_of_pair(ramp([8, 8, 8]), all(-1.0));
    assert!(error.contains("labels.npy") && error.contains("that is not left out"), "{error}");
    let error = error_of_pair_with("masks.ignore = [7]", ramp([8, 8, 8]), all(7.0));
    assert!(error.contains("labels.npy") && error.contains("that is not left out"), "{error}");
    let error = error_of_pair(ramp([8, 8, 8]), all(-2.0));
    assert!(error.contains("labels.npy") && error.contains("masks.ignore = [-2]"), "{error}");
}

/// The right third has numbers that are left out, -1 and one that is named.
#[test]
fn partly_annotated_pairs_train_and_are_validated() {
    let text = "steps = 2\npairs = [{ raw = 'raw.npy', labels = 'labels.npy' }]
         cuboids = { batch = 2, smallest = 8, largest = 9 }
         masks.ignore = [99]
         [validation]\nevery = 1\npairs = [{ raw = 'raw.npy', labels = 'labels.npy' }]\nmin_cell_size = 10";
    let (folder, path) = written(text);
    let labels = Array3::from_shape_fn([12, 12, 12], |(_, y, x)| match x {
        0..8 => 1 + i32::from(y > 5),
        _ => 99 - 100 * i32::from(y % 2 == 0),
    });
    ndarray_npy::write_npy(folder.path().join("raw.npy"), &ramp([12, 12, 12])).unwrap();
    ndarray_npy::write_npy(folder.path().join("labels.npy"), &labels).unwrap();
    let model = train(&Config::read(&path).unwrap(), &Start::Fresh(None), &Device::Cpu).unwrap();
    let weights = tascan::weights::Weights::load(model).unwrap();
    assert!(weights.metadata.other.contains_key("validation_dsc"));
    assert!(weights.values.iter().all(|value| value.is_finite()));
}

#[test]
fn pairs_train_and_are_validated() {
    let (folder, path) = written(
        "steps = 2\npairs = [{ raw = 'raw.npy', labels = 'labels.npy' }]\ncuboids = { batch = 2, smallest = 8, largest = 9 }
         [validation]\nevery = 1\npairs = [{ raw = 'raw.npy', labels = 'labels.npy' }]\nmin_cell_size = 10",
    );
    let halves = Array3::from_shape_fn([12, 12, 12], |(_, _, x)| 1 + u32::from(x > 5));
    ndarray_npy::write_npy(folder.path().join("raw.npy"), &ramp([12, 12, 12])).unwrap();
    ndarray_npy::write_npy(folder.path().join("labels.npy"), &halves).unwrap();
    let model = train(&Config::read(&path).unwrap(), &Start::Fresh(None), &Device::Cpu).unwrap();
    let metadata = tascan::weights::Weights::load(model).unwrap().metadata;
    assert_eq!(metadata.training_data.as_deref(), Some("pairs of files: 1"));
    assert!(metadata.other.contains_key("validation_dsc"));
    let curve = png::Decoder::new(std::io::BufReader::new(
        std::fs::File::open(folder.path().join("run/loss.png")).unwrap(),
    ));
    let info = curve.read_info().unwrap().info().size();
    assert_eq!(info, (900, 520));
}

#[test]
fn an_output_folder_that_cannot_be_made_is_named() {
    let (folder, path) = written("output = 'file/run'\n[synthetic]");
    std::fs::write(folder.path().join("file"), b"no folder").unwrap();
    let error =
        train(&Config::read(&path).unwrap(), &Start::Fresh(None), &Device::Cpu).unwrap_err().to_string();
    assert!(error.contains("file/run"), "{error}");
}

#[test]
fn the_rate_rises_then_falls_along_half_a_cosine() {
    let (_folder, path) =
        written("[synthetic]\n[optimiser]\nrate = 0.5\nschedule = 'cosine'\nwarm_up = 4\nfinal_rate = 0.1");
    let optimiser = Config::read(&path).unwrap().optimiser;
    let rates: Vec<f32> = [0, 1, 3, 4, 54, 104, 200].map(|step| optimiser.at(step, 104) as f32).into();
    assert_close(&rates, &[0.125, 0.25, 0.5, 0.5, 0.3, 0.1, 0.1], 1e-7);
    let constant = tascan::train::rate::Optimiser::default();
    assert_eq!([0, 999].map(|step| constant.at(step, 1000)), [1e-4, 1e-4]);
}

#[test]
fn the_average_forgets_its_start_and_without_decay_is_the_last_step() {
    let mut optimiser = tascan::train::rate::Optimiser::default();
    let mut average = [5.0f32, -3.0];
    optimiser.average(&mut average, &[1.5, 2.5], 1);
    assert_eq!(average, [1.5, 2.5]);
    optimiser.average = 0.9;
    (1..=200).for_each(|step| optimiser.average(&mut average, &[7.0, 8.0], step));
    assert_close(&average, &[7.0, 8.0], 1e-5);
}

#[test]
fn a_missing_file_is_named() {
    let (_folder, path) = written("pairs = [{ raw = 'nowhere.tif', labels = 'labels.npy' }]");
    let error = train(&Config::read(&path).unwrap(), &Start::Fresh(None), &Device::Cpu).unwrap_err();
    assert!(error.to_string().contains("nowhere.tif"), "{error}");
}

#[test]
fn an_unusable_model_to_begin_with_is_refused() {
    let (folder, path) = written("[synthetic]\nshape = [8, 8, 8]");
    let model = folder.path().join("model.safetensors");
    std::fs::write(&model, b"no model at all").unwrap();
    let error = train(&Config::read(&path).unwrap(), &Start::Fresh(Some(model)), &Device::Cpu).unwrap_err();
    assert!(error.to_string().contains("model.safetensors"), "{error}");
}

//! What users of such programs met, from file to cells, and the choice of channels and planes on the command line. The
//! readers' side of these reports is in tests/files.
use std::fs;
use std::path::Path;

use ndarray::{Array3, Array4, Axis, stack};
use serde_json::Value;
use tascan::weights::Weights;

use super::sandbox::Sandbox;
use crate::oracle;

/// The scores of labels against the true cells of a report, cells of more than 200 voxels.
fn scores(sandbox: &Sandbox, labels: &str, truth: &Path) -> Value {
    let line = format!("evaluate {labels} {}:labels --min-cell-size 200 --json", truth.display());
    serde_json::from_str(&sandbox.succeeds(&line)).unwrap()
}

/// Found cells, true cells and false cells.
fn counts(scores: &Value) -> [u64; 3] {
    let at_half = &scores["detection"][0];
    [&at_half["found_cells"], &scores["truth_cells"], &scores["false_cells"]].map(|n| n.as_u64().unwrap())
}

#[test]
fn reported_files_become_cells() {
    let Some(folder) = oracle::shared("reports/files") else { return };
    let sandbox = Sandbox::new();
    let file = |name: &str| folder.join(name).display().to_string();
    // Seven cells in the dark; unsigned numbers stored as signed ones; predictions beside raw and labels.
    sandbox.succeeds(&format!("segment {} -o s03.tif", file("s03_very_sparse.tif")));
    assert_eq!(counts(&scores(&sandbox, "s03.tif", &folder.join("ref/s03_truth.npz"))), [7, 7, 0]);
    sandbox.succeeds(&format!("segment {}:t00000/s00/0/cells -o s18.tif", file("s18_bdv.h5")));
    let [found, cells, wrong] = counts(&scores(&sandbox, "s18.tif", &folder.join("ref/s00_truth.npz")));
    assert!(cells == 132 && found >= 125 && wrong <= 8, "{found} of {cells} found, {wrong} false");
    sandbox.succeeds(&format!("cluster --boundary {} -o c03.tif", file("c03_both.h5")));
    let [found, cells, wrong] = counts(&scores(&sandbox, "c03.tif", &folder.join("ref/c_truth.npz")));
    assert!(cells == 132 && found >= 128 && wrong <= 4, "{found} of {cells} found, {wrong} false");
    // Nothing but noise has no cell.
    sandbox.fails(&format!("segment {} -o s14.tif", file("s14_nothing.tif")), &["no cell found"]);
}

#[test]
fn a_folder_of_planes_is_segmented_as_one_volume() {
    let Some(folder) = oracle::shared("reports/files/s16_slices") else { return };
    let sandbox = Sandbox::new();
    for (output, labels) in [("planes.tif", "planes.tif"), ("made", "made/s16_slices_labels.tif")] {
        sandbox.succeeds(&format!("segment {} -o {output}", folder.display()));
        assert_eq!(sandbox.labels(labels).dim().0, 12, "{output}");
    }
    assert_eq!(sandbox.labels("planes.tif"), sandbox.labels("made/s16_slices_labels.tif"));
}

/// Four axes, c z y x: a tissue and its negative.
fn two_channels(sandbox: &Sandbox) -> Array3<f32> {
    sandbox.tissue("tissue.npy");
    let membrane: Array3<f32> = ndarray_npy::read_npy(sandbox.path("tissue.npy")).unwrap();
    let channels: Array4<f32> = stack![Axis(0), membrane.mapv(|v| -v), membrane];
    ndarray_npy::write_npy(sandbox.path("channels.npy"), &channels).unwrap();
    membrane
}

#[test]
fn every_command_reads_the_chosen_channel() {
    let sandbox = Sandbox::new();
    let membrane = two_channels(&sandbox);
    sandbox.fails("segment channels.npy -o labels.tif", &["2 channels", "--channel"]);
    sandbox.fails("convert channels.npy copy.npy --channel 2", &["no channel 2"]);
    sandbox.succeeds("convert channels.npy copy.npy --channel 1");
    assert_eq!(ndarray_npy::read_npy::<_, Array3<f32>>(sandbox.path("copy.npy")).unwrap(), membrane);
    let about: Value =
        serde_json::from_str(&sandbox.succeeds("info --json channels.npy --channel 1")).unwrap();
    assert_eq!(about["shape"], serde_json::json!([24, 56, 48]));
    sandbox.succeeds("segment channels.npy -o chosen.tif --channel 1");
    sandbox.succeeds("segment tissue.npy -o alone.tif");
    assert_eq!(sandbox.labels("chosen.tif"), sandbox.labels("alone.tif"));
    let boundary =
        |input: &str, output: &str| sandbox.succeeds(&format!("cluster --boundary {input} -o {output}"));
    let scaled = membrane.mapv(|v| (v / 65535.0).clamp(0.0, 1.0));
    ndarray_npy::write_npy(sandbox.path("map.npy"), &scaled).unwrap();
    let maps: Array4<f32> = stack![Axis(0), scaled.mapv(|v| 1.0 - v), scaled];
    ndarray_npy::write_npy(sandbox.path("maps.npy"), &maps).unwrap();
    boundary("map.npy", "map.tif");
    boundary("maps.npy --channel 1", "maps.tif");
    assert_eq!(sandbox.labels("map.tif"), sandbox.labels("maps.tif"));
}

#[test]
fn training_reads_the_chosen_channel() {
    let sandbox = Sandbox::new();
    two_channels(&sandbox);
    sandbox.succeeds("segment tissue.npy -o truth.tif");
    let config = |raw: &str| {
        format!(
            "steps = 1\n[[pairs]]\nraw = \"{raw}\"\nlabels = \"truth.tif\"\n[cuboids]\nbatch = 1\nsmallest = 16\nlargest = 16\n\
             [validation]\nevery = 0\n"
        )
    };
    fs::write(sandbox.path("one.toml"), config("tissue.npy")).unwrap();
    fs::write(sandbox.path("two.toml"), config("channels.npy")).unwrap();
    sandbox.succeeds("train --config one.toml --output one --device cpu");
    sandbox.succeeds("train --config two.toml --output two --device cpu --channel 1");
    let weights = |run: &str| Weights::load(sandbox.path(run).join("model.safetensors")).unwrap().values;
    assert!(weights("one") == weights("two"), "one step on the same voxels");
    assert!(fs::read_to_string(sandbox.path("two/run.toml")).unwrap().contains("channel = 1"));
    let output = sandbox.run("train --config two.toml --output three --device cpu");
    sandbox.has_failed(&output, &["2 channels", "--channel"]);
}

#[test]
fn other_kinds_of_files_are_answered_with_the_way_out() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("store.zarr")).unwrap();
    let files = [
        ("store.zarr", "copy the array to .h5"),
        ("set.companion.ome", "the OME-TIFF that this file describes"),
        ("set.xml", "the .h5 file that this file describes"),
        ("scan.czi", "save the file as one with Fiji"),
    ];
    for (file, way_out) in files {
        sandbox.fails(&format!("info {file}"), &[file, way_out]);
    }
}

#[test]
fn info_knows_every_kind_of_file() {
    let sandbox = Sandbox::new();
    let kinds = [
        ("imagej_u8.tif", "ImageJ TIFF"),
        ("ome_u16.ome.tif", "OME-TIFF"),
        ("bigtiff_u16.tif", "TIFF (BigTIFF)"),
        ("h5py_only.h5", "HDF5"),
        ("h5_bdv.h5", "HDF5"),
        ("imaris.ims", "HDF5"),
        ("u16.npy", "NPY"),
        ("stored.npz", "NPZ"),
        ("itk_u16.mha", "MetaImage"),
        ("itk_detached.mhd", "MetaImage"),
        ("pynrrd_u16.nrrd", "NRRD"),
        ("itk_u32.nhdr", "NRRD"),
    ];
    for (file, format) in kinds {
        let lines =
            sandbox.succeeds(&format!("info --json {}", oracle::data(&format!("files/{file}")).display()));
        let about: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
        assert_eq!(
            (&about["format"], &about["shape"]),
            (&format.into(), &serde_json::json!([3, 4, 5])),
            "{file}"
        );
    }
}

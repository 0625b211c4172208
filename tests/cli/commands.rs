//! What the subcommands do with good input.
use std::fs;
use std::process::Stdio;

use ndarray::Array3;
use serde_json::Value;
use tascan::io::{self, Role};
use tascan::ops::pockets;
use tascan::volume::{Dtype, Spacing};

use super::sandbox::Sandbox;

fn json(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))
}

#[test]
fn segment_writes_labels_with_the_voxel_size_and_reports_them() {
    let sandbox = Sandbox::new();
    sandbox.tissue("raw.tif");
    let line = "segment raw.tif -o cells.tif --spacing 0.5,0.2,0.2 --json";
    let report = json(sandbox.succeeds(line).trim());
    let volume = io::open(&sandbox.path("cells.tif"), Role::Labels).unwrap();
    let labels = volume.to_labels().unwrap();
    assert_eq!(volume.spacing(), Some(Spacing([0.5, 0.2, 0.2])));
    assert_eq!(report["input"], "raw.tif");
    assert_eq!(report["output"], "cells.tif");
    assert_eq!(report["shape"], serde_json::json!([24, 56, 48]));
    assert_eq!(report["spacing"], serde_json::json!([0.5, 0.2, 0.2]));
    // Too few voxels to be reduced unasked.
    assert_eq!(report["scale"], serde_json::json!([1.0, 1.0, 1.0]));
    assert_eq!(report["cells"].as_u64().unwrap(), u64::from(*labels.iter().max().unwrap()));
    assert!(report["cells"].as_u64().unwrap() > 1);
    let stages = report["stages"].as_array().unwrap();
    assert!(
        stages.iter().any(|stage| stage["name"] == "network" && stage["seconds"].as_f64().unwrap() > 0.0)
    );
    assert!(report["peak_memory_bytes"].as_u64().unwrap() > (24 * 56 * 48));
}

#[test]
fn segment_gives_the_same_bytes_for_every_block_and_thread_count() {
    let sandbox = Sandbox::new();
    sandbox.tissue("raw.tif");
    let labels = |options: &str| {
        sandbox.succeeds(&format!("segment raw.tif -o labels.tif {options}"));
        fs::read(sandbox.path("labels.tif")).unwrap()
    };
    let first = labels("");
    for options in ["--block 8", "--block 16,24,40", "--threads 1", "--threads 3 --block 24", "--device cpu"]
    {
        assert!(first == labels(options), "{options}");
    }
}

#[test]
fn segment_has_a_grid_for_the_network_alone() {
    let sandbox = Sandbox::new();
    sandbox.tissue("raw.tif");
    let line = "segment raw.tif -o t_labels.tif --scale 2 --spacing 0.5,0.2,0.2 --save-classes \
        --save-probabilities --json";
    let report = json(sandbox.succeeds(line).trim());
    // The planes are further apart than two times two voxels: three of them get four points.
    assert_eq!(report["scale"], serde_json::json!([0.75, 2.0, 2.0]));
    for what in ["labels", "classes", "membrane"] {
        let volume = io::open(&sandbox.path(&format!("t_{what}.tif")), Role::Raw).unwrap();
        assert_eq!((volume.shape(), volume.spacing()), ([24, 56, 48], Some(Spacing([0.5, 0.2, 0.2]))));
    }
    let output = sandbox.run("segment raw.tif -o labels.tif --scale 3");
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("scale 3 x 3 x 3"), "{message}");
    let help = sandbox.succeeds("segment --help");
    assert!(help.contains("--scale <SCALE>") && help.contains("[default: auto]"), "{help}");
}

#[test]
fn segment_gives_the_same_bytes_at_a_scale_for_every_block_and_thread_count() {
    let sandbox = Sandbox::new();
    sandbox.tissue("raw.tif");
    let labels = |options: &str| {
        sandbox.succeeds(&format!("segment raw.tif -o labels.tif --scale 2 --tta {options}"));
        fs::read(sandbox.path("labels.tif")).unwrap()
    };
    let first = labels("");
    for options in ["--block 8", "--threads 1", "--threads 3 --block 8,16,24"] {
        assert!(first == labels(options), "{options}");
    }
}

#[test]
fn segment_saves_what_led_to_the_cells() {
    let sandbox = Sandbox::new();
    sandbox.tissue("raw.tif");
    sandbox.succeeds(
        "segment raw.tif -o t_labels.tif --save-classes --save-probabilities --save-supervoxels --keep-debris",
    );
    let [labels, classes, supervoxels] =
        ["labels", "classes", "supervoxels"].map(|what| sandbox.labels(&format!("t_{what}.tif")));
    let [background, membrane, foreground] = ["background", "membrane", "foreground"]
        .map(|what| io::open(&sandbox.path(&format!("t_{what}.tif")), Role::Raw).unwrap().to_f32());
    let filled = classes.mapv(|class| class as u8);
    let filled = pockets::fill(filled.view());
    for (at, &class) in classes.indexed_iter() {
        let p = [background[at], membrane[at], foreground[at]];
        assert!((p.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{p:?} at {at:?}");
        assert_eq!(p[class as usize], p.into_iter().fold(0.0, f32::max), "class {class} of {p:?} at {at:?}");
        let class = filled[at];
        assert_eq!(labels[at] == 0, class == 0, "label {} in class {class} at {at:?}", labels[at]);
        assert!(supervoxels[at] == 0 || class == 2, "a super voxel in class {class} at {at:?}");
    }
    assert!(supervoxels.iter().max() >= labels.iter().max());
}

#[test]
fn segment_accepts_a_volume_smaller_than_the_networks_grid() {
    let sandbox = Sandbox::new();
    sandbox.write("tiny.tif", Array3::from_shape_fn((3, 5, 7), |(z, y, x)| (z + y + x) as u8).view());
    sandbox.model_of_one_class("model.safetensors", 2);
    sandbox.succeeds("segment tiny.tif -o labels.tif --model model.safetensors --min-cell-size 1");
    assert_eq!(sandbox.labels("labels.tif"), Array3::<u32>::ones((3, 5, 7)));
    sandbox.write("thin.npy", Array3::from_shape_fn((1, 1, 9), |(_, _, x)| x as f32).view());
    sandbox.succeeds("segment thin.npy -o labels.npy --model model.safetensors --min-cell-size 1 --tta");
    assert_eq!(sandbox.labels("labels.npy"), Array3::<u32>::ones((1, 1, 9)));
}

#[test]
fn segment_goes_on_after_a_bad_input_and_fails_in_the_end() {
    let sandbox = Sandbox::new();
    sandbox.tissue("a.tif");
    fs::write(sandbox.path("b.tif"), "not a volume").unwrap();
    sandbox.tissue("c.ome.tif");
    fs::create_dir(sandbox.path("out")).unwrap();
    let output = sandbox.run("segment a.tif b.tif c.ome.tif -o out --json");
    sandbox.has_failed(&output, &["b.tif", "no TIFF signature"]);
    let reports: Vec<_> = String::from_utf8(output.stdout).unwrap().lines().map(json).collect();
    assert_eq!(reports.len(), 3);
    assert!(reports[1]["error"].as_str().unwrap().contains("no TIFF signature"));
    assert_eq!(reports[0]["cells"], reports[2]["cells"]);
    let mut written: Vec<_> =
        fs::read_dir(sandbox.path("out")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    written.sort();
    assert_eq!(written, ["a_labels.tif", "c_labels.tif"]);
}

#[test]
fn segment_takes_the_volumes_of_a_folder_and_not_its_own_results() {
    let sandbox = Sandbox::new();
    sandbox.tissue("one.tif");
    fs::write(sandbox.path("notes.txt"), "about the sample").unwrap();
    for _ in 0..2 {
        sandbox.succeeds("segment . -o . --save-classes");
        let names: Vec<_> = sandbox.files().keys().map(|path| path.file_name().unwrap().to_owned()).collect();
        assert_eq!(names, ["notes.txt", "one.tif", "one_classes.tif", "one_labels.tif"]);
    }
    fs::create_dir(sandbox.path("bare")).unwrap();
    sandbox.fails("segment bare -o .", &["bare", "without volumes"]);
    sandbox.fails("segment one.tif one.tif -o .", &["one_labels.tif", "different names"]);
}

#[test]
fn labels_are_in_the_format_that_their_name_tells() {
    let sandbox = Sandbox::new();
    sandbox.tissue("raw.h5");
    sandbox.succeeds("segment raw.h5:raw -o labels.tif");
    sandbox.succeeds("segment raw.h5 -o labels.h5:cells");
    sandbox.succeeds("segment raw.h5 -o labels.npz");
    let expected = sandbox.labels("labels.tif");
    assert_eq!(sandbox.labels("labels.h5:cells"), expected);
    assert_eq!(sandbox.labels("labels.npz"), expected);
    sandbox.fails("segment raw.h5 -o raw.h5:label", &["raw.h5", "replace the input"]);
    sandbox.fails("segment raw.h5:grey -o labels.tif", &["raw.h5", "grey"]);
}

#[test]
fn labels_of_several_inputs_are_in_the_formats_of_these() {
    let sandbox = Sandbox::new();
    sandbox.model_of_one_class("model.safetensors", 2);
    let voxels = Array3::from_shape_fn((3, 5, 7), |(z, y, x)| (z * 35 + y * 7 + x) as u8);
    for name in ["a.mha", "b.nrrd", "c.npy"] {
        sandbox.write(name, voxels.view());
    }
    fs::write(sandbox.path("d.raw"), voxels.as_slice().unwrap()).unwrap();
    let header = "NDims = 3\nDimSize = 7 5 3\nElementType = MET_UCHAR\nElementDataFile = d.raw\n";
    fs::write(sandbox.path("d.mhd"), header).unwrap();
    fs::create_dir(sandbox.path("out")).unwrap();
    sandbox.succeeds("segment a.mha b.nrrd c.npy d.mhd -o out --model model.safetensors --min-cell-size 1");
    for name in ["a_labels.mha", "b_labels.nrrd", "c_labels.npy", "d_labels.mha"] {
        assert_eq!(sandbox.labels(&format!("out/{name}")), Array3::<u32>::ones((3, 5, 7)), "{name}");
    }
}

#[test]
fn cluster_gives_the_cells_that_segment_gives() {
    let sandbox = Sandbox::new();
    sandbox.tissue("raw.tif");
    sandbox
        .succeeds("segment raw.tif -o t_labels.tif --save-classes --save-supervoxels --spacing 0.4,0.2,0.2");
    let report =
        json(&sandbox.succeeds("cluster t_classes.tif -o again.tif --save-supervoxels s.tif --json"));
    assert_eq!(sandbox.labels("again.tif"), sandbox.labels("t_labels.tif"));
    assert_eq!(sandbox.labels("s.tif"), sandbox.labels("t_supervoxels.tif"));
    assert_eq!(report["spacing"], serde_json::json!([0.4, 0.2, 0.2]));
    assert_eq!(report["cells"].as_u64(), sandbox.labels("again.tif").iter().max().map(|&cells| cells.into()));
}

#[test]
fn messages_are_plain_lines_and_quiet_has_none() {
    let sandbox = Sandbox::new();
    sandbox.tissue("raw.tif");
    let stderr = |options: &str| {
        let output = sandbox.run(&format!("segment raw.tif -o labels.tif {options}"));
        assert!(output.status.success() && output.stdout.is_empty());
        String::from_utf8(output.stderr).unwrap()
    };
    let usual = stderr("");
    assert!(usual.starts_with("raw.tif: ") && usual.contains(" cells -> labels.tif"), "{usual}");
    assert!(!usual.contains('\u{1b}') && !usual.contains('\r'), "{usual}");
    assert!(stderr("-v").contains("network"));
    assert_eq!(stderr("-q"), "");
}

#[test]
fn evaluate_prints_the_scores_for_people_and_machines() {
    let sandbox = Sandbox::new();
    let truth = Array3::from_shape_fn((4, 6, 8), |(_, y, x)| (1 + y / 3 * 2 + x / 4) as u16);
    let halves = Array3::from_shape_fn((4, 6, 8), |(z, y, x)| (1 + y / 3 * 2 + x / 4 + z / 2 * 4) as u16);
    sandbox.write("truth.tif", truth.view());
    sandbox.write("halves.tif", halves.view());
    let scores = json(&sandbox.succeeds("evaluate halves.tif truth.tif --json"));
    assert_eq!((scores["truth_cells"].as_u64(), scores["predicted_cells"].as_u64()), (Some(4), Some(8)));
    assert_eq!((scores["mean_ji"].as_f64(), scores["voi_split"].as_f64()), (Some(0.5), Some(1.0)));
    assert_eq!(scores["matching"], "one-to-one");
    let best = json(&sandbox.succeeds("evaluate halves.tif truth.tif --json --matching best-iou"));
    assert_eq!(best["matching"], "best-iou");
    let text = sandbox.succeeds("evaluate truth.tif truth.tif");
    assert!(
        text.contains("missed, false         0, 0") && text.contains("mean JI, DSC          1.0000"),
        "{text}"
    );
    sandbox.fails("evaluate halves.tif truth.tif --min-cell-size 48", &["truth.tif", "more than 48"]);
}

#[test]
fn a_reader_that_stops_early_is_no_error() {
    let sandbox = Sandbox::new();
    sandbox.write("truth.tif", Array3::<u16>::ones((2, 3, 4)).view());
    let mut command = sandbox.command();
    command.args(["evaluate", "truth.tif", "truth.tif"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut program = command.spawn().unwrap();
    drop(program.stdout.take());
    let output = program.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn demo_shows_everything() {
    let sandbox = Sandbox::new();
    let text = sandbox.succeeds("demo");
    for word in ["96 x 160 x 160", "mean JI, DSC", "adapted Rand error", "network", "nearest cell"] {
        assert!(text.contains(word), "{word:?} is not in {text}");
    }
    let raw = io::open(&sandbox.path("tascan-demo/raw.tif"), Role::Raw).unwrap();
    let labels = io::open(&sandbox.path("tascan-demo/labels.tif"), Role::Labels).unwrap();
    assert_eq!((raw.shape(), labels.shape()), ([96, 160, 160], [96, 160, 160]));
    assert!(raw.spacing().is_some() && raw.spacing() == labels.spacing());
    assert_eq!((raw.dtype(), labels.dtype()), (Dtype::U8, Dtype::U16));
    let picture = fs::File::open(sandbox.path("tascan-demo/overview.png")).unwrap();
    let decoder = png::Decoder::new(std::io::BufReader::new(picture));
    assert!(decoder.read_info().unwrap().info().width > 600);
}

//! Truth of which not all voxels count, labels that look like masks, and volumes without a cell.
use std::fs;

use ndarray::{Array3, ArrayView3};
use ndarray_npy::WritableElement;
use serde_json::Value;

use super::sandbox::Sandbox;
use crate::oracle;

const SHAPE: [usize; 3] = [4, 6, 8];

/// Two cells of 48 voxels on each side; from x 4 on nobody annotated, where `value` stands.
fn annotated<T: From<i8>>(value: i8) -> Array3<T> {
    Array3::from_shape_fn(SHAPE, |(_, y, x)| T::from(if x >= 4 { value } else { 1 + (y >= 3) as i8 }))
}

/// The same cells cut in planes 0 to 1 and 2 to 3, and one that lies where nobody annotated.
fn predicted() -> Array3<u16> {
    Array3::from_shape_fn(SHAPE, |(z, y, x)| if x >= 5 { 9 } else { (1 + y / 3 + z / 2 * 2) as u16 })
}

fn npy<T: WritableElement>(sandbox: &Sandbox, name: &str, voxels: ArrayView3<T>) {
    ndarray_npy::write_npy(sandbox.path(name), &voxels).unwrap();
}

fn scores(sandbox: &Sandbox, line: &str) -> Value {
    serde_json::from_str(&sandbox.succeeds(line)).unwrap()
}

#[test]
fn evaluate_leaves_out_what_is_minus_one_in_any_type() {
    let sandbox = Sandbox::new();
    npy(&sandbox, "prediction.npy", predicted().view());
    npy(&sandbox, "i8.npy", annotated::<i8>(-1).view());
    npy(&sandbox, "i16.npy", annotated::<i16>(-1).view());
    npy(&sandbox, "i32.npy", annotated::<i32>(-1).view());
    npy(&sandbox, "i64.npy", annotated::<i64>(-1).view());
    npy(&sandbox, "f32.npy", annotated::<f32>(-1).view());
    npy(&sandbox, "f64.npy", annotated::<f64>(-1).view());
    for file in ["i8", "i16", "i32", "i64", "f32", "f64"] {
        let found = scores(&sandbox, &format!("evaluate prediction.npy {file}.npy --json"));
        assert_eq!(found["ignored_fraction"], 0.5, "{file}");
        // Each of two cells is cut in halves, and nothing else counts.
        let cells =
            ["truth_cells", "predicted_cells", "false_cells"].map(|name| found[name].as_u64().unwrap());
        assert_eq!(cells, [2, 4, 2], "{file}");
        assert_eq!(
            (found["mean_ji"].as_f64(), found["voi_split"].as_f64()),
            (Some(0.5), Some(1.0)),
            "{file}"
        );
    }
    let text = sandbox.succeeds("evaluate prediction.npy i8.npy");
    assert!(text.contains("left out              0.5000 of the voxels"), "{text}");
    sandbox.fails("evaluate i8.npy i8.npy", &["i8.npy", "-1 at voxel z 0, y 0, x 4", "0 to 4294967295"]);
}

#[test]
fn evaluate_leaves_out_the_numbers_that_are_named() {
    let sandbox = Sandbox::new();
    npy(&sandbox, "prediction.npy", predicted().view());
    let expected = {
        npy(&sandbox, "truth.npy", annotated::<i16>(-1).view());
        scores(&sandbox, "evaluate prediction.npy truth.npy --json")
    };
    let mut marked = annotated::<i32>(100);
    npy(&sandbox, "marked.npy", marked.view());
    assert_eq!(scores(&sandbox, "evaluate prediction.npy marked.npy --json")["ignored_fraction"], 0.0);
    assert_eq!(scores(&sandbox, "evaluate prediction.npy marked.npy --json --ignore 100"), expected);
    marked.slice_mut(ndarray::s![2.., .., 6..]).fill(-7);
    marked.slice_mut(ndarray::s![..2, .., 6..]).fill(-1);
    npy(&sandbox, "marked.npy", marked.view());
    let words = ["marked.npy", "-7 at voxel z 2, y 0, x 6", "--ignore -7"];
    sandbox.fails("evaluate prediction.npy marked.npy --ignore 100", &words);
    for options in ["--ignore 100,-7", "--ignore -7 --ignore 100", "--ignore=-7,100"] {
        assert_eq!(
            scores(&sandbox, &format!("evaluate prediction.npy marked.npy --json {options}")),
            expected
        );
    }
    let all = "evaluate prediction.npy marked.npy --ignore 1,2,100,-7";
    sandbox.fails(all, &["marked.npy", "every voxel of the truth is left out"]);
    let warned = sandbox.run("evaluate prediction.npy marked.npy --ignore 100,-7,255");
    let message = String::from_utf8_lossy(&warned.stderr).into_owned();
    assert!(warned.status.success() && message.contains("no voxel is 255"), "{message}");
    assert_eq!(sandbox.run("evaluate prediction.npy marked.npy --ignore some").status.code(), Some(2));
}

#[test]
fn evaluate_says_where_labels_are_a_mask_and_where_they_were_interpolated() {
    let sandbox = Sandbox::new();
    let mask = Array3::from_shape_fn(SHAPE, |(_, y, x)| u8::from(y % 3 != 0 && x % 3 != 0));
    npy(&sandbox, "mask.npy", mask.view());
    npy(&sandbox, "whole.npy", mask.mapv(|_| 3u8).view());
    let warnings = |line: &str| {
        let output = sandbox.run(line);
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    // Bars along z: two along y by three along x.
    let of_truth = warnings("evaluate whole.npy mask.npy");
    assert!(of_truth.contains("mask.npy: the truth has one label in 6 separate pieces"), "{of_truth}");
    assert!(of_truth.contains("skimage.measure.label"), "{of_truth}");
    let of_prediction = warnings("evaluate mask.npy whole.npy");
    assert!(of_prediction.contains("the prediction has one label in 6 separate pieces"), "{of_prediction}");
    assert_eq!(warnings("evaluate whole.npy whole.npy"), "");
    npy(&sandbox, "between.npy", mask.mapv(|label| f32::from(label) / 2.0).view());
    for line in ["evaluate whole.npy between.npy", "evaluate between.npy whole.npy"] {
        sandbox.fails(line, &["between.npy", "0.5 at voxel z 0, y 1, x 1", "nearest neighbour"]);
    }
}

#[test]
fn evaluate_takes_what_users_have() {
    let files = ["e_truth", "e08_ignored", "e03_binary_truth"]
        .map(|name| oracle::shared(&format!("reports/files/{name}.npy")));
    let [Some(prediction), Some(sparse), Some(mask)] = files else { return };
    let sandbox = Sandbox::new();
    let evaluate = |truth: &std::path::Path| {
        sandbox.run(&format!("evaluate {} {} --json", prediction.display(), truth.display()))
    };
    let found = evaluate(&sparse);
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
    let found: Value = serde_json::from_slice(&found.stdout).unwrap();
    let truth: Array3<i64> = ndarray_npy::read_npy(&sparse).unwrap();
    let left_out = truth.iter().filter(|&&label| label == -1).count() as f64 / truth.len() as f64;
    assert!(left_out > 0.0 && (found["ignored_fraction"].as_f64().unwrap() - left_out).abs() < 1e-12);
    // The annotated part is the truth that is the prediction here.
    assert_eq!((found["mean_ji"].as_f64(), found["false_cells"].as_u64()), (Some(1.0), Some(0)));
    let message = String::from_utf8(evaluate(&mask).stderr).unwrap();
    assert!(message.contains("one label in") && message.contains("is it a mask?"), "{message}");
}

/// A folder with a volume of each kind that a model calls background everywhere.
fn two_volumes(sandbox: &Sandbox) {
    let grey = Array3::from_shape_fn((9, 10, 11), |(z, y, x)| (z * 31 + y * 7 + x) as f32);
    fs::create_dir(sandbox.path("in")).unwrap();
    fs::create_dir(sandbox.path("out")).unwrap();
    sandbox.write("in/a.tif", grey.view());
    sandbox.write("in/b.npy", grey.view());
    sandbox.model_of_one_class("background.safetensors", 0);
    sandbox.model_of_one_class("foreground.safetensors", 2);
}

fn written(sandbox: &Sandbox) -> Vec<String> {
    let entries = fs::read_dir(sandbox.path("out")).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn segment_writes_empty_labels_where_one_of_several_volumes_has_no_cell() {
    let sandbox = Sandbox::new();
    two_volumes(&sandbox);
    for (inputs, expected) in [
        ("in", vec!["a_classes.tif", "a_labels.tif", "b_classes.npy", "b_labels.npy"]),
        ("in/a.tif in/b.npy", vec!["a_classes.tif", "a_labels.tif", "b_classes.npy", "b_labels.npy"]),
    ] {
        let line = format!("segment {inputs} -o out --save-classes --model background.safetensors --json");
        let output = sandbox.run(&line);
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{message}");
        assert_eq!(written(&sandbox), expected);
        assert_eq!(sandbox.labels("out/a_labels.tif"), Array3::<u32>::zeros((9, 10, 11)));
        let lines = String::from_utf8(output.stdout).unwrap();
        for (report, name) in lines.lines().zip(["in/a.tif", "in/b.npy"]) {
            let report: Value = serde_json::from_str(report).unwrap();
            assert_eq!((&report["input"], report["cells"].as_u64()), (&Value::from(name), Some(0)));
            assert!(
                report["warnings"][0].as_str().unwrap().contains("no cell found: 990 voxels are background")
            );
            assert!(message.contains(&format!("warning: {name}: no cell found: 990 voxels")), "{message}");
        }
    }
}

#[test]
fn segment_can_require_cells() {
    let sandbox = Sandbox::new();
    two_volumes(&sandbox);
    let line = "segment in -o out --require-cells --json --model background.safetensors";
    let output = sandbox.run(line);
    sandbox.has_failed(&output, &["a.tif: no cell found", "b.npy: no cell found"]);
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 2);
    assert!(written(&sandbox).is_empty());
    sandbox.succeeds(&line.replace("background", "foreground"));
    assert_eq!(written(&sandbox), ["a_labels.tif", "b_labels.npy"]);
    // A single input in a folder of outputs is a single input.
    sandbox.fails("segment in/a.tif -o out --model background.safetensors", &["a.tif", "no cell found"]);
}

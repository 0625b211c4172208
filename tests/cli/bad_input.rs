//! Bad input: a clear message, status 1, and the folder as it was.
use std::fs::{self, File};
use std::process::Command;

use ndarray::Array3;
use tiff::encoder::colortype::{ColorType, Gray8, RGB8};
use tiff::encoder::{TiffEncoder, TiffValue};
use tiff::tags::Tag;

use super::sandbox::Sandbox;

/// A TIFF of `pages` pages of 6 x 5 pixels, all 7.
fn pages<C: ColorType<Inner = u8>>(sandbox: &Sandbox, name: &str, pages: usize, description: Option<&str>)
where
    [u8]: TiffValue,
{
    let mut encoder = TiffEncoder::new(File::create(sandbox.path(name)).unwrap()).unwrap();
    for _ in 0..pages {
        let mut image = encoder.new_image::<C>(6, 5).unwrap();
        if let Some(text) = description {
            image.encoder().write_tag(Tag::ImageDescription, text).unwrap();
        }
        image.write_data(&vec![7; 30 * C::BITS_PER_SAMPLE.len()]).unwrap();
    }
}

/// A volume of unlike grey values.
fn grey() -> Array3<f32> {
    Array3::from_shape_fn((9, 10, 11), |(z, y, x)| (z * 31 + y * 7 + x) as f32)
}

#[test]
fn files_that_are_no_volume() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("notes.tif"), "no image at all").unwrap();
    sandbox.tissue("whole.tif");
    let whole = fs::read(sandbox.path("whole.tif")).unwrap();
    fs::write(sandbox.path("cut.tif"), &whole[..whole.len() / 2]).unwrap();
    fs::write(sandbox.path("stack.xyz"), &whole).unwrap();
    fs::write(sandbox.path("empty.tif"), "").unwrap();
    sandbox.fails("segment missing.tif -o labels.tif", &["missing.tif", "No such file"]);
    sandbox.fails(
        "segment notes.tif -o labels.tif",
        &["notes.tif", "no TIFF signature", "expected a TIFF file"],
    );
    sandbox.fails("segment empty.tif -o labels.tif", &["empty.tif", "expected"]);
    sandbox.fails("segment cut.tif -o labels.tif", &["cut.tif", "cut short"]);
    sandbox.fails("segment stack.xyz -o labels.tif", &["stack.xyz", "unknown ending", ".tif"]);
}

#[test]
fn images_that_are_no_single_grey_volume() {
    let sandbox = Sandbox::new();
    pages::<Gray8>(&sandbox, "flat.tif", 1, None);
    pages::<RGB8>(&sandbox, "colour.tif", 4, None);
    let series = "ImageJ=1.54f\nimages=6\nslices=2\nframes=3\nhyperstack=true\n";
    pages::<Gray8>(&sandbox, "series.tif", 6, Some(series));
    let channels = "ImageJ=1.54f\nimages=6\nchannels=2\nslices=3\nhyperstack=true\n";
    pages::<Gray8>(&sandbox, "channels.tif", 6, Some(channels));
    sandbox.fails("segment flat.tif -o labels.tif", &["flat.tif", "expected a 3D stack"]);
    sandbox.fails("segment colour.tif -o labels.tif", &["colour.tif", "3 channels", "--channel"]);
    sandbox.fails("segment series.tif -o labels.tif", &["series.tif", "3 time points"]);
    sandbox.fails("segment channels.tif -o labels.tif", &["channels.tif", "2 channels"]);
}

#[test]
fn a_volume_without_voxels() {
    let sandbox = Sandbox::new();
    ndarray_npy::write_npy(sandbox.path("none.npy"), &Array3::<f32>::zeros((0, 4, 5))).unwrap();
    sandbox.fails("segment none.npy -o labels.tif", &["none.npy", "0 x 4 x 5"]);
    sandbox.fails("cluster none.npy -o labels.tif", &["none.npy", "0 x 4 x 5"]);
    sandbox.fails("evaluate none.npy none.npy", &["none.npy", "0 x 4 x 5"]);
}

#[test]
fn grey_values_that_are_no_numbers_or_all_equal() {
    let sandbox = Sandbox::new();
    for (name, value) in [("NaN", f32::NAN), ("inf", f32::INFINITY), ("-inf", f32::NEG_INFINITY)] {
        let mut voxels = grey();
        voxels[[4, 2, 10]] = value;
        sandbox.write("grey.tif", voxels.view());
        for normalize in ["robust", "none"] {
            let line = format!("segment grey.tif -o labels.tif --normalize {normalize}");
            sandbox.fails(&line, &["grey.tif", "z 4, y 2, x 10", name, "numpy.nan_to_num", "crop"]);
        }
    }
    sandbox.write("flat.tif", Array3::from_elem((9, 10, 11), 42u8).view());
    sandbox.fails("segment flat.tif -o labels.tif", &["flat.tif", "every voxel is 42"]);
}

#[test]
fn a_volume_in_which_no_cell_is_found() {
    let sandbox = Sandbox::new();
    sandbox.write("grey.tif", grey().view());
    sandbox.model_of_one_class("background.safetensors", 0);
    sandbox.model_of_one_class("membrane.safetensors", 1);
    for model in ["background", "membrane"] {
        let line = format!("segment grey.tif -o labels.tif --save-classes --model {model}.safetensors");
        sandbox.fails(&line, &["grey.tif", "no cell found", "990"]);
    }
    sandbox.write("classes.tif", Array3::<u8>::zeros((9, 10, 11)).view());
    sandbox.fails("cluster classes.tif -o labels.tif", &["classes.tif", "no cell found"]);
}

#[test]
fn classes_that_are_none() {
    let sandbox = Sandbox::new();
    let mut classes = Array3::<u8>::zeros((9, 10, 11));
    classes[[3, 2, 1]] = 3;
    sandbox.write("classes.tif", classes.view());
    sandbox.fails("cluster classes.tif -o labels.tif", &["classes.tif", "z 3, y 2, x 1", "2 foreground"]);
    sandbox.fails("cluster missing.tif -o labels.tif", &["missing.tif", "No such file"]);
    sandbox.write("two.tif", Array3::from_elem((9, 10, 11), 2u8).view());
    sandbox.fails("cluster two.tif -o two.tif", &["two.tif", "replace the input"]);
    sandbox.fails("cluster two.tif -o nowhere/labels.tif", &["nowhere"]);
}

#[test]
fn labels_that_are_none_or_do_not_fit() {
    let sandbox = Sandbox::new();
    sandbox.write("truth.tif", Array3::<u16>::ones((2, 3, 4)).view());
    let with = |value: f64| Array3::from_shape_fn((2, 3, 4), |at| if at == (1, 2, 0) { value } else { 1.0 });
    for (name, value) in [("overflow", 4_294_967_296.0), ("negative", -2.0), ("half", 0.5), ("nan", f64::NAN)]
    {
        sandbox.write(&format!("{name}.npy"), with(value).view());
        let words = [name, "z 1, y 2, x 0", "0 to 4294967295"];
        sandbox.fails(&format!("evaluate {name}.npy truth.tif"), &words);
        sandbox.fails(&format!("evaluate truth.tif {name}.npy"), &words);
    }
    sandbox.write("wide.tif", Array3::<u16>::ones((2, 3, 5)).view());
    sandbox.fails("evaluate wide.tif truth.tif", &["wide.tif", "[2, 3, 5]", "[2, 3, 4]", "truth.tif"]);
    sandbox.write("empty.tif", Array3::<u16>::zeros((2, 3, 4)).view());
    sandbox.fails("evaluate truth.tif empty.tif", &["empty.tif", "no cell"]);
    sandbox.fails("evaluate truth.tif missing.tif", &["missing.tif", "No such file"]);
}

#[test]
fn models_that_are_none() {
    let sandbox = Sandbox::new();
    sandbox.write("grey.tif", grey().view());
    sandbox.model_of_one_class("whole.safetensors", 2);
    let whole = fs::read(sandbox.path("whole.safetensors")).unwrap();
    fs::write(sandbox.path("cut.safetensors"), &whole[..whole.len() / 2]).unwrap();
    fs::write(sandbox.path("text.safetensors"), "weights").unwrap();
    fs::write(sandbox.path("corrupt.safetensors"), replaced(&whole, "F16", "F99")).unwrap();
    fs::write(sandbox.path("shape.safetensors"), replaced(&whole, "[16,1,1,1,1]", "[1,16,1,1,1]")).unwrap();
    fs::write(sandbox.path("other.safetensors"), replaced(&whole, "conv1.bias", "conv9.bias")).unwrap();
    let fails = |model: &str, words: &[&str]| {
        let line = format!("segment grey.tif -o labels.tif --model {model}.safetensors");
        sandbox.fails(&line, &[&[model], words].concat());
    };
    fails("missing", &["No such file"]);
    fails("cut", &["expected"]);
    fails("text", &["no model"]);
    fails("corrupt", &["expected"]);
    fails("shape", &["conv1.weight", "expected"]);
    fails("other", &["conv9.bias"]);
}

/// The bytes with the first `from` replaced by `to` of the same length.
fn replaced(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
    [&bytes[..at], to.as_bytes(), &bytes[at + from.len()..]].concat()
}

#[test]
fn outputs_that_cannot_be_written() {
    let sandbox = Sandbox::new();
    sandbox.tissue("raw.tif");
    sandbox.fails("segment raw.tif -o nowhere/labels.tif", &["nowhere", "folder"]);
    sandbox.fails("segment raw.tif -o nowhere/", &["nowhere", "folder"]);
    sandbox.fails("segment raw.tif -o raw.tif/labels.tif", &["raw.tif"]);
    sandbox.fails("segment raw.tif -o labels.xyz", &["labels.xyz", "unknown ending"]);
    // Nobody, not even root, may make a file there.
    sandbox.fails("segment raw.tif -o /proc/labels.tif", &["/proc"]);
    sandbox.fails("demo -o raw.tif", &["raw.tif"]);
}

#[test]
fn an_output_that_is_the_input() {
    let sandbox = Sandbox::new();
    sandbox.tissue("raw.tif");
    sandbox.fails("segment raw.tif -o raw.tif", &["raw.tif", "replace the input"]);
    sandbox.fails("segment raw.tif -o ./raw.tif", &["raw.tif", "replace the input"]);
    fs::rename(sandbox.path("raw.tif"), sandbox.path("cells_classes.tif")).unwrap();
    let line = "segment cells_classes.tif -o cells_labels.tif --save-classes";
    sandbox.fails(line, &["cells_classes.tif", "replace the input"]);
}

#[test]
fn a_full_disk() {
    let sandbox = Sandbox::new();
    sandbox.tissue("raw.tif");
    sandbox.model_of_one_class("model.safetensors", 2);
    on_a_small_disk(&sandbox, "segment raw.tif -o small/labels.tif --model model.safetensors", "");
}

/// The parameters and the log are whole and stay; of the checkpoint that did not fit nothing does.
#[test]
fn a_disk_that_is_full_before_the_first_checkpoint() {
    let sandbox = Sandbox::new();
    let config = "steps = 1\n[synthetic]\nshape = [8, 16, 16]\nwindow = 1\n[cuboids]\nsmallest = 8\nlargest = 8\n\
                  [validation]\nevery = 0\n";
    fs::write(sandbox.path("run.toml"), config).unwrap();
    on_a_small_disk(&sandbox, "train --config run.toml --output small/run", "log.csv run.toml ");
}

/// Runs the program with a file system of 64 KiB at `small`, in a mount name space of its own, where it fails and
/// leaves the files `left`; says so where the system allows no such thing.
#[track_caller]
fn on_a_small_disk(sandbox: &Sandbox, line: &str, left: &str) {
    fs::create_dir(sandbox.path("small")).unwrap();
    let script = "left=$1; shift; mount -t tmpfs -o size=64k none small || exit 77
        \"$0\" \"$@\"; status=$?
        [ \"$(find small -type f -printf '%f\\n' | sort | tr '\\n' ' ')\" = \"$left\" ] || { ls -AR small >&2; exit 78; }
        exit $status";
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c", script, env!("CARGO_BIN_EXE_tascan"), left]);
    match command.args(line.split_whitespace()).current_dir(sandbox.path("")).output() {
        Ok(output) if output.status.code() != Some(77) && !is_refused(&output.stderr) => {
            sandbox.has_failed(&output, &["small", "No space left"]);
        }
        _ => eprintln!("skipped: this system lets no test mount a small file system"),
    }
}

fn is_refused(message: &[u8]) -> bool {
    String::from_utf8_lossy(message).contains("unshare")
}

#[test]
fn options_that_make_no_sense() {
    let sandbox = Sandbox::new();
    sandbox.tissue("raw.tif");
    let refused = |options: &str, word: &str| {
        let output = sandbox.run(&format!("segment raw.tif -o labels.tif {options}"));
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{options}: {message}");
        assert!(message.contains(word), "{options}: {message}");
        assert!(!sandbox.path("labels.tif").exists());
    };
    refused("--spacing 1,2", "Z,Y,X");
    refused("--spacing 1,0,1", "positive");
    refused("--block 0", "block");
    for scale in ["0", "-2", "65", "coarse", "1,2", "1,1,1/4"] {
        refused(&format!("--scale {scale}"), "expected auto, a number, or Z,Y,X");
    }
    for percentiles in ["1", "1,2,3", "50,50", "-1,99", "1,101", "1,nan"] {
        refused(&format!("--percentiles {percentiles}"), "expected LOW,HIGH");
    }
    refused("--device tpu", "cuda:NUMBER or cuda:all");
    refused("--normalize histogram", "robust");
    refused("--threads 0", "threads");
    sandbox.fails("segment raw.tif -o labels.tif --device cuda:1", &["cuda:1 is not available", "cpu"]);
    sandbox.fails("bench --device cuda:all", &["cuda:all is for segment", "cuda:NUMBER"]);
}

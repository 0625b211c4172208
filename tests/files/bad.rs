//! Bad input and outputs that cannot be: a message that says what was found and what to do, nothing half-written.
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use ndarray::Array3;
use tascan::io::{self, Role, Writer, aside};
use tascan::volume::Dtype;

use super::fixture;

#[rustfmt::skip]
const BAD: &[(&str, &str)] = &[
    ("missing.tif", "No such file"),
    ("rgb.tif", "3 channels"),
    ("plane.tif", "2D image"),
    ("imagej_times.tif", "2 time points"),
    ("imagej_frames_only.tif", "exchange slices and frames"),
    ("imagej_channels.tif", "2 channels"),
    ("ome_times.ome.tif", "2 time points"),
    ("ome_channels.ome.tif", "2 channels"),
    ("shaped_4d.tif", "[2, 3, 4, 5]"),
    ("unlike_pages.tif", "page 2 of 4 x 6"),
    ("zstd.tif", "Zstandard"),
    ("h5py_none.h5", "no data set of three axes"),
    ("h5py_segmentation.h5", "predictions (3 x 4 x 5 f32), segmentation (3 x 4 x 5 "),
    ("h5py_earliest.h5:nonsense", "deep/er/i64"),
    ("h5py_earliest.h5:plane", "h5py_earliest.h5:plane: found an array of 2 axes"),
    ("h5py_earliest.h5:", "no name after the colon"),
    ("h5py_sparse.h5", "100000"),
    ("plane.npy", "2 axes"),
    ("empty.npy", "0 x 4 x 5"),
    ("complex.npy", "<c8"),
    ("stored.npz:nonsense", "raw"),
    ("itk_plane.mha", "2D image, 4 x 5"),
    ("itk_plane.nrrd", "2D image, 4 x 5"),
    ("itk_channels.mha", "2 channels"),
    ("itk_channels.nrrd", "2 channels"),
    ("itk_times.mha", "2 time points"),
    ("itk_times.nrrd", "2 time points"),
    ("pynrrd_four.nrrd", "kinds"),
    ("pynrrd_text.nrrd", "encoding: text"),
    ("pynrrd_bzip2.nrrd", "encoding: bzip2"),
    ("../README.md", "unknown ending .md"),
    ("no_ending", "without an ending"),
    ("C:\\data\\cells.h5:raw", "cells.h5: No such file"),
    ("C:\\data\\cells.h5", "cells.h5: No such file"),
];

#[test]
fn bad_files_are_refused_with_a_reason() {
    for &(spec, reason) in BAD {
        let message =
            io::open(&fixture(spec), Role::Raw).err().unwrap_or_else(|| panic!("{spec}")).to_string();
        assert!(message.contains(reason), "{spec}: {message}");
        let file = spec.split(':').next().unwrap();
        assert!(message.contains(file), "{spec} does not name its file: {message}");
    }
}

#[test]
fn other_content_than_the_ending_says_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (name, reason) in [
        ("text.tif", "no TIFF signature"),
        ("text.h5", "no HDF5 signature"),
        ("text.npy", "no NumPy header"),
        ("text.npz", "archive"),
        ("text.mha", "no MetaImage header"),
        ("text.nrrd", "no NRRD signature"),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, "just words, quite a lot of them").unwrap();
        let message = io::open(&path, Role::Raw).err().unwrap().to_string();
        assert!(message.contains(reason), "{message}");
        fs::write(&path, "").unwrap();
        let message = io::open(&path, Role::Raw).err().unwrap().to_string();
        assert!(message.contains("empty file"), "{message}");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        let message = io::open(&path, Role::Raw).err().unwrap().to_string();
        assert!(message.contains("a folder"), "{message}");
    }
}

#[test]
fn a_header_that_promises_too_much_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("huge.npy");
    for extents in ["4000000000, 4000000000, 4000000000", "1000000, 1000000, 1000"] {
        let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
        let text = format!("{{'descr': '<u2', 'fortran_order': False, 'shape': ({extents}), }}");
        bytes.extend(format!("{text:<117}\n").into_bytes());
        fs::write(&path, bytes).unwrap();
        assert!(io::open(&path, Role::Raw).is_err(), "{extents}");
    }
}

#[test]
fn a_missing_folder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("nowhere");
    for name in ["a.tif", "a.h5", "a.npy", "a.npz", "a.mha", "a.nrrd"] {
        let voxels = Array3::<u8>::zeros((2, 3, 4));
        let message = io::write(&missing.join(name), voxels.view(), None).unwrap_err().to_string();
        assert!(message.contains(missing.to_str().unwrap()), "{message}");
    }
    assert!(!missing.exists());
}

#[test]
#[cfg(target_os = "linux")]
fn an_unwritable_folder_is_named() {
    // Nobody, the superuser included, makes files there.
    let message = aside::write(Path::new("/proc/self/labels.tif"), b"").unwrap_err().to_string();
    assert!(message.contains("/proc/self"), "{message}");
}

#[test]
fn folders_and_devices_are_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    assert!(aside::write(folder.path(), b"").unwrap_err().to_string().contains("a folder"));
    #[cfg(unix)]
    assert!(aside::write(Path::new("/dev/null"), b"").unwrap_err().to_string().contains("no ordinary file"));
}

#[test]
fn an_abandoned_output_leaves_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.tif", "a.h5", "a.npy", "a.npz", "a.mha", "a.nrrd"] {
        let path = folder.path().join(name);
        fs::write(&path, "precious").unwrap();
        let mut writer = Writer::create(&path, [2, 3, 4], Dtype::U8, None, Role::Raw).unwrap();
        writer.planes(Array3::<u8>::zeros((1, 3, 4)).view()).unwrap();
        drop(writer);
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 6);
}

#[test]
#[cfg(unix)]
fn a_link_stays_a_link_and_permissions_are_the_usual_ones() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let (file, link, plain) =
        (folder.path().join("file"), folder.path().join("link"), folder.path().join("plain"));
    fs::write(&file, "old").unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    aside::write(&link, b"new").unwrap();
    assert!(link.is_symlink());
    assert_eq!(fs::read(&file).unwrap(), b"new");
    fs::write(&plain, "").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&file), mode(&plain));
}

fn tascan(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tascan")).args(arguments).output().unwrap()
}

fn copied_fixture(folder: &Path, name: &str) -> String {
    let path = folder.join(name);
    fs::copy(fixture(name), &path).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn the_input_is_never_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let input = copied_fixture(folder.path(), "h5py_only.h5");
    let before = fs::read(&input).unwrap();
    let hard = folder.path().join("hard.h5");
    fs::hard_link(&input, &hard).unwrap();
    for output in [input.clone(), format!("{input}:label"), hard.to_str().unwrap().to_owned()] {
        let done = tascan(&["convert", &input, &output]);
        assert!(!done.status.success(), "{output}");
        assert!(String::from_utf8_lossy(&done.stderr).contains("would replace the input"), "{output}");
        assert_eq!(fs::read(&input).unwrap(), before);
    }
}

#[test]
fn other_data_sets_are_not_lost() {
    let folder = tempfile::tempdir().unwrap();
    let voxels = Array3::<u8>::zeros((2, 3, 4));
    for name in ["h5py_earliest.h5", "stored.npz"] {
        let path = copied_fixture(folder.path(), name);
        let before = fs::read(&path).unwrap();
        for spec in [path.clone(), format!("{path}:label"), format!("{path}:new")] {
            let message = io::write(Path::new(&spec), voxels.view(), None).unwrap_err().to_string();
            assert!(message.contains("label") && message.contains("raw"), "{message}");
            assert!(io::check_output(&fixture("u16.npy"), Path::new(&spec)).is_err(), "{spec}");
            assert_eq!(fs::read(&path).unwrap(), before);
        }
    }
    let alone = folder.path().join("alone.h5");
    io::write(&alone, voxels.view(), None).unwrap();
    io::write(&alone, voxels.view(), None).unwrap();
}

#[test]
#[cfg(target_os = "linux")]
fn an_interrupted_output_is_cleared_away() {
    let folder = tempfile::tempdir().unwrap();
    // Zeros that take no room: 64 planes, far more to write than there is time for.
    let input = folder.path().join("input.npy");
    let mut header = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    let text = "{'descr': '|u1', 'fortran_order': False, 'shape': (64, 8192, 8192), }";
    header.extend(format!("{text:<117}\n").into_bytes());
    fs::write(&input, header).unwrap();
    fs::File::options().write(true).open(&input).unwrap().set_len(128 + (64 << 26)).unwrap();
    // Signals that this test run was started to ignore would stay ignored.
    let mut child = Command::new("env")
        .args(["--default-signal", env!("CARGO_BIN_EXE_tascan"), "convert"])
        .args([input.as_os_str(), folder.path().join("output.h5").as_os_str()])
        .spawn()
        .unwrap();
    let files = || fs::read_dir(folder.path()).unwrap().count();
    while files() == 1 && child.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let interrupted = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(files(), 1, "the input alone is left");
}

#[test]
fn convert_keeps_values_type_and_voxel_size() {
    let folder = tempfile::tempdir().unwrap();
    let input = fixture("imagej_f32.tif");
    let original = io::open(&input, Role::Raw).unwrap();
    let mut from = input.to_str().unwrap().to_owned();
    for name in ["a.h5", "b.npz", "c.tif", "d.h5:deep/stack", "e.mha", "f.nrrd", "g.btf"] {
        let to = folder.path().join(name).to_str().unwrap().to_owned();
        let done = tascan(&["convert", &from, &to]);
        assert!(done.status.success(), "{name}: {}", String::from_utf8_lossy(&done.stderr));
        let copy = io::open(Path::new(&to), Role::Raw).unwrap();
        assert_eq!((copy.dtype(), copy.spacing()), (original.dtype(), original.spacing()), "{name}");
        assert_eq!(copy.to_f32(), original.to_f32(), "{name}");
        from = to;
    }
    assert!(io::open(Path::new(&from), Role::Raw).unwrap().origin().format.contains("BigTIFF"));
}

#[test]
fn info_describes_every_volume_of_a_file() {
    let done = tascan(&["info", "--json", fixture("h5py_earliest.h5").to_str().unwrap()]);
    assert!(done.status.success());
    let lines = String::from_utf8(done.stdout).unwrap();
    let objects: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let label = objects.iter().find(|object| object["dataset"] == "label").unwrap();
    assert_eq!(objects.len(), 7);
    assert_eq!(label["shape"], serde_json::json!([3, 4, 5]));
    assert_eq!(label["spacing"], serde_json::json!([0.5, 0.25, 0.125]));
    assert_eq!(label["range"], serde_json::json!([1.0, 60.0]));
    let failed = tascan(&["info", "missing.tif"]);
    assert!(!failed.status.success() && failed.stdout.is_empty());
}

/// Writes 2 MB where the shell's limit, or a small file system, ends sooner.
#[cfg(target_os = "linux")]
fn convert_in(shell: &str, folder: &Path) -> Output {
    let input = folder.join("input.npy");
    io::write(&input, Array3::<u16>::ones((16, 256, 256)).view(), None).unwrap();
    let mut command = Command::new("sh");
    command.arg("-c").arg(shell).arg(env!("CARGO_BIN_EXE_tascan")).arg(&input).current_dir(folder);
    command.output().unwrap()
}

#[test]
#[cfg(target_os = "linux")]
fn nothing_is_left_of_an_output_that_does_not_fit() {
    for name in ["out.tif", "out.h5", "out.npy", "out.npz", "out.mha", "out.nrrd"] {
        let folder = tempfile::tempdir().unwrap();
        let done = convert_in(
            &format!("trap '' XFSZ; ulimit -f 64; exec \"$0\" convert \"$1\" {name}"),
            folder.path(),
        );
        let message = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(!done.status.success(), "{name}");
        assert!(message.contains("too large") && message.contains(name), "{message}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "{name}: the input alone is left");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let mount = "mkdir small && mount -t tmpfs -o size=64k tmpfs small || exit 77";
    let shell = format!(
        "exec unshare -rm sh -c '{mount}; \"$0\" convert \"$1\" small/out.tif; echo $?; ls -A small' \"$0\" \"$1\""
    );
    let done = convert_in(&shell, folder.path());
    if !matches!(done.status.code(), Some(0)) {
        return eprintln!("skipped: no small file system can be mounted here");
    }
    assert_eq!(String::from_utf8_lossy(&done.stdout), "1\n");
    let message = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(message.contains("No space left") && message.contains("small/out.tif"), "{message}");
}

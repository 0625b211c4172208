//! A run that is killed goes on as if nothing had happened: the program itself, killed at any moment.
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use tascan::weights::Weights;

const STEPS: usize = 40;

const CONFIG: &str = "
steps = 40
checkpoint_every = 3
[synthetic]
shape = [16, 20, 20]
window = 3
uses = 2
[cuboids]
batch = 2
smallest = 8
largest = 12
[validation]
every = 8
synthetic = 1
min_cell_size = 20
";

fn command(folder: &Path, output: &str, extra: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tascan"));
    command
        .current_dir(folder)
        .args(["--quiet", "train", "--config", "run.toml", "--output", output])
        .args(extra);
    command
}

fn run(folder: &Path, output: &str, extra: &[&str]) -> Output {
    command(folder, output, extra).output().unwrap()
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("run.toml"), CONFIG).unwrap();
    folder
}

/// The log without the column of seconds.
fn log(path: &Path) -> Vec<String> {
    let untimed = |line: &str| {
        line.split(',')
            .enumerate()
            .filter(|(i, _)| *i != 3)
            .map(|(_, field)| field.to_owned() + ",")
            .collect()
    };
    fs::read_to_string(path).unwrap().lines().map(untimed).collect()
}

/// Starts or resumes the run and kills it once its log has `lines` lines.
fn kill_after(folder: &Path, lines: usize) {
    let mut child = command(folder, "killed", &["--resume"]).spawn().unwrap();
    let started = Instant::now();
    let logged = || fs::read_to_string(folder.join("killed/log.csv")).map_or(0, |log| log.lines().count());
    while logged() < lines {
        assert!(started.elapsed() < Duration::from_secs(120), "no {lines} lines after two minutes");
        assert!(child.try_wait().unwrap().is_none(), "the run ended before it could be killed");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_killed_run_ends_with_the_same_bytes_on_other_threads_too() {
    let folder = folder();
    let folder = folder.path();
    let straight = run(folder, "straight", &["--threads", "3"]);
    assert!(straight.status.success(), "{}", String::from_utf8_lossy(&straight.stderr));
    for lines in [2, 9, 17, 26] {
        kill_after(folder, lines);
    }
    let resumed = run(folder, "killed", &["--resume", "--threads", "1"]);
    assert!(resumed.status.success(), "{}", String::from_utf8_lossy(&resumed.stderr));

    for file in ["checkpoint.safetensors", "model.safetensors", "best.safetensors"] {
        let [a, b] = ["straight", "killed"].map(|run| fs::read(folder.join(run).join(file)).unwrap());
        assert!(a == b, "{file} differs");
    }
    let logs = ["straight", "killed"].map(|run| log(&folder.join(run).join("log.csv")));
    assert_eq!(logs[0], logs[1]);
    assert_eq!(logs[0].len(), STEPS + 1);
}

#[test]
fn nothing_but_the_files_of_the_run_is_left() {
    let folder = folder();
    assert!(run(folder.path(), "run", &["--steps", "3"]).status.success());
    // As a kill in the midst of a checkpoint leaves it.
    fs::write(folder.path().join("run/checkpoint.safetensors.k1l2ed.partial"), b"half").unwrap();
    assert!(run(folder.path(), "run", &["--steps", "4", "--resume"]).status.success());
    let mut names: Vec<String> = fs::read_dir(folder.path().join("run"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let expected = [
        "best.safetensors",
        "checkpoint.safetensors",
        "log.csv",
        "loss.png",
        "model.safetensors",
        "run.toml",
    ];
    assert_eq!(names, expected);
}

#[test]
fn an_earlier_run_is_neither_overwritten_nor_mixed_with_another() {
    let folder = folder();
    let folder = folder.path();
    assert!(run(folder, "run", &["--steps", "3"]).status.success());
    let again = run(folder, "run", &["--steps", "3"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("--resume"));

    fs::write(folder.join("run.toml"), CONFIG.replace("batch = 2", "batch = 1")).unwrap();
    let other = run(folder, "run", &["--resume"]);
    assert_eq!(other.status.code(), Some(1));
    let message = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(message.contains("`batch = 2` instead of `batch = 1`"), "{message}");
}

#[test]
fn a_run_that_gets_no_better_stops_early() {
    let folder = folder();
    let stubborn = CONFIG.replace("[validation]", "[optimiser]\nrate = 0.0\n[validation]\npatience = 2");
    fs::write(folder.path().join("run.toml"), stubborn.replace("every = 8", "every = 2")).unwrap();
    // The statistics of batch norm move for some steps; after them nothing does.
    let done = run(folder.path(), "run", &["--steps", "4000"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let log = log(&folder.path().join("run/log.csv"));
    assert!(log.len() < 4000, "{} lines", log.len());
    assert!(folder.path().join("run/model.safetensors").exists());
}

#[test]
fn a_checkpoint_is_no_model_and_a_cut_short_one_is_refused() {
    let folder = folder();
    let folder = folder.path();
    assert!(run(folder, "run", &["--steps", "1"]).status.success());
    let path = folder.join("run/checkpoint.safetensors");
    let begun = run(folder, "other", &["--init", "run/checkpoint.safetensors"]);
    assert_eq!(begun.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&begun.stderr).contains("the state of a training run"));
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let resumed = run(folder, "run", &["--resume"]);
    assert_eq!(resumed.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&resumed.stderr).contains("checkpoint.safetensors"));
}

#[test]
fn a_run_begins_with_the_model_that_it_is_given() {
    let folder = folder();
    let folder = folder.path();
    Weights::initial(77).save(folder.join("given.safetensors"), tascan::weights::Precision::F32).unwrap();
    let done = run(folder, "run", &["--steps", "0", "--init", "given.safetensors"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let model = Weights::load(folder.join("run/model.safetensors")).unwrap();
    assert_eq!(model.values, Weights::initial(77).values);
    assert_eq!(model.metadata.normalization.as_deref(), Some("robust"));
}

//! A temporary folder in which the program runs, and what is put there for it.
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use ndarray::{Array3, ArrayView3};
use tascan::io::{self, Role};
use tascan::synth::{self, Parameters};
use tascan::volume::Sample;
use tascan::weights::{Precision, Weights};

/// A folder of its own for each test.
pub struct Sandbox {
    folder: tempfile::TempDir,
}

impl Sandbox {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program, about to run in this folder.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tascan"));
        command.current_dir(self.folder.path());
        command
    }

    /// Runs the program with the words of `line` as arguments.
    pub fn run(&self, line: &str) -> Output {
        self.command().args(line.split_whitespace()).output().unwrap()
    }

    /// Runs the program, which has to succeed, and gives what it wrote to stdout.
    #[track_caller]
    pub fn succeeds(&self, line: &str) -> String {
        let output = self.run(line);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "tascan {line}: {} {errors}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs the program, which has to fail with status 1 and a message that holds all of `words`, and to leave the
    /// folder as it was.
    #[track_caller]
    pub fn fails(&self, line: &str, words: &[&str]) {
        let before = self.files();
        let output = self.run(line);
        self.has_failed(&output, words);
        assert_eq!(before, self.files(), "tascan {line} left something behind");
    }

    #[track_caller]
    pub fn has_failed(&self, output: &Output, words: &[&str]) {
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(message.contains("error: "), "{message}");
        for word in words {
            assert!(message.contains(word), "{word:?} is not in {message}");
        }
    }

    /// Every file with its bytes.
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let entries = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.is_file()).map(|path| (path.clone(), fs::read(path).unwrap())).collect()
    }

    pub fn write<T: Sample>(&self, name: &str, voxels: ArrayView3<T>) {
        io::write(&self.path(name), voxels, None).unwrap();
    }

    pub fn labels(&self, name: &str) -> Array3<u32> {
        io::open(&self.path(name), Role::Labels).unwrap().to_labels().unwrap()
    }

    /// The probabilities of all classes that were saved beside the labels `NAME.tif`.
    pub fn probabilities(&self, name: &str) -> Vec<f32> {
        let read = |class| {
            let path = self.path(&format!("{name}_{class}.tif"));
            io::open(&path, Role::Raw).unwrap().to_f32().into_raw_vec_and_offset().0
        };
        ["background", "membrane", "foreground"].map(read).concat()
    }

    /// A small tissue.
    pub fn tissue(&self, name: &str) {
        self.write(name, synth::sample_with(Parameters::default(), [24, 56, 48], 5).raw.view());
    }

    /// A model that calls every voxel background (0), membrane (1) or foreground (2).
    pub fn model_of_one_class(&self, name: &str, class: usize) {
        let mut weights = Weights::initial(1);
        let range = |name| tascan::network::layout::range_of(name).unwrap();
        weights.values[range("conv6.weight")].fill(0.0);
        weights.values[range("conv6.bias")].fill(0.0);
        weights.values[range("conv6.bias").start + class] = 9.0;
        weights.save(self.path(name), Precision::F16).unwrap();
    }
}

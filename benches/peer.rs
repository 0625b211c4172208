//! This program as one of several that are timed in turn: the worker of `scripts/compare-pytorch` and
//! `scripts/compare-clustering`.
//!
//! `--peer forward|classes|step|cluster FOLDER [DEVICE [PRECISION]]` reads what the comparison has put into FOLDER, then does
//! one pass for every line on standard input and answers with its seconds and a value: the loss, or the number of cells.
//! At the end of the input it leaves its probabilities, classes or labels as `tascan.npy`.
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::ValueEnum;
use ndarray::{Array, Array3, Array4, Axis, Dimension, Ix3, Ix4, s};
use ndarray_npy::{ReadableElement, read_npy, write_npy};
use tascan::Shape;
use tascan::cells::{Options, label_cells};
use tascan::device::choice::Choice;
use tascan::device::{Device, Precision};
use tascan::network::engine;
use tascan::network::prediction::{Prediction, Predictor};
use tascan::network::trainer::Trainer;
use tascan::ops::adam::Adam;
use tascan::ops::loss::{Loss, Truth};
use tascan::scale::Sampling;
use tascan::weights::Weights;

/// The learning rate of the paper.
const RATE: f64 = 1e-4;

/// Serves and returns `true` where the arguments ask for it.
pub fn serve() -> bool {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, flag, case, folder, device @ ..] = arguments.as_slice() else { return false };
    if flag != "--peer" {
        return false;
    }
    let folder = PathBuf::from(folder);
    match case.as_str() {
        "forward" | "classes" => {
            let mut forward = Forward::new(&folder, &self::device(device), case == "forward");
            answer(|| forward.pass());
            forward.save(&folder);
        }
        "step" => {
            let mut step = Step::new(&folder, &self::device(device));
            answer(|| step.pass());
        }
        "cluster" => cluster(&folder),
        other => panic!("no case {other}"),
    }
    true
}

/// The device that the arguments name, or the CPU.
fn device(arguments: &[String]) -> Device {
    let choice = arguments.first().map_or(Choice::Cpu, |name| name.parse().unwrap_or_else(|e| panic!("{e}")));
    let precision = arguments.get(1).map_or(Precision::default(), |name| {
        Precision::from_str(name, false).unwrap_or_else(|e| panic!("{e}"))
    });
    choice.open_one(precision).unwrap_or_else(|e| panic!("{e}"))
}

fn answer(mut pass: impl FnMut() -> f64) {
    for line in std::io::stdin().lock().lines() {
        line.expect("lines of text");
        let start = Instant::now();
        let value = pass();
        println!("{} {value}", start.elapsed().as_secs_f64());
    }
}

/// An array of the comparison.
fn array<T: ReadableElement, D: Dimension>(folder: &Path, name: &str) -> Array<T, D> {
    read_npy(folder.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn weights(folder: &Path) -> Weights {
    Weights::load(folder.join("weights.pt")).unwrap_or_else(|e| panic!("{e}"))
}

/// Classes to cells.
fn cluster(folder: &Path) {
    let classes: Array3<u8> = array(folder, "classes.npy");
    let mut labels = None;
    answer(|| {
        let cells = label_cells(classes.view(), None, &Options::default()).unwrap_or_else(|e| panic!("{e}"));
        labels = Some(cells.labels);
        f64::from(cells.count)
    });
    write_npy(folder.join("tascan.npy"), &labels.expect("a pass")).expect("a folder to write to");
}

/// One volume to probabilities, or to classes alone.
struct Forward {
    predictor: Predictor,
    input: Array3<f32>,
    block: Shape,
    last: Option<Prediction>,
}

impl Forward {
    fn new(folder: &Path, device: &Device, probabilities: bool) -> Self {
        let mut predictor = Predictor::on(device, &weights(folder), false).unwrap_or_else(|e| panic!("{e}"));
        predictor.keep_probabilities = probabilities;
        let input = array::<f32, Ix4>(folder, "input.npy").index_axis_move(Axis(0), 0);
        let input = input.into_dimensionality::<Ix3>().expect("one volume");
        let block = engine::default_block(device, input.dim().into(), Sampling::STORED, None)
            .unwrap_or_else(|e| panic!("{e}"));
        Forward { predictor, input, block, last: None }
    }

    fn pass(&mut self) -> f64 {
        let mut read = |[z, y, x]: Shape, [nz, ny, nx]: Shape| {
            Ok(self.input.slice(s![z..z + nz, y..y + ny, x..x + nx]).into())
        };
        let shape = self.input.dim().into();
        let prediction = self.predictor.predict(shape, self.block, &mut read, &mut |_| {});
        self.last = Some(prediction.unwrap_or_else(|e| panic!("{e}")));
        0.0
    }

    fn save(&self, folder: &Path) {
        let last = self.last.as_ref().expect("a pass");
        let path = folder.join("tascan.npy");
        match &last.probabilities {
            Some(probabilities) => write_npy(path, probabilities),
            None => write_npy(path, &last.classes),
        }
        .expect("a folder to write to");
    }
}

/// A batch through the network, the loss, back, and into the weights.
struct Step {
    trainer: Trainer,
    batch: Array4<f32>,
    class: Vec<u8>,
    weight: Vec<f32>,
}

impl Step {
    fn new(folder: &Path, device: &Device) -> Self {
        let adam = Adam::new(tascan::network::layout::trainable_len());
        Step {
            trainer: Trainer::new(device, weights(folder), adam).unwrap_or_else(|e| panic!("{e}")),
            batch: array(folder, "input.npy"),
            class: array::<_, Ix4>(folder, "class.npy").into_raw_vec_and_offset().0,
            weight: array::<_, Ix4>(folder, "weight.npy").into_raw_vec_and_offset().0,
        }
    }

    fn pass(&mut self) -> f64 {
        let (n, z, y, x) = self.batch.dim();
        let voxels = self.batch.as_slice().expect("standard layout");
        let truth = Truth { class: &self.class, weight: &self.weight };
        let loss = self.trainer.loss(voxels, n, [z, y, x], truth, &Loss::default());
        let updated = |value| self.trainer.update(RATE).map(|()| value);
        loss.and_then(updated).unwrap_or_else(|e| panic!("{e}"))
    }
}

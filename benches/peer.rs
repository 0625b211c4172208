//! This program as one of several that are timed in turn: the worker of `scripts/compare-pytorch` and
//! `scripts/compare-clustering`.
//!
//! `--peer forward|step|cluster FOLDER` reads what the comparison has put into FOLDER, then does one pass for
//! every line on standard input and answers with its seconds and a value: the loss, or the number of cells. At
//! the end of the input it leaves its probabilities or labels as `tascan.npy`.
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::time::Instant;

use ndarray::{Array, Array3, Array4, Axis, Dimension, Ix3, Ix4, s};
use ndarray_npy::{ReadableElement, read_npy, write_npy};
use tascan::Shape;
use tascan::cells::{Options, label_cells};
use tascan::network::TrainingNetwork;
use tascan::network::prediction::{Prediction, Predictor};
use tascan::ops::adam::Adam;
use tascan::ops::loss::{Loss, Truth};
use tascan::weights::Weights;

/// The learning rate of the paper.
const RATE: f64 = 1e-4;

/// Serves and returns `true` where the arguments ask for it.
pub fn serve() -> bool {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, flag, case, folder] = arguments.as_slice() else { return false };
    if flag != "--peer" {
        return false;
    }
    let folder = PathBuf::from(folder);
    match case.as_str() {
        "forward" => {
            let mut forward = Forward::new(&folder);
            answer(|| forward.pass());
            forward.save(&folder);
        }
        "step" => {
            let mut step = Step::new(&folder);
            answer(|| step.pass());
        }
        "cluster" => cluster(&folder),
        other => panic!("no case {other}"),
    }
    true
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

/// One volume to probabilities.
struct Forward {
    predictor: Predictor,
    input: Array3<f32>,
    last: Option<Prediction>,
}

impl Forward {
    fn new(folder: &Path) -> Self {
        let mut predictor = Predictor::new(&weights(folder), false);
        predictor.keep_probabilities = true;
        let input = array::<f32, Ix4>(folder, "input.npy").index_axis_move(Axis(0), 0);
        Forward { predictor, input: input.into_dimensionality::<Ix3>().expect("one volume"), last: None }
    }

    fn pass(&mut self) -> f64 {
        let shape: Shape = self.input.dim().into();
        let mut read = |[z, y, x]: Shape, [nz, ny, nx]: Shape| {
            Ok(self.input.slice(s![z..z + nz, y..y + ny, x..x + nx]).to_owned().into())
        };
        let prediction = self.predictor.predict(shape, shape, &mut read, &mut |_| {});
        self.last = Some(prediction.unwrap_or_else(|e| panic!("{e}")));
        0.0
    }

    fn save(&self, folder: &Path) {
        let probabilities = self.last.as_ref().and_then(|last| last.probabilities.as_ref());
        let path = folder.join("tascan.npy");
        write_npy(path, probabilities.expect("a pass")).expect("a folder to write to");
    }
}

/// A batch through the network, the loss, back, and into the weights.
struct Step {
    network: TrainingNetwork,
    adam: Adam,
    batch: Array4<f32>,
    class: Vec<u8>,
    weight: Vec<f32>,
    gradient: Vec<f32>,
}

impl Step {
    fn new(folder: &Path) -> Self {
        let batch: Array4<f32> = array(folder, "input.npy");
        Step {
            network: TrainingNetwork::new(weights(folder)),
            adam: Adam::new(tascan::network::layout::trainable_len()),
            class: array::<_, Ix4>(folder, "class.npy").into_raw_vec_and_offset().0,
            weight: array::<_, Ix4>(folder, "weight.npy").into_raw_vec_and_offset().0,
            gradient: vec![0.0; 3 * batch.len()],
            batch,
        }
    }

    fn pass(&mut self) -> f64 {
        let (n, z, y, x) = self.batch.dim();
        let voxels = self.batch.as_slice().expect("standard layout");
        let probabilities = self.network.forward(voxels, n, [z, y, x]);
        let truth = Truth { class: &self.class, weight: &self.weight };
        let value = Loss::default().of(probabilities, truth, &mut self.gradient);
        self.network.backward(&self.gradient);
        let (weights, gradient) = self.network.weights_and_gradient();
        let parameters = &mut weights.values[..gradient.len()];
        self.adam.step(parameters, gradient, RATE);
        value
    }
}

//! Five training steps against the authors' (PyTorch, f32; the first gradients also in f64).
use std::path::{Path, PathBuf};

use tascan::network::{TrainingNetwork, layout};
use tascan::ops::adam::Adam;
use tascan::ops::loss::{Loss, Truth};
use tascan::weights::{Metadata, Weights};

use crate::compare::{assert_close, assert_relative};
use crate::ops::loss::{classes_last, truth_of};
use crate::oracle;

/// The gradients of these biases are zero but for rounding: a batch norm follows them and takes every constant away.
const WITHOUT_EFFECT: [&str; 4] = ["conv2.bias", "deconv1.bias", "deconv2.bias", "deconv3.bias"];

/// Batch, shape and learning rate of the authors' steps.
const BATCH: usize = 2;
const SHAPE: [usize; 3] = [24, 24, 24];
const RATE: f64 = 1e-4;

/// The authors' initial weights, from the file of the three that holds each tensor.
fn initial(parts: &[PathBuf; 3]) -> Weights {
    let holds = |part: &Path, name: &str| {
        oracle::names(part).iter().any(|entry| entry.trim_end_matches(".npy") == name)
    };
    let tensor = |name: &str| {
        let part = parts.iter().find(|part| holds(part, name)).expect("every tensor is in one of the parts");
        oracle::array::<f32>(part, name).iter().copied().collect::<Vec<f32>>()
    };
    let values = layout::tensors().flat_map(|(parameter, _)| tensor(parameter.name)).collect();
    Weights { values, metadata: Metadata::default() }
}

/// The authors' run.
struct Steps {
    file: PathBuf,
    slices: PathBuf,
    network: TrainingNetwork,
    adam: Adam,
    raw: Vec<f32>,
    class: Vec<u8>,
    weight: Vec<f32>,
}

impl Steps {
    fn open() -> Option<Self> {
        let file = oracle::shared("oracle/loss/train_steps.npz")?;
        let beside = |name: String| file.with_file_name(name);
        let parts = [0, 1, 2].map(|i| beside(format!("train_init_part{i}.npz")));
        let (class, weight) = truth_of(oracle::array(&file, "target"), oracle::array(&file, "weights"));
        Some(Steps {
            slices: beside("train_steps_slices.npz".into()),
            network: TrainingNetwork::new(initial(&parts)),
            adam: Adam::new(layout::trainable_len()),
            raw: oracle::array::<u8>(&file, "raw").iter().map(|&grey| f32::from(grey)).collect(),
            class,
            weight,
            file,
        })
    }

    /// Forward, loss and backward; returns the loss.
    fn differentiate(&mut self) -> f64 {
        let probabilities = self.network.forward(&self.raw, BATCH, SHAPE);
        let mut gradient = vec![f32::NAN; probabilities.len()];
        let truth = Truth { class: &self.class, weight: &self.weight };
        let loss = Loss::default().of(probabilities, truth, &mut gradient);
        self.network.backward(&gradient);
        loss
    }

    fn update(&mut self) {
        let (weights, gradient) = self.network.weights_and_gradient();
        self.adam.step(&mut weights.values[..layout::trainable_len()], gradient, RATE);
    }

    fn gradient(&mut self, name: &str) -> Vec<f64> {
        let range = layout::range_of(name).unwrap();
        self.network.weights_and_gradient().1[range].iter().map(|&g| f64::from(g)).collect()
    }
}

/// Length of the difference over the length of the expected gradient.
fn distance(actual: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(actual.len(), expected.len());
    let length = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let difference = length(&mut actual.iter().zip(expected).map(|(a, e)| a - e));
    difference / length(&mut expected.iter().copied())
}

/// The first 8 of the first two axes, as the reference keeps of large kernels.
fn corner(name: &str, gradient: &[f64]) -> Vec<f64> {
    let parameter = layout::TRAINABLE.iter().find(|parameter| parameter.name == name).unwrap();
    let taps: usize = parameter.shape[2..].iter().product();
    let row = parameter.shape[1] * taps;
    (0..8).flat_map(|outer| gradient[outer * row..][..8 * taps].to_vec()).collect()
}

#[test]
fn the_first_gradients_equal_the_authors() {
    let Some(mut steps) = Steps::open() else { return };
    steps.differentiate();
    let probabilities = steps.network.forward(&steps.raw, BATCH, SHAPE);
    let expected = classes_last(oracle::array::<f32>(&steps.file, "out_step1"));
    // The worst difference seen is 2e-6.
    assert_close(probabilities, &expected, 2e-5);

    let norms = oracle::array::<f64>(&steps.file, "grad_norms64");
    for (parameter, &expected) in layout::TRAINABLE.iter().zip(&norms) {
        if !WITHOUT_EFFECT.contains(&parameter.name) {
            let gradient = steps.gradient(parameter.name);
            assert_relative(gradient.iter().map(|g| g * g).sum::<f64>().sqrt(), expected, 1e-4);
        }
    }
}

#[test]
fn the_first_gradients_equal_the_authors_element_by_element() {
    let Some(mut steps) = Steps::open() else { return };
    steps.differentiate();
    let mut compared = 0;
    for entry in oracle::names(&steps.slices) {
        let entry = entry.trim_end_matches(".npy");
        let Some((kind, name)) = entry.split_once('/') else { continue };
        let gradient = match kind {
            "grad64" => steps.gradient(name),
            "grad64_8x8" => corner(name, &steps.gradient(name)),
            _ => continue,
        };
        if WITHOUT_EFFECT.contains(&name) {
            continue;
        }
        let expected: Vec<f64> = oracle::array(&steps.slices, entry).iter().copied().collect();
        let distance = distance(&gradient, &expected);
        assert!(distance <= 1e-4, "{name}: relative distance {distance}");
        compared += 1;
    }
    assert_eq!(compared, 17, "tensors compared");
}

#[test]
fn five_losses_and_the_network_after_them_equal_the_authors() {
    let Some(mut steps) = Steps::open() else { return };
    let expected = oracle::array::<f64>(&steps.file, "losses");
    for &expected in &expected {
        assert_relative(steps.differentiate(), expected, 1e-5);
        steps.update();
    }
    let last = oracle::array::<f32>(&steps.file, "param_step5/conv6.weight");
    let conv6 = &steps.network.weights().values[layout::range_of("conv6.weight").unwrap()];
    // Five updates of 1e-4 each; f32 against f64 differs by 2e-7 in PyTorch itself.
    assert_close(conv6, &last.iter().copied().collect::<Vec<f32>>(), 2e-6);
}

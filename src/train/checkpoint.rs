//! The state of a run between two steps: everything that the next step depends on.
//!
//! One safetensors file of flat f32 tensors (`values` in the order of [`crate::network::layout`], their running
//! `average`, and the moments `adam.first` and `adam.second`) with one metadata entry, the JSON form of [`Progress`]. It replaces its predecessor
//! in one step, so that a run that is killed at any moment resumes from a whole one.
use std::collections::HashMap;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::io::aside;
use crate::network::layout;
use crate::ops::adam::Adam;
use crate::weights::{Metadata, Weights};

/// The metadata entry. There is one alone, because several would be written in any order.
const ENTRY: &str = "training";

/// How far a run has come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Steps done.
    pub steps: u64,
    /// The best validation so far.
    pub best: Option<Best>,
    /// Validations since the best one.
    pub stale: u64,
    /// The run's parameters as TOML, but for the number of steps.
    pub parameters: String,
}

/// The best validation of a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Steps done before it.
    pub steps: u64,
    /// Its score.
    pub score: f64,
}

/// Weights, moments and progress.
pub struct Checkpoint {
    /// The network's weights.
    pub weights: Weights,
    /// The running average of the weights' values.
    pub average: Vec<f32>,
    /// The optimiser's state.
    pub adam: Adam,
    /// How far the run has come.
    pub progress: Progress,
}

impl Checkpoint {
    /// Before the first step.
    pub fn start(weights: Weights, parameters: String) -> Self {
        let progress = Progress { parameters, ..Progress::default() };
        let average = weights.values.clone();
        Checkpoint { weights, average, adam: Adam::new(layout::trainable_len()), progress }
    }

    /// Reads a checkpoint.
    ///
    /// # Errors
    /// Where the file cannot be read or is no checkpoint of this network.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
        let expected = "a checkpoint of a training run";
        let corrupt = |e: &dyn std::fmt::Display| Error::format(path, e.to_string(), expected);
        let tensors = SafeTensors::deserialize(&bytes).map_err(|e| corrupt(&e))?;
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| corrupt(&e))?;
        let entry = header.metadata().as_ref().and_then(|entries| entries.get(ENTRY));
        let entry = entry.ok_or_else(|| corrupt(&"no progress of a run"))?;
        let progress: Progress = serde_json::from_str(entry).map_err(|e| corrupt(&e))?;
        let read = |name: &str, len: usize| -> Result<Vec<f32>> {
            let tensor = tensors.tensor(name).map_err(|e| corrupt(&e))?;
            if tensor.dtype() != Dtype::F32 || tensor.shape() != [len] {
                let found = format!("{name} of {:?} {:?}", tensor.shape(), tensor.dtype());
                return Err(Error::format(path, found, format!("{len} values of type F32")));
            }
            Ok(bytemuck::pod_collect_to_vec(tensor.data()))
        };
        let values = read("values", layout::total_len())?;
        let average = read("average", layout::total_len())?;
        let first = read("adam.first", layout::trainable_len())?;
        let second = read("adam.second", layout::trainable_len())?;
        let adam = Adam { first, second, steps: progress.steps };
        let weights = Weights { values, metadata: Metadata::default() };
        Ok(Checkpoint { weights, average, adam, progress })
    }

    /// Writes the checkpoint, in place of an earlier one.
    ///
    /// # Errors
    /// Where the file cannot be written; the earlier one then stays.
    pub fn write(
        path: &Path,
        weights: &Weights,
        average: &[f32],
        adam: &Adam,
        progress: &Progress,
    ) -> Result<()> {
        let entry = serde_json::to_string(progress).expect("progress has a JSON form");
        let tensors = [
            ("values", &weights.values[..]),
            ("average", average),
            ("adam.first", &adam.first),
            ("adam.second", &adam.second),
        ];
        let views = tensors.map(|(name, values)| {
            let view = TensorView::new(Dtype::F32, vec![values.len()], bytemuck::cast_slice(values));
            (name, view.expect("four bytes a value"))
        });
        let bytes = safetensors::serialize(views, Some(HashMap::from([(ENTRY.to_owned(), entry)])));
        aside::write(path, &bytes.expect("tensors of different names"))
    }
}

//! One training run, from its parameters to its model.
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::time::Instant;

use tracing::info;

use super::batches::{Batch, Batches};
use super::checkpoint::{Best, Checkpoint, Progress};
use super::config::{Config, Cuboids, Precision, Validation};
use super::curve;
use super::log::{Log, Row, Scored};
use super::validation::Validator;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::io::aside;
use crate::network::trainer::Trainer;
use crate::ops::loss::Truth;
use crate::volume::Spacing;
use crate::weights::{self, Metadata, Weights};

/// Steps between two lines about the progress.
const REPORT_EVERY: u64 = 20;

/// What a run begins with.
pub enum Start {
    /// Random weights, or those of a model (transfer learning).
    Fresh(Option<PathBuf>),
    /// The checkpoint in the output folder, where there is one; otherwise as [`Start::Fresh`].
    Resume(Option<PathBuf>),
}

/// The files of a run.
struct Files {
    checkpoint: PathBuf,
    parameters: PathBuf,
    log: PathBuf,
    curve: PathBuf,
    best: PathBuf,
    model: PathBuf,
}

impl Files {
    fn of(folder: &Path) -> Self {
        Files {
            checkpoint: folder.join("checkpoint.safetensors"),
            parameters: folder.join("run.toml"),
            log: folder.join("log.csv"),
            curve: folder.join("loss.png"),
            best: folder.join("best.safetensors"),
            model: folder.join("model.safetensors"),
        }
    }
}

/// Trains as `config` says on a device, in its precision, and returns the path of the model.
///
/// Everything is written into `config.output`: `run.toml` (all parameters), `log.csv`, `loss.png`,
/// `checkpoint.safetensors` (to resume from), `best.safetensors` (of the best validation) and, at the end,
/// `model.safetensors`.
///
/// # Errors
/// Where a file of the data is unusable or one of the run cannot be written; where the folder already holds a
/// run and `start` is [`Start::Fresh`], or holds one of other parameters and it is [`Start::Resume`]; where the loss
/// is no number any more; where a GPU has too little memory or fails.
pub fn train(config: &Config, start: &Start, device: &Device) -> Result<PathBuf> {
    std::fs::create_dir_all(&config.output).map_err(|e| Error::io(&config.output, e))?;
    remove_unfinished(&config.output)?;
    info!("the network learns on {device}");
    let files = Files::of(&config.output);
    let checkpoint = begin(config, start, &files)?;
    let done = checkpoint.progress.steps;
    let batches = Batches::open(config)?;
    let metadata = metadata(config, batches.spacing());
    let mut run = Run {
        config,
        validator: Validator::open(config, device)?,
        log: Log::open(&files.log, done)?,
        network: Trainer::new(device, Weights { metadata, ..checkpoint.weights }, checkpoint.adam)?,
        average: checkpoint.average,
        progress: checkpoint.progress,
        files,
    };
    aside::write(&run.files.parameters, config.to_toml().as_bytes())?;
    std::thread::scope(|scope| {
        let threads = (rayon::current_num_threads() / 2).max(1);
        run.steps(batches.spawn(done..config.steps, threads, scope)?)
    })?;
    run.finish()
}

/// Removes what a killed run was writing when it ended.
fn remove_unfinished(folder: &Path) -> Result<()> {
    for entry in std::fs::read_dir(folder).map_err(|e| Error::io(folder, e))? {
        let path = entry.map_err(|e| Error::io(folder, e))?.path();
        if path.extension().is_some_and(|extension| extension == "partial") {
            std::fs::remove_file(&path).map_err(|e| Error::io(&path, e))?;
        }
    }
    Ok(())
}

/// What the model says about itself.
fn metadata(config: &Config, spacing: Option<Spacing>) -> Metadata {
    let data = match &config.synthetic {
        None => format!("pairs of files: {}", config.pairs.len()),
        Some(synthetic) => format!("synthetic tissue, generator seeds from {}", synthetic.seed),
    };
    Metadata {
        normalization: Some(config.normalization.to_string()),
        contrast: config.local_contrast(),
        spacing,
        training_data: Some(config.training_data.clone().unwrap_or(data)),
        version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        ..Metadata::default()
    }
}

/// The state that the run goes on from.
fn begin(config: &Config, start: &Start, files: &Files) -> Result<Checkpoint> {
    let parameters = Config { steps: 0, output: PathBuf::new(), ..config.clone() }.to_toml();
    let init = match start {
        Start::Resume(_) if files.checkpoint.exists() => {
            let checkpoint = Checkpoint::read(&files.checkpoint)?;
            if checkpoint.progress.parameters != parameters {
                return Err(Error::format(
                    &files.checkpoint,
                    format!(
                        "a run with other parameters: {}",
                        first_difference(&checkpoint.progress.parameters, &parameters)
                    ),
                    "those of the configuration (--init starts a new run from a model)",
                ));
            }
            return Ok(checkpoint);
        }
        Start::Fresh(_) if files.checkpoint.exists() => {
            return Err(Error::format(
                &files.checkpoint,
                "an earlier run",
                "an empty folder (--resume goes on with that run, --output names another folder)",
            ));
        }
        Start::Resume(init) | Start::Fresh(init) => init,
    };
    let weights = match init {
        Some(model) => Weights::load(model)?,
        None => Weights::initial(config.seed),
    };
    Ok(Checkpoint::start(weights, parameters))
}

/// The first line in which two texts differ, as `earlier instead of now`.
fn first_difference(earlier: &str, now: &str) -> String {
    let pair = earlier.lines().zip(now.lines()).find(|(earlier, now)| earlier != now);
    pair.map_or("more or fewer of them".into(), |(earlier, now)| format!("`{earlier}` instead of `{now}`"))
}

/// A run under way.
struct Run<'a> {
    config: &'a Config,
    files: Files,
    validator: Validator,
    log: Log,
    network: Trainer,
    average: Vec<f32>,
    progress: Progress,
}

impl Run<'_> {
    /// Steps until the last one or until the validation has not become better for long.
    fn steps(&mut self, batches: Receiver<Result<Batch>>) -> Result<()> {
        let Validation { every, patience, .. } = self.config.validation;
        while self.progress.steps < self.config.steps && !(patience > 0 && self.progress.stale >= patience) {
            let batch = batches.recv().expect("the preparing thread sends every batch, or its error")?;
            let mut row = self.step(&batch)?;
            let last = self.progress.steps == self.config.steps;
            let due = |every: u64| every > 0 && (last || self.progress.steps.is_multiple_of(every));
            let (validates, saves) = (due(every), due(self.config.checkpoint_every));
            if validates {
                row.validation = self.validate()?;
            }
            self.log.append(row)?;
            if validates || saves {
                self.save()?;
            }
        }
        Ok(())
    }

    /// One step of the optimiser.
    fn step(&mut self, batch: &Batch) -> Result<Row> {
        let started = Instant::now();
        let voxels: usize = batch.shape.iter().product();
        let truth = Truth { class: &batch.class, weight: &batch.weight };
        let n = batch.raw.len() / voxels;
        let loss = self.network.loss(&batch.raw, n, batch.shape, truth, &self.config.loss);
        let loss = loss.map_err(|error| self.advise(error))?;
        if !loss.is_finite() {
            let steps = self.progress.steps;
            return Err(Error::invalid(format!(
                "the loss is {loss} after {steps} steps: try a lower learning rate"
            )));
        }
        let rate = self.config.optimiser.at(self.progress.steps, self.config.steps);
        self.network.update(rate).map_err(|error| self.advise(error))?;
        self.progress.steps += 1;
        let values = &self.network.weights().values;
        self.config.optimiser.average(&mut self.average, values, self.progress.steps);

        let row = Row {
            step: self.progress.steps,
            rate,
            loss,
            seconds: started.elapsed().as_secs_f64(),
            validation: None,
        };
        if self.progress.steps.is_multiple_of(REPORT_EVERY) {
            self.report(&row);
        }
        Ok(row)
    }

    /// Says which settings need less memory, where that is what is missing.
    fn advise(&self, error: Error) -> Error {
        let Cuboids { batch, largest, .. } = self.config.cuboids;
        match error {
            Error::DeviceMemory(message) => Error::DeviceMemory(format!(
                "{message}; a step takes less with fewer or smaller cuboids (cuboids.batch = {batch}, \
                 cuboids.largest = {largest})"
            )),
            other => other,
        }
    }

    fn report(&self, row: &Row) {
        let left = (self.config.steps - row.step) as f64 * row.seconds / 60.0;
        info!(
            "step {} of {}: loss {:.4}, {:.2} s, {left:.0} min left",
            row.step, self.config.steps, row.loss, row.seconds
        );
    }

    /// The weights as they are now: the running average, which without a decay is the last step's.
    fn model(&self) -> Weights {
        Weights { values: self.average.clone(), metadata: self.network.weights().metadata.clone() }
    }

    /// Scores the network on the held-out volumes and keeps it where it is the best so far.
    fn validate(&mut self) -> Result<Option<Scored>> {
        let model = self.model();
        let Some(scored) = self.validator.score(&model)? else { return Ok(None) };
        let steps = self.progress.steps;
        info!(
            "step {steps}: validation DSC {:.4}, ARE {:.4}, membrane {:.4}, foreground {:.4}",
            scored.dsc, scored.are, scored.membrane, scored.foreground
        );
        if self.progress.best.is_none_or(|best| scored.dsc > best.score) {
            model.save(&self.files.best, weights::Precision::F32)?;
            self.progress.best = Some(Best { steps, score: scored.dsc });
            self.progress.stale = 0;
        } else {
            self.progress.stale += 1;
        }
        Ok(Some(scored))
    }

    /// Writes what a resumed run goes on from, and the curve.
    fn save(&self) -> Result<()> {
        self.log.sync()?;
        let (path, weights) = (&self.files.checkpoint, self.network.weights());
        Checkpoint::write(path, weights, &self.average, &self.network.adam()?, &self.progress)?;
        curve::draw(&self.files.curve, self.log.rows())
    }

    /// Writes the model: the best one, or the last where none was validated.
    fn finish(self) -> Result<PathBuf> {
        let mut model = match self.progress.best {
            Some(_) => Weights::load(&self.files.best)?,
            None => self.model(),
        };
        let other = &mut model.metadata.other;
        let steps = self.progress.best.map_or(self.progress.steps, |best| best.steps);
        other.insert("steps".into(), steps.to_string());
        if let Some(best) = self.progress.best {
            other.insert("validation_dsc".into(), format!("{:.4}", best.score));
        }
        let precision = match self.config.precision {
            Precision::F32 => weights::Precision::F32,
            Precision::F16 => weights::Precision::F16,
        };
        model.save(&self.files.model, precision)?;
        Ok(self.files.model)
    }
}

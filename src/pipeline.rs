//! From a volume to its cells: the whole story.
//!
//! Grey values are normalised over the whole volume, the network gives every voxel a class, block by block and at the
//! scale that the cells ask for, and the classes become cells. Nothing here writes a file; `cli::segment` does.
//!
//! ```
//! use tascan::metrics::{self, Scores};
//! use tascan::pipeline::{self, Model};
//! use tascan::synth::{self, Parameters};
//! use tascan::Volume;
//!
//! let tissue = synth::sample_with(Parameters::default(), [32, 64, 64], 1);
//! let volume = Volume::from_array(tissue.raw, Some(tissue.spacing));
//! let found = pipeline::segment(&volume, &Model::embedded()?, &pipeline::Options::default(), &mut ())?;
//!
//! let options = metrics::Options::default();
//! let scores = Scores::compare(found.cells.labels.view(), tissue.labels.view(), &options)?;
//! println!("{} cells\n{scores}", found.cells.count);
//! # Ok::<(), tascan::Error>(())
//! ```
use std::path::Path;
use std::time::Instant;

use crate::cells::{self, Cells, Stage};
use crate::device::Device;
use crate::doubts;
use crate::error::{Error, Result};
use crate::grey::Grey;
use crate::intensity::survey::Survey;
use crate::intensity::{Fit, Normalization, Percentiles, Scaling};
use crate::network::engine;
use crate::network::prediction::{Prediction, Predictor};
use crate::ops::contrast::Contrast;
use crate::scale::choice::{self, Choice, Look};
use crate::scale::{Sampled, Sampling, Scale};
use crate::volume::{Shape, Volume};
use crate::weights::Weights;

/// A network's weights and what it expects.
pub struct Model {
    /// All parameters.
    pub weights: Weights,
    /// How the grey values of its training were normalised.
    pub normalization: Normalization,
    /// And their local contrast, where that is [`Normalization::Local`].
    pub contrast: Contrast,
}

impl Model {
    /// The model that is part of the program.
    pub fn embedded() -> Result<Self> {
        Self::from_weights(
            Path::new("the embedded model"),
            Weights::from_bytes("the embedded model", include_bytes!("../models/default.safetensors"))?,
        )
    }

    /// A model file: safetensors, or a checkpoint of the authors'.
    ///
    /// # Errors
    /// Those of [`Weights::load`], and where the file names a normalisation that does not exist.
    pub fn load(path: &Path) -> Result<Self> {
        Self::from_weights(path, Weights::load(path)?)
    }

    /// The authors' checkpoints state no normalisation: they were trained on grey values as they are.
    fn from_weights(origin: &Path, weights: Weights) -> Result<Self> {
        let normalization = match &weights.metadata.normalization {
            Some(name) => name.parse().map_err(|error: Error| error.about(origin))?,
            None => Normalization::None,
        };
        let contrast = weights.metadata.contrast.unwrap_or_default();
        Ok(Model { weights, normalization, contrast })
    }
}

/// What a user may choose.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where network and clustering run; of several GPUs the first does the clustering.
    pub device: Device,
    /// In place of the model's own normalisation.
    pub normalization: Option<Normalization>,
    /// In place of the percentiles that become dark and bright.
    pub percentiles: Option<Percentiles>,
    /// Walls are darker than what is around them.
    pub invert: bool,
    /// Run the network in the authors' four axis orders.
    pub transposes: bool,
    /// On which grid the network sees the volume; by default as its cells ask for.
    pub scale: Scale,
    /// Voxels of a block on each axis; by default what the device's free memory allows. No result depends on it.
    pub block: Option<Shape>,
    /// Keep the probabilities of the three classes, 12 bytes a voxel.
    pub keep_probabilities: bool,
    /// A volume without a cell gives labels that are all 0, and a doubt that says so; otherwise it is an error.
    pub accept_none: bool,
    /// How classes become cells.
    pub cells: cells::Options,
}

/// Everything that became of a volume.
pub struct Segmentation {
    /// The grid on which the network saw the volume.
    pub sampling: Sampling,
    /// What was assumed of the voxel size, where something was.
    pub assumption: Option<String>,
    /// Classes and, if kept, probabilities.
    pub prediction: Prediction,
    /// The cells and, if kept, the super voxels.
    pub cells: Cells,
    /// The stages in their order.
    pub stages: Vec<Stage>,
    /// Reasons to doubt the result, each with what to try.
    pub doubts: Vec<String>,
}

/// Is told how far the work is, by the thread of one device or another.
pub trait Observer: Send {
    /// The network begins with a volume of this many voxels.
    fn network_begins(&mut self, voxels: u64);
    /// The network has done this many voxels in all.
    fn network_at(&mut self, voxels: u64);
    /// The network is through.
    fn network_ends(&mut self);
}

/// Looks away.
impl Observer for () {
    fn network_begins(&mut self, _: u64) {}
    fn network_at(&mut self, _: u64) {}
    fn network_ends(&mut self) {}
}

/// Finds the cells of a volume.
///
/// # Errors
/// Where the volume is empty or constant or a voxel is no number, and where no cell is found, unless
/// [`Options::accept_none`] is set.
pub fn segment(
    volume: &Volume,
    model: &Model,
    options: &Options,
    observer: &mut dyn Observer,
) -> Result<Segmentation> {
    let mut stages = Vec::new();
    let normalization = options.normalization.unwrap_or(model.normalization);
    let fit = Fit { normalization, percentiles: options.percentiles };
    let survey = timed(&mut stages, "survey", || Survey::of(volume));
    let scaling = timed(&mut stages, "normalisation", || fit.volume(volume, &survey))?;
    let scaling = if options.invert { scaling.inverted() } else { scaling };
    let contrast = (normalization == Normalization::Local).then_some(model.contrast);
    let input = Input { volume, survey: &survey, scaling, contrast };
    let (choice, predictor) = match options.scale.sampling(volume.spacing()) {
        Some(sampling) => (Choice::without_looks(sampling, volume.spacing()), None),
        None => timed(&mut stages, "scale", || input.choose(model, &options.device))?,
    };
    let Choice { sampling, spacing, assumption, doubt } = choice;
    let mut prediction =
        timed(&mut stages, "network", || input.predict(sampling, predictor, model, options, observer))?;
    let on_gpu = prediction.on_gpu.take();
    let classes = prediction.classes.view();
    let cells = cells::label_cells_from(
        &options.device,
        classes,
        on_gpu,
        spacing,
        &on_grid(&options.cells, sampling),
    )
    .and_then(|cells| if options.accept_none { Ok(cells) } else { cells.require_some(classes) })
    .map_err(|error| error.about(volume.name()))?;
    stages.extend_from_slice(&cells.stages);
    let of_classes = doubts::of_classes(classes);
    let doubts = [cells.why_none(classes), doubts::of_walls(&survey, options.invert), doubt, of_classes];
    let doubts = doubts.into_iter().flatten().collect();
    Ok(Segmentation { sampling, assumption, prediction, cells, stages, doubts })
}

/// The options for classes that were found on a grid: fewer voxels than a few points of a coarse one have are no cell.
fn on_grid(options: &cells::Options, sampling: Sampling) -> cells::Options {
    const LEAST_POINTS: f64 = 10.0;
    let voxels: f64 = sampling.steps().iter().product();
    let least = if voxels > 1.0 { (LEAST_POINTS * voxels) as u64 } else { 0 };
    cells::Options { min_cell_size: options.min_cell_size.max(least), ..*options }
}

/// Runs a stage and notes its time.
pub fn timed<T>(stages: &mut Vec<Stage>, name: &'static str, stage: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = stage();
    stages.push(Stage { name, seconds: start.elapsed().as_secs_f64() });
    result
}

/// What the network is given.
struct Input<'a> {
    volume: &'a Volume,
    survey: &'a Survey,
    scaling: Scaling,
    contrast: Option<Contrast>,
}

impl<'a> Input<'a> {
    /// The `extent` points of the grid from point `start` on.
    fn read(&self, sampling: Sampling, start: Shape, extent: Shape) -> Grey<'a> {
        let sampled = Sampled::new(self.volume, sampling);
        Grey::seen(self.contrast, start, extent, sampled.shape(), |start, extent| {
            sampled.grey(start, extent, self.scaling)
        })
    }

    /// `seen`: a predictor of one axis order that has looked at the volume.
    fn predict(
        &self,
        sampling: Sampling,
        seen: Option<Predictor>,
        model: &Model,
        options: &Options,
        observer: &mut dyn Observer,
    ) -> Result<Prediction> {
        let shape = self.volume.shape();
        let mut predictor = match seen.filter(|_| !options.transposes) {
            Some(predictor) => predictor,
            None => Predictor::on(&options.device, &model.weights, options.transposes)?,
        };
        predictor.keep_probabilities = options.keep_probabilities;
        predictor.keep_on_gpu = true;
        let default = || engine::default_block(&options.device, shape, sampling, self.contrast);
        let block = options.block.map_or_else(default, Ok)?;
        tracing::debug!("the network runs on {} in blocks of {block:?} at scale {sampling}", options.device);
        let mut read = |start: Shape, extent: Shape| Ok(self.read(sampling, start, extent));
        observer.network_begins(sampling.shape(shape).iter().map(|&extent| extent as u64).product());
        let mut progress = |done| observer.network_at(done as u64);
        let prediction = match sampling {
            Sampling::STORED => predictor.predict(shape, block, &mut read, &mut progress),
            _ => predictor.predict_sampled(shape, sampling, block, &mut read, &mut progress),
        };
        observer.network_ends();
        prediction
    }

    /// The grid that the volume's cells ask for, and the predictor that has found out. No option has a say in it.
    fn choose(&self, model: &Model, device: &Device) -> Result<(Choice, Option<Predictor>)> {
        let spacing = self.volume.spacing();
        if self.volume.len() < choice::LEAST_VOXELS {
            return Ok((Choice::without_looks(Sampling::STORED, spacing), None));
        }
        let predictor = Predictor::on(device, &model.weights, false)?;
        let shape = self.volume.shape();
        let extent = shape.map(|extent| extent.min(choice::REGION * 2));
        let start = self.survey.richest(shape, extent);
        let centre = [0, 1, 2].map(|axis| start[axis] + extent[axis] / 2);
        let look = |sampling| self.look(sampling, centre, &predictor, device);
        let choice = choice::choose(spacing, look).map_err(|error| error.about(self.volume.name()))?;
        Ok((choice, Some(predictor)))
    }

    /// The cells around `centre` (in stored voxels) on a grid.
    fn look(
        &self,
        sampling: Sampling,
        centre: Shape,
        predictor: &Predictor,
        device: &Device,
    ) -> Result<Look> {
        let (first, extent) = choice::region(sampling.shape(self.volume.shape()), sampling, centre);
        let mut read = |start: Shape, extent: Shape| {
            Ok(self.read(sampling, [0, 1, 2].map(|axis| first[axis] + start[axis]), extent))
        };
        let block = engine::default_block(device, extent, Sampling::STORED, self.contrast)?;
        let classes = predictor.predict(extent, block, &mut read, &mut |_| ())?.classes;
        let edges = self.volume.spacing().map(|spacing| sampling.edges(Some(spacing)));
        let cells = cells::label_cells_on(device, classes.view(), edges, &cells::Options::default())?;
        Ok(Look { sampling, start: first, labels: cells.labels })
    }
}

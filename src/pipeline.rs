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
use crate::error::{Error, Result};
use crate::grey::Grey;
use crate::intensity::{Normalization, Scaling};
use crate::network::engine;
use crate::network::prediction::{Prediction, Predictor};
use crate::scale::choice::{self, Look};
use crate::scale::{self, Reduced, Scale};
use crate::volume::{Shape, Spacing, Volume};
use crate::weights::Weights;

/// A network's weights and what it expects.
pub struct Model {
    /// All parameters.
    pub weights: Weights,
    /// How the grey values of its training were normalised.
    pub normalization: Normalization,
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
        Ok(Model { weights, normalization })
    }
}

/// What a user may choose.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where network and clustering run; of several GPUs the first does the clustering.
    pub device: Device,
    /// In place of the model's own normalisation.
    pub normalization: Option<Normalization>,
    /// Run the network in the authors' four axis orders.
    pub transposes: bool,
    /// How many times the volume is reduced before the network sees it; by default as its cells ask for.
    pub scale: Scale,
    /// Voxels of a block on each axis; by default what the device's free memory allows. No result depends on it.
    pub block: Option<Shape>,
    /// Keep the probabilities of the three classes, 12 bytes a voxel.
    pub keep_probabilities: bool,
    /// How classes become cells.
    pub cells: cells::Options,
}

/// Everything that became of a volume.
pub struct Segmentation {
    /// How many times the network saw the volume reduced, z, y, x.
    pub scale: Shape,
    /// Classes and, if kept, probabilities.
    pub prediction: Prediction,
    /// The cells and, if kept, the super voxels.
    pub cells: Cells,
    /// The stages in their order.
    pub stages: Vec<Stage>,
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
/// Where the volume is empty or constant or a voxel is no number, and where no cell is found.
pub fn segment(
    volume: &Volume,
    model: &Model,
    options: &Options,
    observer: &mut dyn Observer,
) -> Result<Segmentation> {
    let mut stages = Vec::new();
    let normalization = options.normalization.unwrap_or(model.normalization);
    let scaling = timed(&mut stages, "normalisation", || normalization.fit_volume(volume))?;
    let input = Input { volume, scaling };
    let (factors, predictor) = match options.scale {
        Scale::Fixed(scale) => (scale::factors(scale, volume.spacing()), None),
        Scale::Auto => timed(&mut stages, "scale", || input.choose_factors(model, &options.device))?,
    };
    let mut prediction =
        timed(&mut stages, "network", || input.predict(factors, predictor, model, options, observer))?;
    let on_gpu = prediction.on_gpu.take();
    let classes = prediction.classes.view();
    let cells = cells::label_cells_from(&options.device, classes, on_gpu, volume.spacing(), &options.cells)
        .and_then(|cells| cells.require_some(classes))
        .map_err(|error| error.about(volume.name()))?;
    stages.extend_from_slice(&cells.stages);
    Ok(Segmentation { scale: factors, prediction, cells, stages })
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
    scaling: Scaling,
}

impl<'a> Input<'a> {
    /// The means of boxes of `factors` voxels: of `extent` boxes from box `start` on.
    fn read(&self, factors: Shape, start: Shape, extent: Shape) -> Grey<'a> {
        Reduced::new(self.volume, factors).grey(start, extent, self.scaling)
    }

    /// `seen`: a predictor of one axis order that has looked at the volume.
    fn predict(
        &self,
        factors: Shape,
        seen: Option<Predictor>,
        model: &Model,
        options: &Options,
        observer: &mut dyn Observer,
    ) -> Result<Prediction> {
        let (shape, reduced) = (self.volume.shape(), Reduced::new(self.volume, factors).shape());
        let mut predictor = match seen.filter(|_| !options.transposes) {
            Some(predictor) => predictor,
            None => Predictor::on(&options.device, &model.weights, options.transposes)?,
        };
        predictor.keep_probabilities = options.keep_probabilities;
        predictor.keep_on_gpu = true;
        let block =
            options.block.map_or_else(|| engine::default_block(&options.device, shape, factors), Ok)?;
        tracing::debug!("the network runs on {} in blocks of {block:?} at scale {factors:?}", options.device);
        let mut read = |start: Shape, extent: Shape| Ok(self.read(factors, start, extent));
        observer.network_begins(reduced.iter().map(|&extent| extent as u64).product());
        let mut progress = |done| observer.network_at(done as u64);
        let prediction = match factors {
            [1, 1, 1] => predictor.predict(shape, block, &mut read, &mut progress),
            _ => predictor.predict_reduced(shape, factors, block, &mut read, &mut progress),
        };
        observer.network_ends();
        prediction
    }

    /// The factors that the volume's cells ask for, and the predictor that has found out. No option has a say in it.
    fn choose_factors(&self, model: &Model, device: &Device) -> Result<(Shape, Option<Predictor>)> {
        let spacing = self.volume.spacing();
        let factors = |scale| scale::factors(scale, spacing);
        if self.volume.len() < choice::LEAST_VOXELS {
            return Ok((factors(1), None));
        }
        let predictor = Predictor::on(device, &model.weights, false)?;
        let look = |factors, region| self.look(factors, region, &predictor, device);
        let chosen = choice::choose(factors, look).map_err(|error| error.about(self.volume.name()))?;
        Ok((factors(chosen), Some(predictor)))
    }

    /// The cells in the middle of the reduced volume, at most `region` voxels of the volume.
    fn look(&self, factors: Shape, region: Shape, predictor: &Predictor, device: &Device) -> Result<Look> {
        let reduced = Reduced::new(self.volume, factors).shape();
        let (first, extent) = choice::middle(reduced, factors, region);
        let mut read = |start: Shape, extent: Shape| {
            Ok(self.read(factors, [0, 1, 2].map(|axis| first[axis] + start[axis]), extent))
        };
        let block = engine::default_block(device, extent, [1; 3])?;
        let classes = predictor.predict(extent, block, &mut read, &mut |_| ())?.classes;
        let edges =
            self.volume.spacing().map(|Spacing(edges)| [0, 1, 2].map(|a| edges[a] * factors[a] as f64));
        let cells =
            cells::label_cells_on(device, classes.view(), edges.map(Spacing), &cells::Options::default())?;
        Ok(Look::at(cells.labels.view(), cells.count))
    }
}

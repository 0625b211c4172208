//! The parameters of a training run: `run.toml`.
//!
//! Every field but the data has a default. An unknown key is an error, so that a misspelt one is not
//! silently ignored. Relative paths are relative to the folder of the file.
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::augment::Augmentation;
use super::masks::Masks;
use super::rate::Optimiser;
use crate::error::{Error, Result};
use crate::intensity::Normalization;
use crate::io::{Pick, Role, Selection};
use crate::ops::contrast::Contrast;
use crate::ops::loss::Loss;
use crate::volume::Shape;

/// A training run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Folder of everything that the run writes; made where it is missing. Default `run`.
    pub output: PathBuf,
    /// Seed of the first weights, the cuboids and the augmentation. Default 1.
    pub seed: u64,
    /// Steps to train. Default 10000.
    pub steps: u64,
    /// A checkpoint is written every so many steps, and at the end. Default 100.
    pub checkpoint_every: u64,
    /// How grey values become the network's input. Default `robust`.
    pub normalization: Normalization,
    /// How local contrast is normalised where `normalization` is `local`: what the model states and what held-out
    /// volumes are seen with. Default: a half width of 12 voxels, a floor of 0.05.
    pub contrast: Contrast,
    /// Number format of the final model: `f32` (default) or `f16`.
    pub precision: Precision,
    /// Free text for the model's metadata: what it was trained on. Default: pairs or synthetic tissue, counted.
    pub training_data: Option<String>,
    /// Volumes to learn from; either these or `synthetic`.
    pub pairs: Vec<Pair>,
    /// Synthetic tissue to learn from, rendered on the fly; either this or `pairs`.
    pub synthetic: Option<Synthetic>,
    /// What the network sees at a time.
    pub cuboids: Cuboids,
    /// How cuboids are turned and degraded.
    pub augmentation: Augmentation,
    /// How labels become classes and weights.
    pub masks: Masks,
    /// What is minimised.
    pub loss: Loss,
    /// Adam and its learning rate.
    pub optimiser: Optimiser,
    /// Held-out volumes.
    pub validation: Validation,
}

/// A raw volume and its labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// Grey values: any volume that `tascan info` reads.
    pub raw: PathBuf,
    /// Labels of the same shape; 0 is background, -1 and `masks.ignore` are left out.
    pub labels: PathBuf,
    /// The channel of the raw file, by number from 0 or by name, where it has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<Pick>,
    /// The time point of the raw file, counted from 0, where it has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Pick>,
}

impl Pair {
    /// The raw volume that is wanted of its file.
    pub fn selection(&self) -> Selection {
        Selection { role: Role::Raw, channel: self.channel.clone(), time: self.time.clone() }
    }
}

/// Synthetic tissue. Volume number i of the run is rendered with the generator's seed `seed + i`; held-out volumes
/// with the first seeds below `seed` whose volumes hold cells, so that the two never meet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Synthetic {
    /// Seed of the first volume. Default 1000000.
    pub seed: u64,
    /// Number of different volumes; 0 (default) for ever new ones.
    pub count: u64,
    /// Shape of each volume in voxels, z, y, x. Default 96 a side.
    pub shape: Shape,
    /// Cuboids come from this many volumes at a time. Default 16.
    pub window: u64,
    /// Cuboids taken from a volume, in the mean, before the next one is rendered. Default 8.
    pub uses: u64,
    /// Label volumes (0 is background) whose cells, turned, scaled and bent, are rendered beside grown ones. Default none.
    pub shapes: Vec<PathBuf>,
    /// Share of the volumes with cells from `shapes`, where there are any. Default 0.5.
    pub shapes_share: f32,
}

/// Cuboids: drawn at random, all of one batch of the same size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cuboids {
    /// Cuboids in a batch. Default 7.
    pub batch: usize,
    /// Smallest side in voxels; a smaller volume gives smaller ones. Default 56.
    pub smallest: usize,
    /// Largest side in voxels. Default 64.
    pub largest: usize,
}

/// Held-out volumes, segmented with the network as it is and scored against their truth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Validation {
    /// Validate every so many steps, and at the end; 0 for never. Default 500.
    pub every: u64,
    /// Held-out pairs.
    pub pairs: Vec<Pair>,
    /// Held-out synthetic volumes, where the run learns from synthetic ones. Default 2.
    pub synthetic: u64,
    /// Stop after so many validations without a better score; 0 (default) for never.
    pub patience: u64,
    /// Cells below this many voxels do not count in the score. Default 100.
    pub min_cell_size: u64,
}

/// Number format of a model file.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Four bytes a value.
    F32,
    /// Two bytes a value.
    F16,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            output: PathBuf::from("run"),
            seed: 1,
            steps: 10_000,
            checkpoint_every: 100,
            normalization: Normalization::default(),
            contrast: Contrast::default(),
            precision: Precision::F32,
            training_data: None,
            pairs: Vec::new(),
            synthetic: None,
            cuboids: Cuboids::default(),
            augmentation: Augmentation::default(),
            masks: Masks::default(),
            loss: Loss::default(),
            optimiser: Optimiser::default(),
            validation: Validation::default(),
        }
    }
}

impl Default for Synthetic {
    fn default() -> Self {
        Synthetic {
            seed: 1_000_000,
            count: 0,
            shape: [96; 3],
            window: 16,
            uses: 8,
            shapes: Vec::new(),
            shapes_share: 0.5,
        }
    }
}

impl Default for Cuboids {
    fn default() -> Self {
        Cuboids { batch: 7, smallest: 56, largest: 64 }
    }
}

impl Default for Validation {
    fn default() -> Self {
        Validation { every: 500, pairs: Vec::new(), synthetic: 2, patience: 0, min_cell_size: 100 }
    }
}

impl Config {
    /// Reads `run.toml`; paths in it become relative to its folder.
    ///
    /// # Errors
    /// Where the file cannot be read, has unknown keys or wrong types, or where the values make no sense.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
        let mut config: Config = toml::from_str(&text)
            .map_err(|e| Error::format(path, e.to_string().trim_end(), "the parameters of a training run"))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        config.output = folder.join(&config.output);
        for pair in config.pairs.iter_mut().chain(&mut config.validation.pairs) {
            pair.raw = folder.join(&pair.raw);
            pair.labels = folder.join(&pair.labels);
        }
        for path in config.synthetic.iter_mut().flat_map(|synthetic| &mut synthetic.shapes) {
            *path = folder.join(&path);
        }
        config.check().map_err(|what| Error::format(path, what, "parameters that go together"))?;
        Ok(config)
    }

    /// How local contrast is normalised, where it is.
    pub fn local_contrast(&self) -> Option<Contrast> {
        (self.normalization == Normalization::Local).then_some(self.contrast)
    }

    /// All parameters as `run.toml`, defaults included.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a configuration has a TOML form")
    }

    /// What makes no sense, if anything.
    fn check(&self) -> Result<(), String> {
        let Cuboids { batch, smallest, largest } = self.cuboids;
        if self.pairs.is_empty() == self.synthetic.is_none() {
            return Err(
                "neither or both of [[pairs]] and [synthetic]: the run learns from one of them".into()
            );
        }
        if batch == 0 || batch > MAX_BATCH {
            return Err(format!("cuboids.batch = {batch}: from 1 to {MAX_BATCH} are possible"));
        }
        if smallest == 0 || smallest > largest {
            return Err(format!("cuboids from {smallest} to {largest} voxels a side"));
        }
        if self.checkpoint_every == 0 {
            return Err("checkpoint_every = 0".into());
        }
        if !(self.masks.membrane_width.is_finite() && self.masks.membrane_width > 0.0) {
            return Err(format!("masks.membrane_width = {}", self.masks.membrane_width));
        }
        self.contrast.check().map_err(|what| format!("contrast: {what}"))?;
        self.check_synthetic()?;
        self.augmentation.check()?;
        self.loss.check()?;
        self.optimiser.check()
    }

    fn check_synthetic(&self) -> Result<(), String> {
        let Some(Synthetic { shape, window, uses, shapes, shapes_share, .. }) = &self.synthetic else {
            return Ok(());
        };
        if shape.contains(&0) {
            return Err(format!("synthetic.shape = {shape:?}"));
        }
        if *window == 0 || *uses == 0 {
            return Err(format!("synthetic.window = {window} and synthetic.uses = {uses}: both at least 1"));
        }
        if !(0.0..=1.0).contains(shapes_share) {
            return Err(format!("synthetic.shapes_share = {shapes_share}: from 0 to 1 is possible"));
        }
        // Now, not at the first volume that needs it.
        if let Some(missing) = shapes.iter().find(|path| !path.exists()) {
            return Err(format!("synthetic.shapes: there is no {}", missing.display()));
        }
        Ok(())
    }
}

/// Largest batch: beyond it the random streams of two steps would meet.
pub const MAX_BATCH: usize = 255;

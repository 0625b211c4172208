//! Held-out volumes: segmented with the network as it is, scored voxel by voxel and cell by cell.
use std::sync::Arc;

use ndarray::{ArrayView3, Zip, s};

use super::config::{Config, Validation};
use super::log::Scored;
use super::volumes::{Generator, Preparation, Volume, read_all};
use crate::cells::{self, FOREGROUND, MEMBRANE};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::grey::Grey;
use crate::metrics::{self, Scores};
use crate::network::engine;
use crate::network::prediction::Predictor;
use crate::ops::contrast::Contrast;
use crate::ops::loss::NOT_COUNTED;
use crate::scale::Sampling;
use crate::volume::Shape;
use crate::weights::Weights;

/// The held-out volumes of a run.
pub struct Validator {
    device: Device,
    volumes: Vec<Arc<Volume>>,
    options: metrics::Options,
    contrast: Option<Contrast>,
}

impl Validator {
    /// Reads or renders the held-out volumes; the network is to run on `device`.
    ///
    /// # Errors
    /// As for the volumes to learn from.
    pub fn open(config: &Config, device: &Device) -> Result<Self> {
        let preparation = Preparation::of(config);
        let mut volumes = Vec::new();
        if config.validation.every > 0 {
            volumes = read_all(&preparation, &config.validation.pairs)?;
            if let Some(synthetic) = &config.synthetic {
                let Validation { synthetic: count, min_cell_size, .. } = config.validation;
                volumes.extend(Generator::open(synthetic, preparation)?.held_out(count, min_cell_size)?);
            }
        }
        let options =
            metrics::Options { min_cell_size: config.validation.min_cell_size, ..Default::default() };
        for volume in &volumes {
            // A volume without a cell that counts is refused now, not after the first hour.
            Scores::compare_annotated(volume.truth.labels.view(), &volume.truth, &options)
                .map_err(|e| Error::invalid(format!("a held-out volume: {e}")))?;
        }
        Ok(Validator { device: device.clone(), volumes, options, contrast: config.local_contrast() })
    }

    /// The mean scores of these weights; `None` where there is no held-out volume.
    pub fn score(&self, weights: &Weights) -> Result<Option<Scored>> {
        if self.volumes.is_empty() {
            return Ok(None);
        }
        let predictor = Predictor::on(&self.device, weights, false)?;
        let scores: Vec<Scored> =
            self.volumes.iter().map(|volume| self.score_volume(&predictor, volume)).collect::<Result<_>>()?;
        let mean = |of: fn(&Scored) -> f64| scores.iter().map(of).sum::<f64>() / scores.len() as f64;
        Ok(Some(Scored {
            dsc: mean(|scored| scored.dsc),
            are: mean(|scored| scored.are),
            membrane: mean(|scored| scored.membrane),
            foreground: mean(|scored| scored.foreground),
        }))
    }

    fn score_volume(&self, predictor: &Predictor, volume: &Volume) -> Result<Scored> {
        let shape: Shape = volume.raw.dim().into();
        let block = engine::default_block(&self.device, shape, Sampling::STORED, self.contrast)?;
        let grey = |[z, y, x]: Shape, [depth, rows, columns]: Shape| {
            Grey::from(volume.raw.slice(s![z..z + depth, y..y + rows, x..x + columns]))
        };
        let mut read =
            |start: Shape, extent: Shape| Ok(Grey::seen(self.contrast, start, extent, shape, grey));
        let classes = predictor.predict(shape, block, &mut read, &mut |_| ())?.classes;
        let truth = volume.targets.class.view();
        let [membrane, foreground] = [MEMBRANE, FOREGROUND].map(|class| dice(classes.view(), truth, class));
        let cells = cells::label_cells(classes.view(), volume.spacing, &cells::Options::default())?;
        let scores = Scores::compare_annotated(cells.labels.view(), &volume.truth, &self.options)?;
        Ok(Scored { dsc: scores.mean_dsc, are: scores.adapted_rand_error, membrane, foreground })
    }
}

/// The Dice coefficient of the voxels of one class among those that count; 1 where neither has any.
fn dice(predicted: ArrayView3<u8>, truth: ArrayView3<u8>, class: u8) -> f64 {
    let mut counts = [0u64; 2];
    Zip::from(predicted).and(truth).for_each(|&p, &t| {
        counts[0] += u64::from(p == class && t == class);
        counts[1] += u64::from(p == class && t != NOT_COUNTED) + u64::from(t == class);
    });
    if counts[1] == 0 { 1.0 } else { 2.0 * counts[0] as f64 / counts[1] as f64 }
}

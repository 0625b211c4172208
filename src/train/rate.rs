//! The learning rate of each step, and the average over the steps.
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Adam's learning rate and its course.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Optimiser {
    /// Greatest learning rate. Default 1e-4, as in the paper.
    pub rate: f64,
    /// Course of the learning rate after the warm-up: `constant` (default) or `cosine`.
    pub schedule: Schedule,
    /// Steps over which the rate rises linearly to `rate`. Default 0.
    pub warm_up: u64,
    /// Rate that `cosine` ends with. Default 1e-6.
    pub final_rate: f64,
    /// Decay of the running average of the weights, which is then what is validated and becomes the model; below 1.
    /// Default 0: the weights themselves.
    pub average: f64,
}

/// The course of the learning rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// Always `rate`.
    Constant,
    /// Half a cosine from `rate` down to `final_rate`.
    Cosine,
}

impl Default for Optimiser {
    fn default() -> Self {
        Optimiser { rate: 1e-4, schedule: Schedule::Constant, warm_up: 0, final_rate: 1e-6, average: 0.0 }
    }
}

impl Optimiser {
    /// The learning rate of step `step` (from 0) of a run of `steps`.
    pub fn at(&self, step: u64, steps: u64) -> f64 {
        if step < self.warm_up {
            return self.rate * (step + 1) as f64 / self.warm_up as f64;
        }
        match self.schedule {
            Schedule::Constant => self.rate,
            Schedule::Cosine => {
                let length = steps.saturating_sub(self.warm_up).max(1);
                let done = (step - self.warm_up) as f64 / length as f64;
                let share = 0.5 * (1.0 + (std::f64::consts::PI * done.min(1.0)).cos());
                self.final_rate + share * (self.rate - self.final_rate)
            }
        }
    }

    /// Moves the running average of all weights and statistics after step `step` (from 1); in the first steps it
    /// forgets faster, so that the random start does not linger.
    pub fn average(&self, average: &mut [f32], values: &[f32], step: u64) {
        let decay = self.average.min(step as f64 / (step as f64 + 10.0));
        let (kept, share) = (decay as f32, (1.0 - decay) as f32);
        average
            .par_iter_mut()
            .zip(values)
            .for_each(|(average, value)| *average = kept * *average + share * value);
    }

    pub(super) fn check(&self) -> Result<(), String> {
        for (name, rate) in [("rate", self.rate), ("final_rate", self.final_rate)] {
            if !(rate.is_finite() && rate >= 0.0) {
                return Err(format!("optimiser.{name} = {rate}"));
            }
        }
        if !(0.0..1.0).contains(&self.average) {
            return Err(format!("optimiser.average = {}: it is at least 0 and below 1", self.average));
        }
        Ok(())
    }
}

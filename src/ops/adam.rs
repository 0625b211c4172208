//! Adam (Kingma and Ba 2015), as PyTorch's `torch.optim.Adam` defines it, over one flat slice of parameters.
//!
//! ```text
//! m = b1 m + (1 - b1) g      v = b2 v + (1 - b2) g^2
//! p = p - rate / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + epsilon)
//! ```
//!
//! Every parameter stands alone, so the result does not depend on the threads. Cost: some 12 operations and
//! 28 bytes a parameter.
use rayon::prelude::*;

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// Parameters that one thread updates at a time.
const CHUNK: usize = 16_384;

/// The moments of the gradient, `[parameters]` each, and the number of steps done.
#[derive(Clone, Debug, PartialEq)]
pub struct Adam {
    /// Running mean of the gradient, `m`.
    pub first: Vec<f32>,
    /// Running mean of the squared gradient, `v`.
    pub second: Vec<f32>,
    /// Steps done, `t`.
    pub steps: u64,
}

impl Adam {
    /// The state before the first step.
    pub fn new(parameters: usize) -> Self {
        Adam { first: vec![0.0; parameters], second: vec![0.0; parameters], steps: 0 }
    }

    /// `rate / (1 - b1^t)` and `sqrt(1 - b2^t)` of step `t`, from 1.
    pub fn corrected(rate: f64, t: u64) -> (f32, f32) {
        let t = t as f64;
        ((rate / (1.0 - BETA1.powf(t))) as f32, (1.0 - BETA2.powf(t)).sqrt() as f32)
    }

    /// One step with learning rate `rate`.
    ///
    /// # Panics
    /// Where the lengths of `parameters` and `gradient` differ from that of the moments.
    pub fn step(&mut self, parameters: &mut [f32], gradient: &[f32], rate: f64) {
        assert_eq!(parameters.len(), self.first.len(), "one parameter a moment");
        assert_eq!(gradient.len(), self.first.len(), "one gradient a moment");
        self.steps += 1;
        let (rate, root) = Adam::corrected(rate, self.steps);

        let moments = self.first.par_chunks_mut(CHUNK).zip(self.second.par_chunks_mut(CHUNK));
        parameters.par_chunks_mut(CHUNK).zip(gradient.par_chunks(CHUNK)).zip(moments).for_each(
            |((parameters, gradient), (first, second))| {
                let moments = first.iter_mut().zip(second);
                for ((p, &g), (m, v)) in parameters.iter_mut().zip(gradient).zip(moments) {
                    *m += (1.0 - BETA1) as f32 * (g - *m);
                    *v = BETA2 as f32 * *v + (1.0 - BETA2) as f32 * g * g;
                    *p -= rate * (*m / (v.sqrt() / root + EPSILON as f32));
                }
            },
        );
    }
}

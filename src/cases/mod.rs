//! Every operation of the engine as a case: what computes it on a GPU and on the CPU, how the two results are compared, and
//! how much work it is. `tascan selftest` compares them, `tascan bench` times them.
mod clustering;
mod contrast;
mod enlargement;
mod layers;
mod network;
mod training;

use std::sync::Arc;

use crate::device::Precision;
use crate::device::cuda::Gpu;
use crate::error::Result;

/// What an operation has to do, at the least.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Work {
    /// Arithmetic operations; a multiply-add counts as two.
    pub operations: f64,
    /// Bytes read and written once each.
    pub bytes: f64,
}

/// Which of a GPU's rates bounds the arithmetic of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pipe {
    /// f32 and integers.
    Scalar,
    /// Matrix instructions with f16 factors and f32 sums.
    Tensor,
}

/// What a row of a table says of an operation.
#[derive(Clone, Debug)]
pub struct About {
    /// Its name: the stem of its file in `src/ops`, then what part of it.
    pub operation: &'static str,
    /// Extents, z, y, x, and channels.
    pub shape: String,
    /// Type of the values.
    pub dtype: &'static str,
    /// How much it does.
    pub work: Work,
    /// What bounds its arithmetic on a GPU.
    pub pipe: Pipe,
    /// Greatest deviation of the GPU's result that is rounding.
    pub tolerance: f64,
}

/// An operation, ready to run.
pub struct Case<'a> {
    /// What it is.
    pub about: About,
    runs: Box<dyn Runs + 'a>,
}

impl<'a> Case<'a> {
    /// `cpu` and `on_gpu` compute the same; `compare` gives the deviation of the second result from the first.
    fn new<C, G>(
        about: About,
        cpu: impl Fn() -> C + 'a,
        on_gpu: Option<impl Fn() -> Result<G> + 'a>,
        compare: impl Fn(&C, &G) -> Result<f64> + 'a,
    ) -> Self {
        Case { about, runs: Box::new(Pair { cpu, on_gpu, compare }) }
    }

    /// Computes it on the CPU.
    pub fn run_on_cpu(&self) {
        self.runs.cpu();
    }

    /// Launches it on the GPU; does nothing without one.
    ///
    /// # Errors
    /// Where the GPU has too little memory or refuses.
    pub fn run_on_gpu(&self) -> Result<()> {
        self.runs.gpu()
    }

    /// How far the GPU's result is from the CPU's, NaN where a value is no number; `None` without a GPU.
    ///
    /// # Errors
    /// Where the GPU has too little memory or fails.
    pub fn deviation(&self) -> Result<Option<f64>> {
        self.runs.deviation()
    }
}

trait Runs {
    fn cpu(&self);
    fn gpu(&self) -> Result<()>;
    fn deviation(&self) -> Result<Option<f64>>;
}

struct Pair<Cpu, OnGpu, Compare> {
    cpu: Cpu,
    on_gpu: Option<OnGpu>,
    compare: Compare,
}

impl<C, G, Cpu, OnGpu, Compare> Runs for Pair<Cpu, OnGpu, Compare>
where
    Cpu: Fn() -> C,
    OnGpu: Fn() -> Result<G>,
    Compare: Fn(&C, &G) -> Result<f64>,
{
    fn cpu(&self) {
        std::hint::black_box((self.cpu)());
    }

    fn gpu(&self) -> Result<()> {
        self.on_gpu.as_ref().map_or(Ok(()), |on_gpu| on_gpu().map(drop))
    }

    fn deviation(&self) -> Result<Option<f64>> {
        let compare = |on_gpu: &OnGpu| (self.compare)(&(self.cpu)(), &on_gpu()?);
        self.on_gpu.as_ref().map(compare).transpose()
    }
}

/// Is given the cases one after the other.
pub type Visit<'v> = &'v mut dyn FnMut(&Case) -> Result<()>;

/// Makes the cases for a cube of `edge` voxels, one at a time; without a GPU those that the CPU has.
///
/// # Errors
/// Where the GPU has too little memory or fails, or `visit` does.
pub fn visit_all(gpu: Option<&Arc<Gpu>>, edge: usize, visit: Visit) -> Result<()> {
    contrast::visit_all(gpu, edge, visit)?;
    network::visit_all(gpu, edge, visit)?;
    enlargement::visit_all(gpu, edge, visit)?;
    training::visit_all(gpu, edge, visit)?;
    clustering::visit_all(gpu, edge, visit)
}

/// Whether there are cases in `precision`; the CPU knows f32 alone.
fn has(gpu: Option<&Arc<Gpu>>, precision: Precision) -> bool {
    match gpu {
        Some(gpu) => gpu.check_precision(precision).is_ok(),
        None => precision == Precision::F32,
    }
}

/// Greatest difference, as a fraction of the greatest expected value; NaN where a value is no number.
fn relative(expected: &[f32], found: &[f32]) -> f64 {
    let greatest = expected.iter().fold(f32::MIN_POSITIVE, |most, value| most.max(value.abs()));
    absolute(expected, found) / f64::from(greatest)
}

/// Greatest difference; NaN where a value is no number or the numbers of values differ.
fn absolute(expected: &[f32], found: &[f32]) -> f64 {
    let differences = expected.iter().zip(found).map(|(a, b)| f64::from((a - b).abs()));
    if expected.len() == found.len() { worst(differences) } else { f64::NAN }
}

/// The greatest of some deviations; NaN where one is.
fn worst(deviations: impl Iterator<Item = f64>) -> f64 {
    deviations.fold(0.0, |most, next| if most.is_nan() || next <= most { most } else { next })
}

/// 0 where both are the same.
fn exact<T: PartialEq>(expected: &T, found: &T) -> f64 {
    if expected == found { 0.0 } else { f64::INFINITY }
}

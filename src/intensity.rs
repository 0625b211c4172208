//! Normalisation of grey values.
//!
//! A model states the [`Normalization`] that it was trained with. Fitted to a whole volume it gives a
//! [`Scaling`], one multiplication and one subtraction a voxel, so that nothing depends on how the volume is later
//! cut into blocks. Percentiles are exact: two parallel passes over the volume count the upper, then the lower 16
//! bits of the voxels' order-preserving codes, whatever the voxel type.
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use ndarray::{ArrayView3, CowArray, Ix3, s};
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::volume::Volume;

/// How grey values become the network's input. The names are those of `--normalize` and of model metadata.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Normalization {
    /// Percentile 1 becomes 0 and percentile 99.8 becomes 1; a few hot or dead voxels change nothing.
    #[default]
    Robust,
    /// The minimum becomes 0, the maximum 1.
    #[value(name = "minmax")]
    MinMax,
    /// The minimum becomes 0, percentile 99 of what remains 255 (the authors' `Normalization_np`).
    Authors,
    /// Grey values as they are, as the authors' shipped code trains.
    None,
}

impl fmt::Display for Normalization {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Normalization::Robust => "robust",
            Normalization::MinMax => "minmax",
            Normalization::Authors => "authors",
            Normalization::None => "none",
        })
    }
}

impl FromStr for Normalization {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let all = [Self::Robust, Self::MinMax, Self::Authors, Self::None];
        all.into_iter().find(|one| one.to_string() == name).ok_or_else(|| {
            Error::invalid(format!(
                "unknown normalisation {name:?}: expected robust, minmax, authors or none"
            ))
        })
    }
}

/// A fitted normalisation: x becomes (x - offset) * scale.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scaling {
    /// The grey value that becomes 0.
    pub offset: f32,
    /// 1 over the grey values that a step of 1 spans.
    pub scale: f32,
}

impl Scaling {
    /// Leaves every value as it is.
    pub const IDENTITY: Scaling = Scaling { offset: 0.0, scale: 1.0 };

    /// The network's input for the grey value `x`.
    #[inline]
    pub fn apply(&self, x: f32) -> f32 {
        (x - self.offset) * self.scale
    }
}

impl Normalization {
    /// The scaling of this volume (z, y, x).
    ///
    /// # Errors
    /// Where the volume is empty, where a voxel is NaN or infinite (the first one is named), and where all voxels are equal.
    pub fn fit(&self, voxels: ArrayView3<f32>) -> Result<Scaling> {
        let planes = |range: Range<usize>| Ok(CowArray::from(voxels.slice(s![range, .., ..])));
        self.fit_planes(voxels.dim().into(), planes)
    }

    /// As [`fit`](Self::fit), reading the volume a few planes at a time; errors name its file.
    pub fn fit_volume(&self, volume: &Volume) -> Result<Scaling> {
        let [_, height, width] = volume.shape();
        let planes = |z: Range<usize>| Ok(volume.read_f32([z.start, 0, 0], [z.len(), height, width]).into());
        self.fit_planes(volume.shape(), planes).map_err(|error| error.about(volume.name()))
    }

    /// As [`fit`](Self::fit) for a volume of `shape` that `planes` reads a range of z at a time, twice.
    fn fit_planes<'a>(
        &self,
        shape: crate::Shape,
        planes: impl Fn(Range<usize>) -> Result<CowArray<'a, f32, Ix3>> + Sync,
    ) -> Result<Scaling> {
        let voxels = Codes { shape, planes };
        let count: usize = shape.iter().product();
        if count == 0 {
            return Err(Error::invalid(format!("the volume is empty: {shape:?} voxels (z, y, x)")));
        }
        let at = |fraction: f64| fraction * (count - 1) as f64;
        let positions = [0.0, at(0.01), at(0.99), at(0.998), at(1.0)];
        let [min, p1, p99, p998, max] = voxels.order_statistics(positions)?;
        if min == max {
            return Err(Error::invalid(format!(
                "every voxel is {min}: there is nothing to see in this volume"
            )));
        }
        let (low, high, range) = match self {
            Normalization::Robust if p1 < p998 => (p1, p998, 1.0),
            Normalization::Robust | Normalization::MinMax => (min, max, 1.0),
            Normalization::Authors if min < p99 => (min, p99, 255.0),
            Normalization::Authors => (min, min + 1.0, 1.0),
            Normalization::None => return Ok(Scaling::IDENTITY),
        };
        let scaling = Scaling { offset: low as f32, scale: (range / (high - low)) as f32 };
        if !scaling.scale.is_normal() {
            return Err(Error::invalid(format!("grey values from {min} to {max} cannot be normalised")));
        }
        Ok(scaling)
    }
}

/// Bins of a histogram: 16 bits of a code.
const BINS: usize = 1 << 16;

/// A volume seen as order-preserving codes.
struct Codes<F> {
    shape: crate::Shape,
    planes: F,
}

/// What one pass finds out.
struct Tally {
    histogram: Vec<u64>,
    /// The first voxel that is no number.
    bad: Option<(crate::Shape, f32)>,
}

impl<'a, F: Fn(Range<usize>) -> Result<CowArray<'a, f32, Ix3>> + Sync> Codes<F> {
    /// How many voxels have each of `bins` bins; `bin` gives none for voxels that do not count.
    fn histogram(&self, bins: usize, bin: impl Fn(u32) -> Option<usize> + Sync) -> Result<Vec<u64>> {
        let [depth, height, width] = self.shape;
        // Slabs so large that each repays its histogram; their number does not change any count.
        let step = (1 << 21) / (height * width) + 1;
        let slabs: Vec<_> = (0..depth).step_by(step).map(|z| z..depth.min(z + step)).collect();
        let empty = || Tally { histogram: vec![0; bins], bad: None };
        let tally = slabs
            .into_par_iter()
            .try_fold(empty, |mut tally, slab| {
                let start = slab.start;
                tally.count((self.planes)(slab)?, start, &bin);
                Ok(tally)
            })
            .try_reduce(empty, |a, b| Ok(a.join(b)))?;
        match tally.bad {
            Some((at, value)) => Err(not_finite(value, at)),
            None => Ok(tally.histogram),
        }
    }

    /// The values at these positions of the sorted voxels, interpolated linearly between neighbours as NumPy's
    /// `percentile` does.
    fn order_statistics<const N: usize>(&self, positions: [f64; N]) -> Result<[f64; N]> {
        let coarse = self.histogram(BINS, |code| Some(code as usize >> 16))?;
        let mut wanted: Vec<_> = positions
            .iter()
            .flat_map(|at| [at.floor(), at.ceil()])
            .map(|rank| bin_of(&coarse, rank as u64).0)
            .collect();
        wanted.sort_unstable();
        wanted.dedup();
        let fine = self.histogram(wanted.len() * BINS, |code| {
            let slot = wanted.binary_search(&(code as usize >> 16)).ok()?;
            Some(slot * BINS + (code & 0xffff) as usize)
        })?;
        let value = |rank: f64| {
            let (upper, rank) = bin_of(&coarse, rank as u64);
            let slot = wanted.binary_search(&upper).expect("every rank's bin is wanted");
            let (lower, _) = bin_of(&fine[slot * BINS..][..BINS], rank);
            f64::from(decode((upper << 16 | lower) as u32))
        };
        Ok(positions.map(|at| {
            let (below, above) = (value(at.floor()), value(at.ceil()));
            below + (above - below) * at.fract()
        }))
    }
}

impl Tally {
    fn count(&mut self, slab: CowArray<f32, Ix3>, start: usize, bin: impl Fn(u32) -> Option<usize>) {
        for ((z, y, x), &value) in slab.indexed_iter() {
            if !value.is_finite() {
                self.bad.get_or_insert(([start + z, y, x], value));
            } else if let Some(bin) = bin(code(value)) {
                self.histogram[bin] += 1;
            }
        }
    }

    fn join(mut self, other: Tally) -> Tally {
        self.histogram.iter_mut().zip(other.histogram).for_each(|(a, b)| *a += b);
        let first = |a: (crate::Shape, f32), b: (crate::Shape, f32)| if b.0 < a.0 { b } else { a };
        self.bad = match (self.bad, other.bad) {
            (Some(a), Some(b)) => Some(first(a, b)),
            (a, b) => a.or(b),
        };
        self
    }
}

/// The bin that holds the voxel of this rank, and the voxel's rank within the bin.
fn bin_of(histogram: &[u64], mut rank: u64) -> (usize, u64) {
    for (bin, &count) in histogram.iter().enumerate() {
        if rank < count {
            return (bin, rank);
        }
        rank -= count;
    }
    unreachable!("the rank is below the number of voxels")
}

fn not_finite(value: f32, [z, y, x]: crate::Shape) -> Error {
    Error::invalid(format!(
        "the voxel at z {z}, y {y}, x {x} is {value}: every grey value has to be a number"
    ))
}

/// Codes sort as the values do: negative numbers have all bits turned, the others the sign bit only.
fn code(value: f32) -> u32 {
    let bits = value.to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

fn decode(code: u32) -> f32 {
    f32::from_bits(if code >> 31 == 1 { code & !(1 << 31) } else { !code })
}

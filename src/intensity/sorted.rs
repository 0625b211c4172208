//! A volume's voxels at places of their sorted order, found by counting, not by sorting: 8 and 16 bits in one parallel
//! pass, one bin a number; all other types as `f32` in two, of the upper, then the lower 16 bits of codes that sort as
//! the values do.
use ndarray::ArrayView3;
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::volume::{Dtype, Sample, Shape, Volume, for_dtype};

/// Bins of a histogram: 16 bits.
const BINS: usize = 1 << 16;

/// The values at `positions` of the sorted voxels, which are counted from 0, interpolated linearly between neighbours
/// as NumPy's `percentile` does.
///
/// # Errors
/// Names the first voxel that is NaN or infinite.
pub(super) fn of_volume<const N: usize>(volume: &Volume, positions: [f64; N]) -> Result<[f64; N]> {
    match volume.dtype() {
        Dtype::U8 => Ok(of_numbers::<u8, N>(volume, |value| value.into(), positions)),
        Dtype::I8 => Ok(of_numbers::<i8, N>(volume, |value| (value as u8 ^ 1 << 7).into(), positions)),
        Dtype::U16 => Ok(of_numbers::<u16, N>(volume, |value| value.into(), positions)),
        Dtype::I16 => Ok(of_numbers::<i16, N>(volume, |value| (value as u16 ^ 1 << 15).into(), positions)),
        dtype => for_dtype!(dtype, S => {
            let read = |[z, y]: [usize; 2], row: &mut Vec<f32>| {
                row.extend(volume.row::<S>(z, y, 0, volume.shape()[2]).map(S::grey));
            };
            Codes { shape: volume.shape(), read }.at(positions)
        }),
    }
}

/// As [`of_volume`].
pub(super) fn of_array<const N: usize>(voxels: ArrayView3<f32>, positions: [f64; N]) -> Result<[f64; N]> {
    let read = |[z, y]: [usize; 2], row: &mut Vec<f32>| {
        row.extend(voxels.slice(ndarray::s![z, y, ..]));
    };
    Codes { shape: voxels.dim().into(), read }.at(positions)
}

/// `bin` gives each number its place among all that there are of its type.
fn of_numbers<S: Sample, const N: usize>(
    volume: &Volume,
    bin: impl Fn(S) -> usize + Sync,
    positions: [f64; N],
) -> [f64; N] {
    let width = volume.shape()[2];
    let bins = 1 << (8 * size_of::<S>());
    let counts = count(volume.shape(), bins, |[z, y], (): &mut (), counts| {
        volume.row::<S>(z, y, 0, width).for_each(|value| counts[bin(value)] += 1);
    });
    let least = if bin(S::default()) == 0 { 0.0 } else { -(bins as f64) / 2.0 };
    interpolated(positions, |rank| least + bin_of(&counts, rank).0 as f64)
}

/// Counts by bins over all rows of a volume, each of which `add` adds, with memory of its thread's.
fn count<T: Default + Send>(
    [depth, height, width]: Shape,
    bins: usize,
    add: impl Fn([usize; 2], &mut T, &mut [u64]) + Sync,
) -> Vec<u64> {
    // So many voxels repay a histogram; so many histograms repay the cores.
    const LEAST_VOXELS: usize = 1 << 19;
    let rows = depth * height;
    let least = (LEAST_VOXELS / width.max(1)).max(rows / (4 * rayon::current_num_threads()));
    let empty = || (vec![0; bins], T::default());
    let of_some =
        (0..rows).into_par_iter().with_min_len(least).fold(empty, |(mut counts, mut memory), row| {
            add([row / height, row % height], &mut memory, &mut counts);
            (counts, memory)
        });
    of_some.map(|(counts, _)| counts).reduce_with(sum).unwrap_or_else(|| vec![0; bins])
}

fn sum(mut counts: Vec<u64>, more: Vec<u64>) -> Vec<u64> {
    counts.iter_mut().zip(more).for_each(|(count, more)| *count += more);
    counts
}

/// The bin that holds the voxel of this rank, and the voxel's rank within the bin.
fn bin_of(counts: &[u64], mut rank: u64) -> (usize, u64) {
    for (bin, &count) in counts.iter().enumerate() {
        if rank < count {
            return (bin, rank);
        }
        rank -= count;
    }
    unreachable!("the rank is below the number of voxels")
}

fn interpolated<const N: usize>(positions: [f64; N], value: impl Fn(u64) -> f64) -> [f64; N] {
    positions.map(|at| {
        let [below, above] = [at.floor(), at.ceil()].map(|rank| value(rank as u64));
        below + (above - below) * at.fract()
    })
}

/// A volume seen as order-preserving codes. `read` appends a row (z, y).
struct Codes<F> {
    shape: Shape,
    read: F,
}

impl<F: Fn([usize; 2], &mut Vec<f32>) + Sync> Codes<F> {
    fn at<const N: usize>(&self, positions: [f64; N]) -> Result<[f64; N]> {
        let upper = self.count(BINS, |code| Some(code as usize >> 16));
        // What is no number has all bits of its exponent set.
        let [lowest, highest] = [f32::MIN, f32::MAX].map(|value| code(value) as usize >> 16);
        if upper[..lowest].iter().chain(&upper[highest + 1..]).any(|&count| count > 0) {
            return Err(self.not_finite());
        }
        let mut wanted: Vec<_> = positions
            .iter()
            .flat_map(|at| [at.floor(), at.ceil()])
            .map(|rank| bin_of(&upper, rank as u64).0)
            .collect();
        wanted.sort_unstable();
        wanted.dedup();
        let mut slots = vec![None; BINS];
        wanted.iter().enumerate().for_each(|(slot, &bin)| slots[bin] = Some(slot as u8));
        let lower = self.count(wanted.len() * BINS, |code| {
            slots[code as usize >> 16].map(|slot| usize::from(slot) * BINS + (code & 0xffff) as usize)
        });
        Ok(interpolated(positions, |rank| {
            let (bin, rank) = bin_of(&upper, rank);
            let slot = usize::from(slots[bin].expect("every rank's bin is wanted"));
            let (low, _) = bin_of(&lower[slot * BINS..][..BINS], rank);
            f64::from(decode((bin << 16 | low) as u32))
        }))
    }

    /// How many voxels have each of `bins` bins; `bin` gives none for voxels that do not count.
    fn count(&self, bins: usize, bin: impl Fn(u32) -> Option<usize> + Sync) -> Vec<u64> {
        count(self.shape, bins, |at, row: &mut Vec<f32>, counts| {
            row.clear();
            (self.read)(at, row);
            row.iter().filter_map(|&value| bin(code(value))).for_each(|bin| counts[bin] += 1);
        })
    }

    /// The error that names the first voxel that is no number.
    fn not_finite(&self) -> Error {
        let [depth, height, _] = self.shape;
        let first = (0..depth * height).into_par_iter().find_map_first(|row| {
            let (at, mut values) = ([row / height, row % height], Vec::new());
            (self.read)(at, &mut values);
            values.iter().position(|value| !value.is_finite()).map(|x| (at, x, values[x]))
        });
        let ([z, y], x, value) = first.expect("one was counted");
        Error::invalid(format!(
            "the voxel at z {z}, y {y}, x {x} is {value}: every grey value has to be a number. Replace such voxels, in \
             Python with numpy.nan_to_num(volume, nan=0, posinf=0, neginf=0), or crop the volume"
        ))
    }
}

/// Codes sort as the values do: negative numbers have all bits turned, the others the sign bit only.
fn code(value: f32) -> u32 {
    let bits = value.to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

fn decode(code: u32) -> f32 {
    f32::from_bits(if code >> 31 == 1 { code & !(1 << 31) } else { !code })
}

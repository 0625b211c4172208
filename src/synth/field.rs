//! Fields over a volume: Gaussian blur and smooth noise.
//!
//! Every sum runs in a fixed order and every plane by itself, so the number of threads changes nothing.
use multiversion::multiversion;
use ndarray::parallel::prelude::*;
use ndarray::{Array3, Axis};

use crate::synth::random;
use crate::volume::Shape;

/// Gaussian blur with standard deviations in voxels (z, y, x), the volume mirrored at its faces and the kernel cut
/// at `truncate` standard deviations: with 4 the `gaussian_filter` of SciPy.
pub fn gaussian_blur(volume: &mut Array3<f32>, sigma: [f32; 3], truncate: f32) {
    if !volume.is_standard_layout() {
        *volume = volume.as_standard_layout().into_owned();
    }
    for (axis, &sd) in sigma.iter().enumerate() {
        if sd > 0.0 {
            let kernel = gaussian_kernel(sd, truncate);
            *volume = if axis == 2 { along_x(volume, &kernel) } else { across_rows(volume, &kernel, axis) };
        }
    }
}

/// Weights at -r..=r with sum 1, r = truncate * sd, rounded.
fn gaussian_kernel(sd: f32, truncate: f32) -> Vec<f32> {
    let (sd, radius) = (f64::from(sd), (f64::from(truncate) * f64::from(sd) + 0.5) as i32);
    let weights: Vec<f64> =
        (-radius..=radius).map(|i| libm::exp(-0.5 * (f64::from(i) / sd) * (f64::from(i) / sd))).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|w| (w / sum) as f32).collect()
}

/// The index that stands for `i` in a mirrored axis of length `n` (d c b a | a b c d | d c b a).
fn mirrored(i: isize, n: usize) -> usize {
    let period = 2 * n as isize;
    let i = i.rem_euclid(period);
    (if i < n as isize { i } else { period - 1 - i }) as usize
}

/// Convolves along z (axis 0) or y (axis 1), a whole row of x at a time.
fn across_rows(volume: &Array3<f32>, kernel: &[f32], axis: usize) -> Array3<f32> {
    let radius = kernel.len() as isize / 2;
    let n = volume.dim_of(axis);
    let mut out = Array3::zeros(volume.dim());
    out.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(z, mut plane)| {
        let mut rows = Vec::with_capacity(kernel.len());
        for (y, mut row) in plane.outer_iter_mut().enumerate() {
            rows.clear();
            rows.extend(kernel.iter().enumerate().map(|(k, &weight)| {
                let from = mirrored([z, y][axis] as isize + k as isize - radius, n);
                let [z, y] = if axis == 0 { [from, y] } else { [z, from] };
                (row_of(volume, z, y), weight)
            }));
            add_rows(&rows, row.as_slice_mut().expect("rows are contiguous"));
        }
    });
    out
}

/// Convolves along x.
fn along_x(volume: &Array3<f32>, kernel: &[f32]) -> Array3<f32> {
    let (radius, n) = (kernel.len() / 2, volume.dim().2);
    let mut out = Array3::zeros(volume.dim());
    out.axis_iter_mut(Axis(0)).into_par_iter().zip(volume.axis_iter(Axis(0))).for_each(|(mut to, from)| {
        let mut padded = vec![0.0; n + 2 * radius];
        for (mut to, from) in to.outer_iter_mut().zip(from.outer_iter()) {
            for (i, value) in padded.iter_mut().enumerate() {
                *value = from[mirrored(i as isize - radius as isize, n)];
            }
            let shifted: Vec<Weighted> =
                kernel.iter().enumerate().map(|(k, &weight)| (&padded[k..k + n], weight)).collect();
            add_rows(&shifted, to.as_slice_mut().expect("rows are contiguous"));
        }
    });
    out
}

/// A row along x of a volume in the standard layout.
fn row_of(volume: &Array3<f32>, z: usize, y: usize) -> &[f32] {
    let (_, ny, nx) = volume.dim();
    let start = (z * ny + y) * nx;
    &volume.as_slice().expect("the standard layout")[start..start + nx]
}

/// A row and what it counts.
type Weighted<'a> = (&'a [f32], f32);

/// Adds weighted rows to another, one after the other in every element: the same bits whatever the processor can do.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn add_rows(rows: &[Weighted], out: &mut [f32]) {
    const LANES: usize = 32;
    let (blocks, rest) = out.as_chunks_mut::<LANES>();
    let after = blocks.len() * LANES;
    for (i, block) in blocks.iter_mut().enumerate() {
        let mut sums = *block;
        for &(row, weight) in rows {
            let row: &[f32; LANES] = row[i * LANES..].first_chunk().expect("rows are equally long");
            sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum += weight * value);
        }
        *block = sums;
    }
    for &(row, weight) in rows {
        rest.iter_mut().zip(&row[after..]).for_each(|(sum, &value)| *sum += weight * value);
    }
}

trait DimOf {
    fn dim_of(&self, axis: usize) -> usize;
}

impl DimOf for Array3<f32> {
    fn dim_of(&self, axis: usize) -> usize {
        self.shape()[axis]
    }
}

/// Smooth noise of mean 0 and standard deviation 1 whose features are about `wavelength` voxels (z, y, x) long:
/// independent normal numbers on a lattice of that spacing, interpolated with cubic B-splines.
pub(crate) fn noise(shape: Shape, wavelength: [f32; 3], seed: u64, stream: u64) -> Array3<f32> {
    let mut rng = random::stream(seed, stream);
    let step = wavelength.map(|w| w.max(1.0));
    let starts: [f32; 3] = std::array::from_fn(|_| random::unit(&mut rng));
    let nodes: [usize; 3] = std::array::from_fn(|a| (shape[a] as f32 / step[a]) as usize + 5);
    let lattice = Array3::from_shape_simple_fn(nodes, || random::normal(&mut rng) / SPLINE_SD);
    let taps: [Vec<Tap>; 3] =
        std::array::from_fn(|a| (0..shape[a]).map(|i| Tap::at(starts[a] + i as f32 / step[a])).collect());
    let rows = stretch_x(&lattice, &taps[2]);
    let planes = stretch_y(&rows, &taps[1]);
    stretch_z(&planes, &taps[0])
}

/// The sum of two octaves of [`noise`], standard deviation 1.
pub(crate) fn noise_octaves(shape: Shape, wavelength: [f32; 3], seed: u64, stream: u64) -> Array3<f32> {
    let mut sum = noise(shape, wavelength, seed, stream);
    let fine = noise(shape, wavelength.map(|w| 0.5 * w), seed, stream + 1);
    sum.par_iter_mut_with(&fine, |a, b| 0.894 * a + 0.447 * b);
    sum
}

/// Standard deviation of three nested cubic B-splines over white noise: (151 / 315)^(3 / 2).
const SPLINE_SD: f32 = 0.331_9;

/// The four lattice points around a position and their B-spline weights.
struct Tap {
    first: usize,
    weights: [f32; 4],
}

impl Tap {
    fn at(position: f32) -> Self {
        let first = position as usize;
        let t = position - first as f32;
        let s = 1.0 - t;
        let weights = [
            s * s * s / 6.0,
            (3.0 * t * t * t - 6.0 * t * t + 4.0) / 6.0,
            (3.0 * s * s * s - 6.0 * s * s + 4.0) / 6.0,
            t * t * t / 6.0,
        ];
        Tap { first, weights }
    }
}

fn stretch_x(lattice: &Array3<f32>, taps: &[Tap]) -> Array3<f32> {
    let (z, y, _) = lattice.dim();
    Array3::from_shape_fn((z, y, taps.len()), |(z, y, x)| {
        let tap = &taps[x];
        (0..4).map(|k| tap.weights[k] * lattice[[z, y, tap.first + k]]).sum()
    })
}

fn stretch_y(rows: &Array3<f32>, taps: &[Tap]) -> Array3<f32> {
    let (z, _, x) = rows.dim();
    let mut out = Array3::zeros((z, taps.len(), x));
    out.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(z, mut to)| {
        for (mut to, tap) in to.outer_iter_mut().zip(taps) {
            let near: [Weighted; 4] =
                std::array::from_fn(|k| (row_of(rows, z, tap.first + k), tap.weights[k]));
            add_rows(&near, to.as_slice_mut().expect("rows are contiguous"));
        }
    });
    out
}

fn stretch_z(planes: &Array3<f32>, taps: &[Tap]) -> Array3<f32> {
    let (_, y, x) = planes.dim();
    let mut out = Array3::zeros((taps.len(), y, x));
    out.axis_iter_mut(Axis(0)).into_par_iter().zip(taps).for_each(|(mut to, tap)| {
        for (y, mut to) in to.outer_iter_mut().enumerate() {
            let near: [Weighted; 4] =
                std::array::from_fn(|k| (row_of(planes, tap.first + k, y), tap.weights[k]));
            add_rows(&near, to.as_slice_mut().expect("rows are contiguous"));
        }
    });
    out
}

/// Element-wise work of two volumes on all threads.
pub(crate) trait ZipParallel {
    /// Replaces every element `a` by `f(a, b)`, `b` the element of `other` at the same place.
    fn par_iter_mut_with<F: Fn(f32, f32) -> f32 + Sync + Send>(&mut self, other: &Array3<f32>, f: F);
}

impl ZipParallel for Array3<f32> {
    fn par_iter_mut_with<F: Fn(f32, f32) -> f32 + Sync + Send>(&mut self, other: &Array3<f32>, f: F) {
        ndarray::Zip::from(self).and(other).par_for_each(|a, &b| *a = f(*a, b));
    }
}

//! Augmentation: each cuboid is seen turned and with other flaws every time.
//!
//! Flips, blur, noise and bias field are the paper's (`load_dataset.py`); blur and bias field compute what TorchIO's
//! do. Axis swaps, gamma, brightness and gaps in walls are additions. Grey values are normalised ones, mostly
//! from 0 to 1.
use ndarray::{Array3, ArrayView3};
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use crate::ops::contrast::{Contrast, WIDEST};
use crate::synth::field::gaussian_blur;
use crate::synth::random::{chance, log_uniform, normal, uniform, unit};
use crate::volume::{Ranges, Shape};

/// Highest total power of the coordinates in the polynomial of a bias field.
const BIAS_ORDER: usize = 3;
/// Number of its terms.
pub const BIAS_TERMS: usize = 20;

/// How often each change happens, and how strong it gets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augmentation {
    /// Probability of a flip, for each axis. Default 0.5.
    pub flip: f32,
    /// Probability of a random exchange of axes: y with x, and with z where voxels are cubes. Default 0.5.
    pub swap: f32,
    /// Probability of blur. Default 0.2.
    pub blur: f32,
    /// Its greatest standard deviation in voxels, drawn for each axis. Default 1.
    pub blur_sigma: f32,
    /// Probability of added noise. Default 0.3.
    pub noise: f32,
    /// Its greatest standard deviation. Default 0.08.
    pub noise_sigma: f32,
    /// Probability of a bias field. Default 0.3.
    pub bias: f32,
    /// Greatest size of its polynomial's coefficients. Default 0.3.
    pub bias_coefficient: f32,
    /// Probability of a gamma. Default 0.3.
    pub gamma: f32,
    /// Its greatest value; the smallest is the inverse. Default 1.5.
    pub gamma_range: f32,
    /// Probability of another brightness. Default 0.5.
    pub brightness: f32,
    /// Its greatest factor; the smallest is the inverse. Default 1.3.
    pub brightness_range: f32,
    /// Greatest shift that goes with it. Default 0.05.
    pub brightness_shift: f32,
    /// Probability of gaps in walls. Default 0.2.
    pub gaps: f32,
    /// Greatest number of gaps in a cuboid. Default 12.
    pub gap_count: u32,
    /// Greatest radius of a gap in voxels. Default 3.5.
    pub gap_radius: f32,
    /// Probability of another half width and floor, where local contrast is normalised. Default 0.7.
    pub contrast: f32,
    /// The smallest half width and the greatest. Default 7 and 16 voxels.
    pub half_widths: [usize; 2],
    /// The smallest floor and the greatest. Default 0.02 and 0.12.
    pub floors: [f32; 2],
    /// Probability that local contrast stays as it is, where it is normalised otherwise. Default 0.03.
    pub plain: f32,
}

impl Default for Augmentation {
    fn default() -> Self {
        Augmentation {
            flip: 0.5,
            swap: 0.5,
            blur: 0.2,
            blur_sigma: 1.0,
            noise: 0.3,
            noise_sigma: 0.08,
            bias: 0.3,
            bias_coefficient: 0.3,
            gamma: 0.3,
            gamma_range: 1.5,
            brightness: 0.5,
            brightness_range: 1.3,
            brightness_shift: 0.05,
            gaps: 0.2,
            gap_count: 12,
            gap_radius: 3.5,
            contrast: 0.7,
            half_widths: [7, 16],
            floors: [0.02, 0.12],
            plain: 0.03,
        }
    }
}

impl Augmentation {
    /// No change at all.
    pub fn none() -> Self {
        Augmentation {
            flip: 0.0,
            swap: 0.0,
            blur: 0.0,
            noise: 0.0,
            bias: 0.0,
            gamma: 0.0,
            brightness: 0.0,
            gaps: 0.0,
            contrast: 0.0,
            plain: 0.0,
            ..Default::default()
        }
    }

    /// What makes no sense, if anything.
    pub fn check(&self) -> Result<(), String> {
        let probabilities = [
            self.flip,
            self.swap,
            self.blur,
            self.noise,
            self.bias,
            self.gamma,
            self.brightness,
            self.gaps,
            self.contrast,
            self.plain,
        ];
        if probabilities.iter().any(|p| !(0.0..=1.0).contains(p)) {
            return Err("augmentation: a probability outside 0 to 1".into());
        }
        let strengths = [
            self.blur_sigma,
            self.noise_sigma,
            self.bias_coefficient,
            self.brightness_shift,
            self.gap_radius,
        ];
        if strengths.iter().any(|s| !(0.0..=100.0).contains(s)) {
            return Err("augmentation: a strength outside 0 to 100".into());
        }
        let ([narrow, wide], [low, high]) = (self.half_widths, self.floors);
        let extremes =
            [(narrow, low), (wide, high)].map(|(half_width, floor)| Contrast { half_width, floor });
        if narrow > wide || low > high || extremes.iter().any(|contrast| contrast.check().is_err()) {
            return Err(format!(
                "augmentation: half widths from {narrow} to {wide} voxels and floors from {low} to {high}: from 1 \
                 to {WIDEST} and from 0.001 to 1 are possible"
            ));
        }
        if ![self.gamma_range, self.brightness_range].iter().all(|r| (1.0..=100.0).contains(r)) {
            return Err("augmentation: gamma_range and brightness_range are from 1 to 100".into());
        }
        Ok(())
    }

    /// Draws the orientation in which a cuboid is seen; z is exchanged only where voxels are cubes.
    pub fn orientation(&self, isotropic: bool, rng: &mut impl Rng) -> Orientation {
        const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
        let choices = if isotropic { 6 } else { 2 };
        let order =
            if chance(rng, self.swap) { ORDERS[rng.next_u32() as usize % choices] } else { ORDERS[0] };
        Orientation { order, flips: std::array::from_fn(|_| chance(rng, self.flip)) }
    }

    /// Draws how the local contrast of a cuboid is normalised; `None` leaves it as it is.
    pub fn contrast(&self, usual: Contrast, rng: &mut impl Rng) -> Option<Contrast> {
        if chance(rng, self.plain) {
            return None;
        }
        if !chance(rng, self.contrast) {
            return Some(usual);
        }
        let ([narrow, wide], [low, high]) = (self.half_widths, self.floors);
        Some(Contrast { half_width: rng.random_range(narrow..=wide), floor: log_uniform(rng, low, high) })
    }

    /// Changes grey values in place; `labels` (of the same shape) say where walls are.
    pub fn degrade(&self, raw: &mut Array3<f32>, labels: ArrayView3<u32>, rng: &mut impl Rng) {
        if chance(rng, self.gaps) {
            self.open_gaps(raw, labels, rng);
        }
        if chance(rng, self.blur) {
            gaussian_blur(raw, std::array::from_fn(|_| uniform(rng, 0.0, self.blur_sigma)), 4.0);
        }
        if chance(rng, self.noise) {
            let sd = uniform(rng, 0.0, self.noise_sigma);
            raw.mapv_inplace(|v| v + sd * normal(rng));
        }
        if chance(rng, self.bias) {
            let c = self.bias_coefficient;
            *raw *= &bias_field(raw.dim().into(), &std::array::from_fn(|_| uniform(rng, -c, c)));
        }
        if chance(rng, self.gamma) {
            let power = log_uniform(rng, 1.0 / self.gamma_range, self.gamma_range);
            raw.mapv_inplace(|v| libm::powf(v.abs(), power).copysign(v));
        }
        if chance(rng, self.brightness) {
            let scale = log_uniform(rng, 1.0 / self.brightness_range, self.brightness_range);
            let shift = uniform(rng, -self.brightness_shift, self.brightness_shift);
            raw.mapv_inplace(|v| scale * v + shift);
        }
    }

    /// Erases balls around random points of walls between cells.
    fn open_gaps(&self, raw: &mut Array3<f32>, labels: ArrayView3<u32>, rng: &mut impl Rng) {
        let shape: Shape = raw.dim().into();
        let wanted = uniform(rng, 1.0, self.gap_count as f32 + 1.0) as u32;
        let mut opened = 0;
        // A voxel in six or so lies at a wall; in an empty cuboid the search ends all the same.
        for _ in 0..40 * wanted {
            let at = shape.map(|n| (unit(rng) * n as f32) as usize);
            let radius = uniform(rng, 0.5, 1.0) * self.gap_radius;
            if opened < wanted && is_at_wall(labels, at) {
                erase(raw, at, radius);
                opened += 1;
            }
        }
    }
}

/// Whether the voxel and the next one along some axis belong to two cells.
fn is_at_wall(labels: ArrayView3<u32>, at: Shape) -> bool {
    let own = labels[at];
    (0..3).any(|axis| {
        let mut next = at;
        next[axis] += 1;
        labels.get(next).is_some_and(|&other| own != 0 && other != 0 && other != own)
    })
}

/// Replaces a ball by the darkest value around it, fading towards its surface.
fn erase(raw: &mut Array3<f32>, centre: Shape, radius: f32) {
    let shape: Shape = raw.dim().into();
    let cube = |reach: usize| -> [std::ops::Range<usize>; 3] {
        std::array::from_fn(|a| centre[a].saturating_sub(reach)..(centre[a] + reach + 1).min(shape[a]))
    };
    let [z, y, x] = cube((1.5 * radius).ceil() as usize);
    let dark = raw.slice(ndarray::s![z, y, x]).fold(f32::INFINITY, |a, &b| a.min(b));
    let [z, y, x] = cube(radius.ceil() as usize);
    for at in
        z.flat_map(|z| y.clone().map(move |y| (z, y))).flat_map(|(z, y)| x.clone().map(move |x| [z, y, x]))
    {
        let squared: f32 = (0..3).map(|a| at[a] as f32 - centre[a] as f32).map(|d| d * d).sum();
        let inside = (1.0 - squared / (radius * radius)).max(0.0);
        let weight = 1.0 - (1.0 - inside) * (1.0 - inside);
        raw[at] += weight * (dark - raw[at]);
    }
}

/// A smooth field of factors: exp of a polynomial of order 3 in the coordinates, which run from -1 to 1 on every
/// axis; `coefficients` in the order of rising powers, that of x rising fastest, then y (TorchIO's `BiasField`).
pub fn bias_field(shape: Shape, coefficients: &[f32; BIAS_TERMS]) -> Array3<f32> {
    let powers: [Vec<[f64; BIAS_ORDER + 1]>; 3] = shape.map(|n| {
        let half = (0.5 * (n as f64 - 1.0)).max(1e-9);
        (0..n)
            .map(|i| (i as f64 - 0.5 * (n as f64 - 1.0)) / half)
            .map(|u| [1.0, u, u * u, u * u * u])
            .collect()
    });
    let mut terms = Vec::with_capacity(BIAS_TERMS);
    for z in 0..=BIAS_ORDER {
        for y in 0..=BIAS_ORDER - z {
            terms.extend((0..=BIAS_ORDER - z - y).map(|x| [z, y, x]));
        }
    }
    Array3::from_shape_fn(shape, |(z, y, x)| {
        let (z, y, x) = (powers[0][z], powers[1][y], powers[2][x]);
        let term = |(p, &c): (&[usize; 3], &f32)| f64::from(c) * z[p[0]] * y[p[1]] * x[p[2]];
        libm::exp(terms.iter().zip(coefficients).map(term).sum()) as f32
    })
}

/// A way to look at a cuboid: axes exchanged, then some of them reversed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Orientation {
    /// Axis of the source that becomes z, y and x.
    order: [usize; 3],
    /// Which of the new axes are reversed.
    flips: [bool; 3],
}

impl Orientation {
    /// The shape that a cuboid must have to have `shape` once turned.
    pub fn source_shape(&self, shape: Shape) -> Shape {
        let mut source = [0; 3];
        for (new, &old) in self.order.iter().enumerate() {
            source[old] = shape[new];
        }
        source
    }

    /// The shape of a cuboid of `shape` once turned.
    pub fn turned_shape(&self, shape: Shape) -> Shape {
        self.order.map(|old| shape[old])
    }

    /// Where a part of a cuboid of `shape` lies once turned.
    pub fn turned_part(&self, part: Ranges, shape: Shape) -> Ranges {
        std::array::from_fn(|axis| {
            let (range, extent) = (part[self.order[axis]].clone(), shape[self.order[axis]]);
            if self.flips[axis] { extent - range.end..extent - range.start } else { range }
        })
    }

    /// Turns an array; the result is in the standard layout.
    pub fn turn<T: Clone>(&self, array: ArrayView3<T>) -> Array3<T> {
        let mut turned = array.permuted_axes(self.order);
        for (axis, _) in self.flips.iter().enumerate().filter(|(_, flip)| **flip) {
            turned.invert_axis(ndarray::Axis(axis));
        }
        turned.as_standard_layout().into_owned()
    }
}

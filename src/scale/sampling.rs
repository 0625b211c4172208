//! The grid on which the network sees a volume: along each axis so many points for so many stored voxels.
//!
//! Point i of an axis stands for the voxels, whole ones and parts, from `i * step` to `(i + 1) * step`; the last point for
//! what is left of the volume. All places are whole numbers of the [`Step::points`]th part of a voxel.
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::volume::{Shape, Spacing};

/// The coarsest step: the means of more voxels show no membrane.
const COARSEST: f64 = 64.0;
/// The finest step.
const FINEST: f64 = 0.25;
/// The finest step along x, where a GPU interpolates a row at a time.
pub const FINEST_ALONG_X: f64 = 0.5;
/// Steps that are chosen without being asked for: what lies between is no better, and costs more to read.
const USUAL: [Step; 17] = [
    Step::new(1, 4),
    Step::new(1, 3),
    Step::new(1, 2),
    Step::new(2, 3),
    Step::new(3, 4),
    Step::new(1, 1),
    Step::new(4, 3),
    Step::new(3, 2),
    Step::new(2, 1),
    Step::new(5, 2),
    Step::new(3, 1),
    Step::new(4, 1),
    Step::new(5, 1),
    Step::new(6, 1),
    Step::new(8, 1),
    Step::new(10, 1),
    Step::new(12, 1),
];

/// The distance of two points along an axis: `voxels / points` stored voxels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// So many stored voxels
    pub voxels: u32,
    /// have so many points.
    pub points: u32,
}

impl Step {
    /// A point for each stored voxel.
    pub const STORED: Step = Step::new(1, 1);

    const fn new(voxels: u32, points: u32) -> Self {
        Step { voxels, points }
    }

    /// A point for every so many whole voxels.
    ///
    /// # Panics
    /// For none, and for more than 2^32.
    pub fn whole(voxels: usize) -> Self {
        assert!(voxels > 0, "a point for no voxel");
        Step { voxels: voxels.try_into().expect("a step that a user may ask for"), points: 1 }
    }

    /// The step of whole voxels, where it is one.
    pub fn as_whole(self) -> Option<usize> {
        (self.points == 1).then_some(self.voxels as usize)
    }

    /// In stored voxels.
    pub fn voxels(self) -> f64 {
        f64::from(self.voxels) / f64::from(self.points)
    }

    /// Points of an axis of `extent` voxels.
    pub fn count(self, extent: usize) -> usize {
        (extent * self.points as usize).div_ceil(self.voxels as usize)
    }

    /// What point `i` of an axis of `extent` voxels stands for, in parts of a voxel.
    pub fn parts(self, i: usize, extent: usize) -> Range<usize> {
        let [voxels, points] = [self.voxels, self.points].map(|n| n as usize);
        i * voxels..((i + 1) * voxels).min(extent * points)
    }

    /// The usual step nearest to so many voxels on axis `axis` (0: z).
    fn usual(voxels: f64, axis: usize) -> Self {
        let off = |step: &Step| libm::log(step.voxels() / voxels).abs();
        let finest = if axis == 2 { FINEST_ALONG_X } else { FINEST };
        let possible = USUAL.into_iter().filter(|step| step.voxels() >= finest);
        possible.min_by(|a, b| off(a).total_cmp(&off(b))).unwrap_or(Step::STORED)
    }

    /// The step nearest to so many voxels with up to eight points.
    fn nearest(voxels: f64) -> Self {
        let of = |points: u32| Step { voxels: (voxels * f64::from(points)).round().max(1.0) as u32, points };
        let off = |step: &Step| (step.voxels() - voxels).abs();
        // Of equally near ones the first, which has the fewest points.
        (1..=8).map(of).min_by(|a, b| off(a).total_cmp(&off(b))).unwrap_or(Step::STORED)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.points {
            1 => write!(f, "{}", self.voxels),
            points => write!(f, "{}/{points}", self.voxels),
        }
    }
}

impl FromStr for Step {
    type Err = Error;

    /// A number of stored voxels, 2 or 1.5, or a fraction, 2/3.
    fn from_str(text: &str) -> Result<Self> {
        let number = |text: &str| text.trim().parse::<f64>().ok();
        let voxels = match text.split_once('/') {
            Some((voxels, points)) => {
                number(voxels).zip(number(points)).map(|(voxels, points)| voxels / points)
            }
            None => number(text),
        };
        match voxels.filter(|voxels| (FINEST..=COARSEST).contains(voxels)) {
            Some(voxels) => Ok(Step::nearest(voxels)),
            None => Err(Error::invalid(format!(
                "{text:?}: expected a number of voxels from {FINEST} to {COARSEST}, as 2 or 2/3"
            ))),
        }
    }
}

/// The steps of the grid along z, y, x.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling(pub [Step; 3]);

impl Sampling {
    /// The stored grid.
    pub const STORED: Sampling = Sampling([Step::STORED; 3]);

    /// Points for boxes of whole voxels.
    ///
    /// # Panics
    /// Those of [`Step::whole`].
    pub fn whole(factors: Shape) -> Self {
        Sampling(factors.map(Step::whole))
    }

    /// The factors of boxes of whole voxels, where the points stand for such.
    pub fn as_whole(self) -> Option<Shape> {
        let [z, y, x] = self.0.map(Step::as_whole);
        Some([z?, y?, x?])
    }

    /// Usual steps at which points are about `width` of the smallest voxel edges apart along every axis; without a voxel size, so
    /// many voxels.
    pub fn cubes(width: f64, spacing: Option<Spacing>) -> Self {
        let edges = spacing.map_or([1.0; 3], |Spacing(edges)| edges);
        let finest = edges.iter().copied().fold(f64::INFINITY, f64::min);
        Sampling([0, 1, 2].map(|axis| Step::usual(width * finest / edges[axis], axis)))
    }

    /// Steps along z, y, x in stored voxels.
    pub fn steps(self) -> [f64; 3] {
        self.0.map(Step::voxels)
    }

    /// Extent of the grid of a volume of `shape` voxels.
    pub fn shape(self, shape: Shape) -> Shape {
        [0, 1, 2].map(|axis| self.0[axis].count(shape[axis]))
    }

    /// Edges of the cuboids that points stand for, in micrometres or, without a voxel size, in voxels.
    pub fn edges(self, spacing: Option<Spacing>) -> Spacing {
        let edges = spacing.map_or([1.0; 3], |Spacing(edges)| edges);
        Spacing([0, 1, 2].map(|axis| edges[axis] * self.0[axis].voxels()))
    }
}

impl fmt::Display for Sampling {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Sampling([z, y, x]) = self;
        write!(f, "{z} x {y} x {x}")
    }
}

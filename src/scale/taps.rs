//! Which voxels of an axis a point of the grid is made of, and how much of each.
//!
//! A step of one voxel or more gives the mean over the voxels that the point stands for, parts of voxels counting as parts; a
//! finer one the linear interpolation at the middle of what it stands for, between the middles of voxels. All weights
//! are whole numbers, so that sums over integers are exact.
use super::sampling::Step;

/// Voxels from [`first`](Self::first) on with their weights.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Taps {
    /// The first voxel.
    pub first: usize,
    /// The weight of each voxel.
    pub weights: Vec<u32>,
}

impl Taps {
    /// Those of point `i` of an axis of `extent` voxels.
    pub fn new(step: Step, i: usize, extent: usize) -> Self {
        match step.voxels >= step.points {
            true => Self::mean(step, i, extent),
            false => Self::between(step, i, extent),
        }
    }

    fn mean(step: Step, i: usize, extent: usize) -> Self {
        let (parts, points) = (step.parts(i, extent), step.points as usize);
        let first = parts.start / points;
        let weight = |voxel: usize| {
            let [begin, end] = [voxel, voxel + 1].map(|voxel| (voxel * points).clamp(parts.start, parts.end));
            (end - begin) as u32
        };
        Taps { first, weights: (first..parts.end.div_ceil(points)).map(weight).collect() }
    }

    fn between(step: Step, i: usize, extent: usize) -> Self {
        let (parts, points) = (step.parts(i, extent), step.points as usize);
        // In halves of the parts of a voxel, from the middle of voxel 0 on.
        let at = (parts.start + parts.end).saturating_sub(points).min(2 * points * (extent - 1));
        let (first, share) = (at / (2 * points), at % (2 * points));
        match share {
            0 => Taps { first, weights: vec![1] },
            _ => Taps { first, weights: vec![(2 * points - share) as u32, share as u32] },
        }
    }

    /// The sum of all weights.
    pub fn total(&self) -> u32 {
        self.weights.iter().sum()
    }

    /// All voxels with their weights.
    pub fn iter(&self) -> impl Iterator<Item = (usize, u32)> + Clone + '_ {
        (self.first..).zip(self.weights.iter().copied())
    }

    /// The voxel behind the last one.
    pub fn end(&self) -> usize {
        self.first + self.weights.len()
    }
}

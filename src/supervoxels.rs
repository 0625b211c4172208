//! Super voxels: basins of the distance map that no real saddle parts, joined by persistence.
//!
//! A distance map has a peak for every bulge of a cell. Saddles are visited from the highest down; at each
//! one, the groups of basins on its two sides are joined when the lower group's peak rises too little above
//! the saddle, or when their peaks lie close to each other. Equal saddles are visited in the order of the
//! peaks that they join, which the volume alone decides. Source: persistence of peaks (Edelsbrunner, Letscher
//! and Zomorodian, Discrete Comput. Geom. 28, 2002), in place of the peak spacing of the authors'
//! `generate_super_vox_by_watershed`, which `Watershed::Flood` offers.
use ndarray::{Array3, ArrayView3};
use rayon::prelude::*;

use crate::cells::{FOREGROUND, Operations, Options, Stages};
use crate::error::Result;
use crate::ops::basins::Peak;
use crate::ops::blocks::coordinates;
use crate::ops::disjoint_sets::DisjointSets;
use crate::ops::distance::{self, Metric};
use crate::ops::saddles::Saddle;
use crate::ops::{erosion, flood, peaks};
use crate::volume::Shape;

/// The super voxels of a volume.
pub(crate) struct SuperVoxels<Labels> {
    /// 0 outside, otherwise a number from 1 to `count`.
    pub labels: Labels,
    /// Number of super voxels.
    pub count: u32,
}

/// When two peaks belong to one super voxel.
#[derive(Clone, Copy, Debug)]
pub struct Persistence {
    /// Least rise of a peak above its highest saddle, in smallest voxel edges ...
    pub height: f64,
    /// ... and as a fraction of the distance at the peak; the greater one counts.
    pub fraction: f64,
    /// Peaks within this many voxels of each other on every axis are one.
    pub distance: usize,
}

/// Super voxels of the foreground by steepest ascent and persistence.
pub(crate) fn by_ascent<O: Operations>(
    operations: &O,
    classes: &O::Classes,
    metric: &Metric,
    options: &Options,
    stages: &mut Stages,
) -> Result<SuperVoxels<O::Labels>> {
    let squared = stages.time("distance", || operations.distance(classes, metric))?;
    let (mut labels, peaks) = stages.time("basins", || operations.basins(&squared))?;
    let saddles = stages.time("saddles", || operations.saddles(&labels, &squared, peaks.len()))?;
    let count = stages.time("persistence", || {
        let shape = operations.shape(classes);
        let (table, count) = join_basins(&peaks, &saddles, metric, shape, &options.persistence());
        operations.relabel(&mut labels, &table)?;
        Ok(count)
    })?;
    Ok(SuperVoxels { labels, count })
}

/// The authors' super voxels: the eroded foreground flooded from spaced peaks of its distance map, in voxels.
pub(crate) fn by_flood(classes: ArrayView3<u8>, stages: &mut Stages) -> Result<SuperVoxels<Array3<u32>>> {
    let core = stages.time("erosion", || erosion::erode(classes, FOREGROUND));
    let squared = stages.time("distance", || distance::squared(core.view(), 1, &Metric::ISOTROPIC));
    let peaks = stages.time("peaks", || peaks::spaced(squared.view()));
    let labels = stages.time("flood", || flood::flood(squared.view(), &peaks))?;
    Ok(SuperVoxels { labels, count: peaks.len() as u32 })
}

/// A table from basins to super voxels, both counted from 1 (entry 0 is 0), and the number of super voxels.
///
/// `shape` is that of the volume in which the peaks lie.
pub fn join_basins(
    peaks: &[Peak],
    saddles: &[Saddle],
    metric: &Metric,
    shape: Shape,
    rule: &Persistence,
) -> (Vec<u32>, u32) {
    let ranked = Ranked::new(peaks, metric, shape);
    // Groups of ranks: the greater of two peaks has the greater one, so that the highest of a group stands for it.
    let mut groups = DisjointSets::new(peaks.len());
    for Descent { squared, ranks } in ranked.visits(saddles) {
        let [a, b] = ranks.map(|rank| groups.find(rank));
        if a == b {
            continue;
        }
        let (high, low) = (a.max(b), a.min(b));
        let [higher, lower] = [high, low].map(|group| &ranked.tops[group as usize]);
        let rise = lower.height - metric.length(squared);
        let least = rule.height.max(rule.fraction * lower.height);
        if rise < least || apart(higher.at, lower.at) <= rule.distance {
            groups.join(high, low);
        }
    }
    number_groups(groups, &ranked.rank_of)
}

/// Peaks in their total order: by height, then by place.
struct Ranked {
    /// The lowest first.
    tops: Vec<Top>,
    /// The rank of each, in the order in which they came.
    rank_of: Vec<u32>,
}

/// What a peak's rank does not tell of it.
struct Top {
    /// In smallest voxel edges.
    height: f64,
    at: Shape,
}

/// A saddle and the ranks of the peaks that it joins, the greater one first.
#[derive(Clone, Copy)]
struct Descent {
    squared: u32,
    ranks: [u32; 2],
}

impl Descent {
    /// Its place in the order of visits, the last one first; one number, since most comparisons go far beyond the
    /// squared distance.
    fn place(&self) -> u128 {
        let [high, low] = self.ranks;
        u128::from(self.squared) << 64 | u128::from(high) << 32 | u128::from(low)
    }
}

impl Ranked {
    fn new(peaks: &[Peak], metric: &Metric, shape: Shape) -> Self {
        let mut order: Vec<u32> = (0..).take(peaks.len()).collect();
        order.par_sort_unstable_by_key(|&number| {
            let peak = &peaks[number as usize];
            (peak.squared, peak.voxel)
        });
        let mut rank_of = vec![0; peaks.len()];
        order.iter().zip(0..).for_each(|(&number, rank)| rank_of[number as usize] = rank);
        let top = |number| {
            let Peak { voxel, squared } = peaks[number as usize];
            Top { height: metric.length(squared), at: coordinates(voxel, shape) }
        };
        Ranked { tops: order.into_par_iter().map(top).collect(), rank_of }
    }

    /// The saddles in the order in which they are visited.
    fn visits(&self, saddles: &[Saddle]) -> impl Iterator<Item = Descent> + use<> {
        let descent = |saddle: &Saddle| {
            let [a, b] = [saddle.a, saddle.b].map(|label| self.rank_of[label as usize - 1]);
            Descent { squared: saddle.squared, ranks: [a.max(b), a.min(b)] }
        };
        let mut sorted: Vec<_> = saddles.par_iter().map(descent).collect();
        sorted.par_sort_unstable_by_key(Descent::place);
        sorted.into_iter().rev()
    }
}

/// Chebyshev distance in voxels.
fn apart(a: Shape, b: Shape) -> usize {
    (0..3).map(|axis| a[axis].abs_diff(b[axis])).max().expect("there are three axes")
}

/// Numbers the groups from 1 in the order of their first basin; `number_in` says by which number a group knows each
/// basin.
fn number_groups(mut groups: DisjointSets, number_in: &[u32]) -> (Vec<u32>, u32) {
    let mut number_of = vec![0; number_in.len()];
    let mut count = 0;
    let mut table = vec![0];
    for &basin in number_in {
        let number = &mut number_of[groups.find(basin) as usize];
        if *number == 0 {
            count += 1;
            *number = count;
        }
        table.push(*number);
    }
    (table, count)
}

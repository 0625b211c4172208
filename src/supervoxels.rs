//! Super voxels: basins of the distance map that no real saddle parts, joined by persistence.
//!
//! A distance map has a peak for every bulge of a cell. Saddles are visited from the highest down; at each
//! one, the groups of basins on its two sides are joined when the lower group's peak rises too little above
//! the saddle, or when their peaks lie close to each other. Equal saddles are visited in the order of the
//! peaks that they join, which the volume alone decides. Source: persistence of peaks (Edelsbrunner, Letscher
//! and Zomorodian, Discrete Comput. Geom. 28, 2002), in place of the peak spacing of the authors'
//! `generate_super_vox_by_watershed`, which `Watershed::Flood` offers.
use ndarray::{Array3, ArrayView3};

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
    let mut groups = DisjointSets::new(peaks.len());
    for saddle in from_the_highest(peaks, saddles) {
        let [a, b] = [saddle.a, saddle.b].map(|label| groups.find(label - 1));
        if a == b {
            continue;
        }
        let (high, low) = if rank(&peaks[a as usize]) > rank(&peaks[b as usize]) { (a, b) } else { (b, a) };
        let [higher, lower] = [high, low].map(|group| &peaks[group as usize]);
        let height = metric.length(lower.squared);
        let rise = height - metric.length(saddle.squared);
        if rise < rule.height.max(rule.fraction * height) || apart(higher, lower, shape) <= rule.distance {
            groups.join(high, low);
        }
    }
    number_groups(groups, peaks.len())
}

/// The total order of peaks: by height, then by place.
fn rank(peak: &Peak) -> (u32, usize) {
    (peak.squared, peak.voxel)
}

fn from_the_highest(peaks: &[Peak], saddles: &[Saddle]) -> Vec<Saddle> {
    let mut sorted = saddles.to_vec();
    sorted.sort_unstable_by_key(|saddle| {
        let [a, b] = [saddle.a, saddle.b].map(|label| rank(&peaks[label as usize - 1]));
        std::cmp::Reverse((saddle.squared, a.max(b), a.min(b)))
    });
    sorted
}

/// Chebyshev distance in voxels.
fn apart(a: &Peak, b: &Peak, shape: Shape) -> usize {
    let [a, b] = [a, b].map(|peak| coordinates(peak.voxel, shape));
    (0..3).map(|axis| a[axis].abs_diff(b[axis])).max().expect("there are three axes")
}

/// Numbers the groups from 1 in the order of their first basin.
fn number_groups(mut groups: DisjointSets, basins: usize) -> (Vec<u32>, u32) {
    let mut number_of = vec![0; basins];
    let mut count = 0;
    let mut table = vec![0];
    for basin in 0..basins as u32 {
        let number = &mut number_of[groups.find(basin) as usize];
        if *number == 0 {
            count += 1;
            *number = count;
        }
        table.push(*number);
    }
    (table, count)
}

//! What small tiles of a volume show: the range of intensities in which its walls lie, where there is tissue, whether
//! walls are darker than cells.
//!
//! All of it is robust where percentiles of all voxels are not: hot pixels, a volume mostly padded with one value, a few
//! cells in a large dark volume. A voxel counts as bright as the brightest of its six neighbours at most, so that single
//! hot pixels do not count; the most frequent value does not count where many voxels have exactly it, as padding does.
use ndarray::{Array3, ArrayView3, Axis, Slice, Zip};
use rayon::prelude::*;

use super::Percentiles;
use crate::volume::{Shape, Volume};

/// Extent of a tile in voxels.
const TILE: Shape = [16; 3];
/// Tiles that are looked at, where a volume has more.
const TILES: usize = 2048;
/// Of a tile's sorted values every so manieth stands for all in what is sorted of all tiles.
const THINNED: usize = 8;
/// Share of the voxels that one value has to have to be padding.
const PADDED: f64 = 0.02;
/// Shares of a tile's voxels that are darker than what its walls leave free, its middle, and its walls.
const OF_TILE: [f64; 3] = [0.1, 0.5, 0.9];
/// This many tiles may be brighter than all walls, as dirt is, and in large volumes one in so many.
const BRIGHTER: usize = 2;
const BRIGHTER_SHARE: usize = 200;

/// What the tiles of a volume show.
#[derive(Clone, Debug)]
pub struct Survey {
    tiles: Vec<Tile>,
    /// Dark, and as bright as walls; absent where all that counts is one value.
    range: Option<[f64; 2]>,
}

/// A tile of a volume.
#[derive(Clone, Debug)]
struct Tile {
    /// Its first voxel.
    start: Shape,
    /// Of its voxels, at [`OF_TILE`].
    percentiles: [f32; 3],
}

impl Survey {
    /// Looks at a volume.
    pub fn of(volume: &Volume) -> Self {
        Self::with(volume.shape(), |start, extent| volume.read_f32(start, extent))
    }

    /// Looks at a volume of `shape`, of which `read` gives the voxels of a region (first voxel, extent).
    pub(super) fn with(shape: Shape, read: impl Fn(Shape, Shape) -> Array3<f32> + Sync) -> Self {
        let look = |start: Shape| {
            let extent = [0, 1, 2].map(|a| TILE[a].min(shape[a] - start[a]));
            (start, sorted(without_peaks(read(start, extent).view()).into_iter().collect()))
        };
        let mut tiles: Vec<(Shape, Vec<f32>)> = starts(shape).into_par_iter().map(look).collect();
        if let Some(padding) = padding(&tiles) {
            tiles.iter_mut().for_each(|(_, values)| values.retain(|&value| value != padding));
            // Too few voxels say nothing of a tile.
            tiles.retain(|(_, values)| values.len() >= TILE.iter().product::<usize>() / 8);
        }
        let thinned = |(_, values): &(Shape, Vec<f32>)| {
            values.iter().copied().skip(THINNED / 2).step_by(THINNED).collect::<Vec<_>>()
        };
        let all = sorted(tiles.iter().flat_map(thinned).collect());
        let tiles: Vec<Tile> = tiles
            .into_iter()
            .filter(|(_, values)| !values.is_empty())
            .map(|(start, values)| Tile { start, percentiles: OF_TILE.map(|share| at(&values, share)) })
            .collect();
        Survey { range: range(&tiles, &all), tiles }
    }

    /// Dark and the brightness of walls: a percentile of all voxels that count, and what the same percentile or a tenth of
    /// the voxels of the brightest tiles exceed, whichever is more. Walls fill a tenth of a tile that they pass
    /// through, however few such tiles there are. `None` where all that counts is one value.
    pub fn range(&self) -> Option<[f64; 2]> {
        self.range
    }

    /// Where a region of `extent` voxels (at most the volume's `shape`) begins that shows the most: its tiles differ most in
    /// themselves.
    pub fn richest(&self, shape: Shape, extent: Shape) -> Shape {
        let centred = |tile: &Tile| {
            [0, 1, 2].map(|a| {
                let centre = tile.start[a] + TILE[a] / 2;
                centre.saturating_sub(extent[a] / 2).min(shape[a] - extent[a])
            })
        };
        let middle = [0, 1, 2].map(|a| (shape[a] - extent[a]) / 2);
        // The share of a tile that lies in the region.
        let share = |tile: &Tile, start: &Shape| -> f64 {
            let along = |a: usize| {
                let (first, end) =
                    (tile.start[a].max(start[a]), (tile.start[a] + TILE[a]).min(start[a] + extent[a]));
                end.saturating_sub(first) as f64 / TILE[a] as f64
            };
            along(0) * along(1) * along(2)
        };
        let shown = |start: &Shape| -> f64 {
            self.tiles.iter().map(|tile| share(tile, start) * self.contrast(tile)).sum()
        };
        let mut starts: Vec<Shape> = self.tiles.iter().map(centred).collect();
        starts.sort_unstable();
        starts.dedup();
        // The middle, unless another region shows clearly more.
        let least = 1.2 * shown(&middle);
        let best = starts
            .into_par_iter()
            .map(|start| (shown(&start), start))
            .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(&a.1)));
        best.filter(|(shown, _)| *shown > least).map_or(middle, |(_, start)| start)
    }

    /// How far the bright voxels of tissue lie from its middle, beside the dark ones: near 1 where few are bright, as
    /// walls are, near -1 where few are dark; 0 where there is no tissue.
    pub fn skewness(&self) -> f64 {
        let tissue = self.tiles.iter().filter(|tile| self.contrast(tile) > 0.3);
        let skews = tissue.map(|tile| {
            let [dark, middle, bright] = tile.percentiles.map(f64::from);
            ((bright - middle) - (middle - dark)) / (bright - dark)
        });
        let (sum, count) = skews.fold((0.0, 0), |(sum, count), skew| (sum + skew, count + 1));
        if count == 0 { 0.0 } else { sum / f64::from(count) }
    }

    /// How much the voxels of a tile differ, 1 being from darkness to walls.
    fn contrast(&self, tile: &Tile) -> f64 {
        let Some([low, high]) = self.range else { return 0.0 };
        let [dark, _, bright] = tile.percentiles.map(f64::from);
        ((bright - dark) / (high - low)).min(1.0)
    }
}

fn range(tiles: &[Tile], all: &[f32]) -> Option<[f64; 2]> {
    if all.is_empty() {
        return None;
    }
    let mut tops = sorted(tiles.iter().map(|tile| tile.percentiles[2]).collect());
    tops.truncate(tops.len().saturating_sub(BRIGHTER.max(tops.len() / BRIGHTER_SHARE)).max(1));
    let [low, high] = Percentiles::ROBUST.0.map(|percentile| at(all, percentile / 100.0));
    let high = tops.last().map_or(high, |&top| high.max(top));
    (low < high).then(|| [low.into(), high.into()])
}

/// The first voxels of the tiles that are looked at: all, or some that lie as evenly as multiples of the golden ratio do.
fn starts(shape: Shape) -> Vec<Shape> {
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    let [depth, height, width] = [0, 1, 2].map(|a| shape[a].div_ceil(TILE[a]));
    let all = depth * height * width;
    let start = |tile: usize| [tile / width / height, tile / width % height, tile % width];
    let chosen =
        |i: usize| if all <= TILES { i } else { ((i as f64 * GOLDEN).fract() * all as f64) as usize };
    let tiles = (0..all.min(TILES)).map(|i| start(chosen(i)));
    tiles.map(|tile| [0, 1, 2].map(|a| tile[a] * TILE[a])).collect()
}

/// Each voxel, or the brightest of its six neighbours where that is darker.
fn without_peaks(tile: ArrayView3<f32>) -> Array3<f32> {
    let mut brightest = Array3::from_elem(tile.dim(), f32::NEG_INFINITY);
    for axis in [0, 1, 2].map(Axis) {
        for (here, there) in
            [(Slice::new(0, Some(-1), 1), Slice::from(1..)), (Slice::from(1..), Slice::new(0, Some(-1), 1))]
        {
            let neighbours = tile.slice_axis(axis, there);
            Zip::from(brightest.slice_axis_mut(axis, here))
                .and(neighbours)
                .for_each(|most, &next| *most = most.max(next));
        }
    }
    Zip::from(&mut brightest).and(tile).for_each(|most, &own| {
        // A tile of a single voxel has no neighbours.
        *most = if *most == f32::NEG_INFINITY { own } else { most.min(own) };
    });
    brightest
}

/// The value that more than a small share of all voxels have, if there is one.
fn padding(tiles: &[(Shape, Vec<f32>)]) -> Option<f32> {
    let all: usize = tiles.iter().map(|(_, values)| values.len()).sum();
    // A value that is so frequent in all tiles is the most frequent one of some tile.
    let mut candidates: Vec<(f32, usize)> =
        tiles.iter().filter_map(|(_, values)| longest_run(values)).collect();
    candidates.sort_by(|a, b| a.0.total_cmp(&b.0));
    let runs = candidates.chunk_by(|a, b| a.0 == b.0);
    let sums = runs.map(|run| (run[0].0, run.iter().map(|(_, count)| count).sum::<usize>()));
    let most = sums.max_by_key(|(_, count)| *count)?;
    (most.1 as f64 >= PADDED * all as f64).then_some(most.0)
}

/// The most frequent of sorted values, and how many voxels have it.
fn longest_run(values: &[f32]) -> Option<(f32, usize)> {
    values.chunk_by(|a, b| a == b).map(|run| (run[0], run.len())).max_by_key(|(_, count)| *count)
}

fn sorted(mut values: Vec<f32>) -> Vec<f32> {
    values.par_sort_unstable_by(f32::total_cmp);
    values
}

/// The value below which this share of sorted values lie, of which there are some.
fn at(sorted: &[f32], share: f64) -> f32 {
    sorted[(share * (sorted.len() - 1) as f64).round() as usize]
}

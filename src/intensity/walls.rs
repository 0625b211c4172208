//! The range of intensities in which a volume's walls lie, robust where percentiles of all voxels are not: hot
//! pixels, a volume mostly padded with one value, a few cells in a large dark volume.
//!
//! Small tiles are looked at, spread evenly over the volume. A voxel counts as bright as the brightest of its six
//! neighbours at most, so that single hot pixels do not count; the most frequent value does not count where many voxels
//! have exactly it, as padding does. Dark is a percentile of what remains. Bright is what the same percentile of all
//! or a tenth of the voxels of the brightest tiles exceeds, whichever is more: walls fill a tenth of a tile that
//! they pass through, however few such tiles there are.
use ndarray::{Array3, ArrayView3, Zip};
use rayon::prelude::*;

use super::Percentiles;
use crate::volume::Shape;

/// Extent of a tile in voxels.
const TILE: Shape = [16; 3];
/// Tiles that are looked at, where a volume has more.
const TILES: usize = 2048;
/// Of a tile's sorted values every so manieth stands for all in what is sorted of all tiles.
const THINNED: usize = 8;
/// Share of the voxels that one value has to have to be padding.
const PADDED: f64 = 0.02;
/// Share of a tile's voxels that are brighter than its walls' typical brightness.
const OF_TILE: f64 = 0.9;
/// This many tiles may be brighter than all walls, as dirt is, and in large volumes one in so many.
const BRIGHTER: usize = 2;
const BRIGHTER_SHARE: usize = 200;

/// What the tiles of a volume of `shape` show, dark and bright; `None` where they show a
/// single value. `read` gives the voxels of a region (first voxel, extent).
pub(super) fn range(shape: Shape, read: impl Fn(Shape, Shape) -> Array3<f32> + Sync) -> Option<[f64; 2]> {
    let tiles: Vec<Vec<f32>> = starts(shape)
        .into_par_iter()
        .map(|start| {
            let extent = [0, 1, 2].map(|a| TILE[a].min(shape[a] - start[a]));
            sorted(without_peaks(read(start, extent).view()).into_iter().collect())
        })
        .collect();
    let padding = padding(&tiles);
    let tiles: Vec<Vec<f32>> = tiles
        .into_iter()
        .map(|tile| tile.into_iter().filter(|&value| Some(value) != padding).collect::<Vec<_>>())
        .filter(|tile| tile.len() >= TILE.iter().product::<usize>() / 8 || padding.is_none())
        .collect();
    let mut tops = sorted(tiles.iter().filter_map(|tile| at(tile, OF_TILE)).collect());
    let thinned =
        |tile: &Vec<f32>| tile.iter().copied().skip(THINNED / 2).step_by(THINNED).collect::<Vec<_>>();
    let all = sorted(tiles.iter().flat_map(thinned).collect());
    let Percentiles(percentiles) = Percentiles::ROBUST;
    let [low, high] = [at(&all, percentiles[0] / 100.0)?, at(&all, percentiles[1] / 100.0)?];
    tops.truncate(tops.len().saturating_sub(BRIGHTER.max(tops.len() / BRIGHTER_SHARE)).max(1));
    let high = high.max(*tops.last()?);
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
    for axis in 0..3 {
        for shift in [-1, 1] {
            let there = |extent: usize| if shift < 0 { 0..extent - 1 } else { 1..extent };
            let here = |extent: usize| if shift < 0 { 1..extent } else { 0..extent - 1 };
            let part = |from: &dyn Fn(usize) -> std::ops::Range<usize>| {
                let of = |a: usize| {
                    if a == axis {
                        from(tile.len_of(ndarray::Axis(a)))
                    } else {
                        0..tile.len_of(ndarray::Axis(a))
                    }
                };
                ndarray::s![of(0), of(1), of(2)]
            };
            let neighbours = tile.slice(part(&there));
            Zip::from(brightest.slice_mut(part(&here)))
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
fn padding(tiles: &[Vec<f32>]) -> Option<f32> {
    let all: usize = tiles.iter().map(Vec::len).sum();
    // A value that is so frequent in all tiles is the most frequent one of some tile.
    let mut candidates: Vec<(f32, usize)> = tiles.iter().filter_map(|tile| longest_run(tile)).collect();
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

/// The value below which this share of sorted values lie.
fn at(sorted: &[f32], share: f64) -> Option<f32> {
    sorted.get((share * sorted.len().saturating_sub(1) as f64).round() as usize).copied()
}

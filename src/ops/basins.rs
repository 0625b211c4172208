//! Basins of a distance map by steepest ascent.
//!
//! Every voxel of the set points to that of its 26 neighbours which has the greatest (squared distance,
//! linear index), if greater than its own; a voxel without a greater neighbour is a peak, and a basin is all
//! that leads to one peak. The order is total, so neither blocks nor threads decide anything.
//!
//! Each block finds its pointers and follows them to their ends inside the block: peaks, and voxels just
//! outside it. These fragments are numbered within the block; a pointer that leaves a block is resolved by
//! pointer jumping over the fragments alone.
//!
//! squared distance `[z, y, x]` u32, 0 outside -> labels `[z, y, x]` u32, 0 outside, and the peaks; label n
//! belongs to the n-th peak in raster order.
use ndarray::{Array3, ArrayView3, ArrayViewMut3, s};
use rayon::prelude::*;

use super::blocks::{Grid, coordinates, linear};
use super::distance::SQUARED_LIMIT;
use crate::error::{Error, Result};
use crate::volume::Shape;

/// Bits of a key that say which of the 27 voxels around it a maximum was found at.
const DIRECTION_BITS: u32 = 5;
const _: () = assert!(SQUARED_LIMIT << DIRECTION_BITS <= 1 << 32);

/// The voxel that a basin's pointers lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peak {
    /// Linear index, x fastest.
    pub voxel: usize,
    /// Squared distance there.
    pub squared: u32,
}

/// The basins of a distance map.
pub struct Basins {
    /// 0 outside, otherwise the number of the peak, counted from 1.
    pub labels: Array3<u32>,
    /// The peaks in raster order.
    pub peaks: Vec<Peak>,
}

/// Operations and bytes moved for `voxels` voxels: six maxima, some ten steps along pointers; 4 bytes in, 4
/// out twice.
pub fn cost(voxels: usize) -> (usize, usize) {
    (25 * voxels, 16 * voxels)
}

/// The basins, found in blocks of `block` voxels; the block's size changes nothing but the speed.
///
/// Fails where a squared distance is not below [`SQUARED_LIMIT`], or where there are more than 2^32 - 2
/// fragments.
pub fn ascend(squared: ArrayView3<u32>, block: Shape) -> Result<Basins> {
    if squared.into_par_iter().any(|&value| u64::from(value) >= SQUARED_LIMIT) {
        return Err(Error::invalid(format!("squared distances must be below {SQUARED_LIMIT}")));
    }
    let squared = squared.as_standard_layout();
    let shape: Shape = squared.dim().into();
    let grid = Grid::new(shape, block)?;
    let mut labels = Array3::zeros(shape);
    let ends: Vec<Vec<End>> = grid
        .split(labels.view_mut())
        .into_par_iter()
        .enumerate()
        .map_init(Scratch::default, |scratch, (number, labels)| {
            scratch.fragments(squared.view(), grid.origin(number), labels)
        })
        .collect();
    let first = first_fragments(&ends)?;
    let ends = ends.concat();
    let last = resolve(&ends, |voxel| {
        let voxel = coordinates(voxel, shape);
        first[grid.block_of(voxel)] + labels[voxel] - 1
    });
    let (peaks, label_of) = number_peaks(&ends, squared.view());
    grid.split(labels.view_mut()).into_par_iter().zip(&first).for_each(|(mut labels, first)| {
        let label = |fragment: u32| label_of[last[(first + fragment - 1) as usize] as usize];
        labels
            .iter_mut()
            .filter(|fragment| **fragment != 0)
            .for_each(|fragment| *fragment = label(*fragment));
    });
    Ok(Basins { labels, peaks })
}

/// Number of the first fragment of every block.
fn first_fragments(ends: &[Vec<End>]) -> Result<Vec<u32>> {
    let total = ends.iter().map(Vec::len).sum::<usize>();
    if total >= u32::MAX as usize {
        return Err(Error::invalid(format!("{total} fragments of basins: at most 2^32 - 2 can be numbered")));
    }
    Ok(ends
        .iter()
        .scan(0, |next, ends| {
            let first = *next;
            *next += ends.len() as u32;
            Some(first)
        })
        .collect())
}

/// For every fragment the one that holds the peak, by pointer jumping; `fragment_at` names the fragment of a
/// voxel.
fn resolve(ends: &[End], fragment_at: impl Fn(usize) -> u32 + Sync) -> Vec<u32> {
    let step = |(number, end): (usize, &End)| if end.inside { number as u32 } else { fragment_at(end.voxel) };
    let mut next: Vec<u32> = ends.par_iter().enumerate().map(step).collect();
    loop {
        let jumped: Vec<u32> = next.par_iter().map(|&fragment| next[fragment as usize]).collect();
        if jumped == next {
            return next;
        }
        next = jumped;
    }
}

/// The peaks in raster order, and for every fragment with a peak that peak's label.
fn number_peaks(ends: &[End], squared: ArrayView3<u32>) -> (Vec<Peak>, Vec<u32>) {
    let mut order: Vec<u32> = (0..ends.len() as u32).filter(|&number| ends[number as usize].inside).collect();
    order.par_sort_unstable_by_key(|&number| ends[number as usize].voxel);
    let mut label_of = vec![0; ends.len()];
    order.iter().zip(1..).for_each(|(&number, label)| label_of[number as usize] = label);
    let squared = squared.to_slice().expect("volumes are contiguous");
    let voxels = order.iter().map(|&number| ends[number as usize].voxel);
    (voxels.map(|voxel| Peak { voxel, squared: squared[voxel] }).collect(), label_of)
}

/// Where the pointers of a fragment end: at a peak inside the block, or at a voxel of another block.
#[derive(Clone, Copy)]
struct End {
    voxel: usize,
    inside: bool,
}

impl End {
    /// The end at a voxel of the padded block with `inner` voxels at `origin` of the volume.
    fn new(padded: Shape, inner: Shape, origin: Shape, volume: Shape) -> Self {
        let inside = (0..3).all(|axis| (1..=inner[axis]).contains(&padded[axis]));
        let voxel = [0, 1, 2].map(|axis| origin[axis] + padded[axis] - 1);
        Self { voxel: linear(voxel, volume), inside }
    }
}

/// Marks voxels outside the set among the pointers.
const OUTSIDE: u32 = u32::MAX;

/// The memory of one block with a border of one voxel.
#[derive(Default)]
struct Scratch {
    /// Squared distances; 0 beyond the volume.
    squared: Vec<u32>,
    /// Greatest key of the nine voxels around each voxel of a plane, for the planes below, at and above z.
    planes: [Vec<u32>; 3],
    /// Where each voxel points to; ends point to themselves.
    next: Vec<u32>,
    /// Number of the fragment that ends at a voxel.
    fragment: Vec<u32>,
}

impl Scratch {
    /// Labels the fragments of the block at `origin` from 1 and returns their ends in that order.
    fn fragments(
        &mut self,
        volume: ArrayView3<u32>,
        origin: Shape,
        mut labels: ArrayViewMut3<u32>,
    ) -> Vec<End> {
        let inner: Shape = labels.dim().into();
        let padded = inner.map(|edge| edge + 2);
        self.load(volume, origin, padded);
        self.point(padded);
        self.fragment.clear();
        self.fragment.resize(self.next.len(), 0);
        let mut ends = Vec::new();
        for ((z, y, x), label) in labels.indexed_iter_mut() {
            let start = linear([z + 1, y + 1, x + 1], padded);
            if self.next[start] == OUTSIDE {
                continue;
            }
            let end = self.follow(start);
            if self.fragment[end] == 0 {
                ends.push(End::new(coordinates(end, padded), inner, origin, volume.dim().into()));
                self.fragment[end] = ends.len() as u32;
            }
            *label = self.fragment[end];
        }
        ends
    }

    /// Copies the block and its border.
    fn load(&mut self, volume: ArrayView3<u32>, origin: Shape, padded: Shape) {
        self.squared.clear();
        self.squared.resize(padded.iter().product(), 0);
        let first = origin.map(|start| start.saturating_sub(1));
        let end = [0, 1, 2].map(|axis| (origin[axis] + padded[axis] - 1).min(volume.shape()[axis]));
        for z in first[0]..end[0] {
            for y in first[1]..end[1] {
                let row = volume.slice(s![z, y, first[2]..end[2]]);
                let start = linear([z + 1 - origin[0], y + 1 - origin[1], first[2] + 1 - origin[2]], padded);
                let row = row.to_slice().expect("rows are contiguous");
                self.squared[start..start + row.len()].copy_from_slice(row);
            }
        }
    }

    /// Points every voxel of the set to the greatest of the 27 around it.
    fn point(&mut self, padded: Shape) {
        let plane = padded[1] * padded[2];
        let offsets = offsets(padded);
        self.next.clear();
        self.next.extend(0..self.squared.len() as u32);
        for z in 0..padded[0] {
            self.planes.rotate_left(1);
            greatest_in_plane(&self.squared[z * plane..][..plane], padded, &mut self.planes[2]);
            if z < 2 {
                continue;
            }
            let [below, at, above] = &self.planes;
            for y in 1..padded[1] - 1 {
                let row = y * padded[2] + 1..(y + 1) * padded[2] - 1;
                let next = &mut self.next[(z - 1) * plane..][row.clone()];
                let keys = below[row.clone()].iter().zip(&at[row.clone()]).zip(&above[row]);
                for (next, ((below, at), above)) in next.iter_mut().zip(keys) {
                    let key = *below.max(&(at + 9)).max(&(above + 18));
                    *next = next.wrapping_add_signed(offsets[(key & 31) as usize]);
                }
            }
        }
        self.next
            .iter_mut()
            .zip(&self.squared)
            .filter(|(_, squared)| **squared == 0)
            .for_each(|(next, _)| *next = OUTSIDE);
    }

    /// The end of the pointers from `start`; everything on the way then points to it.
    fn follow(&mut self, start: usize) -> usize {
        let mut end = start;
        while self.next[end] as usize != end {
            end = self.next[end] as usize;
        }
        let mut at = start;
        while at != end {
            at = std::mem::replace(&mut self.next[at], end as u32) as usize;
        }
        end
    }
}

/// Greatest key of the nine voxels around each inner voxel of a plane; a key is (squared distance, place
/// among the nine).
fn greatest_in_plane(squared: &[u32], padded: Shape, keys: &mut Vec<u32>) {
    let [_, height, width] = padded;
    let mut rows = vec![0; squared.len()];
    for (row, rows) in squared.chunks_exact(width).zip(rows.chunks_exact_mut(width)) {
        for (key, around) in rows[1..].iter_mut().zip(row.windows(3)) {
            let [before, at, after] = [around[0], around[1], around[2]].map(|value| value << DIRECTION_BITS);
            *key = before.max(at + 1).max(after + 2);
        }
    }
    keys.resize(squared.len(), 0);
    for y in 1..height - 1 {
        let row = |y: usize| &rows[y * width..(y + 1) * width];
        let around = row(y - 1).iter().zip(row(y)).zip(row(y + 1));
        for (key, ((before, at), after)) in keys[y * width..].iter_mut().zip(around) {
            *key = *before.max(&(at + 3)).max(&(after + 6));
        }
    }
}

/// Steps in linear index to the 27 voxels around one, in ascending order.
fn offsets([_, height, width]: Shape) -> [i32; 32] {
    std::array::from_fn(|place| {
        let [z, y, x] = coordinates(place, [3, 3, 3]).map(|place| place as i32 - 1);
        (z * height as i32 + y) * width as i32 + x
    })
}

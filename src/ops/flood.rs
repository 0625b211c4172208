//! Flooding a distance map from markers: `skimage.segmentation.watershed(-E, markers, mask=E > 0)` with 26
//! neighbours, bit for bit.
//!
//! The voxel of the greatest distance leaves the queue first, of equals the one that entered first; it gives
//! its label to its free neighbours, which enter the queue no higher than it stood. All markers enter at age
//! 0, so their order among equals is that of the binary heap, which is therefore scikit-image's own
//! (`heap_general.pxi`) and not the standard library's. One thread: the queue is the algorithm.
//!
//! squared distance `[z, y, x]` u32, markers as linear indices -> labels `[z, y, x]` u32, marker n labelled n
//! + 1.
use ndarray::{Array3, ArrayView3, s};

use super::blocks::{coordinates, linear};
use crate::error::{Error, Result};
use crate::volume::Shape;

/// Operations and bytes moved for `voxels` voxels: 26 neighbours and some forty steps in the heap; a 32-bit
/// value in and out.
pub fn cost(voxels: usize) -> (usize, usize) {
    (70 * voxels, 8 * voxels)
}

/// Floods the voxels whose distance is not 0; those that no marker reaches stay 0.
pub fn flood(squared: ArrayView3<u32>, markers: &[usize]) -> Result<Array3<u32>> {
    if markers.len() >= u32::MAX as usize {
        return Err(Error::invalid(format!("{} markers: at most 2^32 - 2 can be labelled", markers.len())));
    }
    let shape: Shape = squared.dim().into();
    let padded = shape.map(|edge| edge + 2);
    let inner = s![1..padded[0] - 1, 1..padded[1] - 1, 1..padded[2] - 1];
    let mut levels = Array3::zeros(padded);
    levels.slice_mut(inner).assign(&squared);
    let mut labels = Array3::zeros(padded);
    let levels = levels.as_slice().expect("owned arrays are contiguous");
    flood_padded(levels, labels.as_slice_mut().expect("owned arrays are contiguous"), padded, shape, markers);
    Ok(labels.slice(inner).to_owned())
}

fn flood_padded(levels: &[u32], labels: &mut [u32], padded: Shape, shape: Shape, markers: &[usize]) {
    let mut queue = Queue::default();
    for (&marker, label) in markers.iter().zip(1..) {
        let voxel = linear(coordinates(marker, shape).map(|place| place + 1), padded);
        labels[voxel] = label;
        queue.push(Item { level: levels[voxel], age: 0, voxel });
    }
    let steps = steps_to_neighbours(padded);
    let mut age = 0;
    while let Some(from) = queue.pop() {
        for step in steps {
            let voxel = from.voxel.wrapping_add_signed(step);
            if levels[voxel] == 0 || labels[voxel] != 0 {
                continue;
            }
            age += 1;
            labels[voxel] = labels[from.voxel];
            queue.push(Item { level: levels[voxel].min(from.level), age, voxel });
        }
    }
}

/// Steps in linear index to the 26 neighbours: faces, edges, corners, each in raster order.
fn steps_to_neighbours(padded: Shape) -> [isize; 26] {
    let mut places: Vec<[isize; 3]> =
        (0..27).map(|n| coordinates(n, [3; 3]).map(|place| place as isize - 1)).collect();
    places.sort_by_key(|place| place.iter().map(|step| step * step).sum::<isize>());
    std::array::from_fn(|n| {
        let [z, y, x] = places[n + 1];
        (z * padded[1] as isize + y) * padded[2] as isize + x
    })
}

/// A voxel that waits for its neighbours to be labelled.
#[derive(Clone, Copy)]
struct Item {
    level: u32,
    age: u64,
    voxel: usize,
}

impl Item {
    fn leaves_before(&self, other: &Self) -> bool {
        self.level > other.level || self.level == other.level && self.age < other.age
    }
}

/// The binary heap of scikit-image, whose order among equals is part of the result.
#[derive(Default)]
struct Queue(Vec<Item>);

impl Queue {
    fn push(&mut self, item: Item) {
        let mut child = self.0.len();
        self.0.push(item);
        while child > 0 {
            let parent = (child - 1) / 2;
            if !self.0[child].leaves_before(&self.0[parent]) {
                break;
            }
            self.0.swap(child, parent);
            child = parent;
        }
    }

    fn pop(&mut self) -> Option<Item> {
        let last = self.0.len().checked_sub(1)?;
        self.0.swap(0, last);
        let first = self.0.pop();
        let mut at = 0;
        loop {
            let children = (2 * at + 1..2 * at + 3).filter(|&child| child < self.0.len());
            let before = |best: usize, child: usize| {
                if self.0[child].leaves_before(&self.0[best]) { child } else { best }
            };
            let best = children.fold(at, before);
            if best == at {
                return first;
            }
            self.0.swap(at, best);
            at = best;
        }
    }
}

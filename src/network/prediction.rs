//! A whole volume through the network, block by block: classes, and probabilities on request.
use ndarray::{Array3, Array4, s};
use rayon::prelude::*;

use super::Network;
use super::axes::{ORDERS, transposed};
use crate::error::Result;
use crate::ops::class_conv::CLASSES;
use crate::ops::softmax;
use crate::tiles::{self, Block};
use crate::volume::Shape;
use crate::weights::Weights;

/// Memory that the network takes per voxel that it reads, in bytes: two half-resolution grids of 64 channels,
/// their border, the input, and a share of the slabs; measured as 91 between 2.5 and 10.5 million
/// voxels, classes included.
pub const BYTES_PER_VOXEL: u64 = 96;

/// What the network says of a volume.
pub struct Prediction {
    /// 0 background, 1 membrane, 2 foreground; z, y, x.
    pub classes: Array3<u8>,
    /// Probabilities of the three classes, `[class][z][y][x]`, where they were asked for.
    pub probabilities: Option<Array4<f32>>,
}

/// How to run the network over a volume.
pub struct Predictor {
    networks: Vec<Network>,
    /// Whether probabilities are kept: 12 bytes a voxel.
    pub keep_probabilities: bool,
}

impl Predictor {
    /// One network, or with `transposes` the authors' four axis orders: a voxel is background where any order
    /// says so, else membrane where any says so, else foreground; probabilities are their mean.
    pub fn new(weights: &Weights, transposes: bool) -> Self {
        let orders = if transposes { &ORDERS[..] } else { &ORDERS[..1] };
        let networks = orders.iter().map(|order| Network::new(&transposed(weights, *order))).collect();
        Predictor { networks, keep_probabilities: false }
    }

    /// Runs the network in blocks of `block` voxels. `read` gives the normalised voxels of a region (start,
    /// extent); `progress` is told how many voxels are done, after each slab.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn predict(
        &self,
        shape: Shape,
        block: Shape,
        read: &mut dyn FnMut(Shape, Shape) -> Result<Array3<f32>>,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Prediction> {
        let [z, y, x] = shape;
        let mut prediction = Prediction {
            classes: Array3::zeros(shape),
            probabilities: self.keep_probabilities.then(|| Array4::zeros([CLASSES, z, y, x])),
        };
        let mut done = 0.0;
        for block in tiles::blocks(shape, block) {
            let voxels = read(block.read_start, block.read_shape)?;
            let share = block.shape.iter().product::<usize>() as f64
                / (self.networks.len() * block.read_shape[0]) as f64;
            for (i, network) in self.networks.iter().enumerate() {
                network.logits(voxels.view(), &mut |z, plane| {
                    prediction.add_plane(&block, z, plane, (i, self.networks.len()));
                    done += share;
                    progress(done as usize);
                });
            }
        }
        Ok(prediction)
    }
}

impl Prediction {
    /// Takes over what the block answers for of one plane (z within what it read) from network `i` of `count`.
    fn add_plane(&mut self, block: &Block, z: usize, plane: &[[f32; CLASSES]], (i, count): (usize, usize)) {
        let at = z + block.read_start[0];
        if !(block.start[0]..block.start[0] + block.shape[0]).contains(&at) {
            return;
        }
        let [_, sy, sx] = block.start;
        let [_, ny, nx] = block.shape;
        let columns = block.read_shape[2];
        let skip = [sy - block.read_start[1], sx - block.read_start[2]];
        let row = |y: usize| {
            let start = (y + skip[0]) * columns + skip[1];
            &plane[start..start + nx]
        };
        let mut classes = self.classes.slice_mut(s![at, sy..sy + ny, sx..sx + nx]);
        let rows: Vec<_> = classes.outer_iter_mut().enumerate().collect();
        rows.into_par_iter().for_each(|(y, mut classes)| {
            for (class, logits) in classes.iter_mut().zip(row(y)) {
                let found = softmax::class(*logits);
                *class = if i == 0 { found } else { found.min(*class) };
            }
        });
        if let Some(probabilities) = &mut self.probabilities {
            let mut part = probabilities.slice_mut(s![.., at, sy..sy + ny, sx..sx + nx]);
            let rows: Vec<_> = part.axis_iter_mut(ndarray::Axis(1)).enumerate().collect();
            rows.into_par_iter().for_each(|(y, mut part)| {
                for (x, logits) in row(y).iter().enumerate() {
                    for (c, p) in softmax::softmax(*logits).into_iter().enumerate() {
                        part[[c, x]] += p / count as f32;
                    }
                }
            });
        }
    }
}

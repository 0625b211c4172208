//! A whole volume through the network, block by block: classes, and probabilities on request.
//!
//! On another grid than the stored one its points go through the network, whose logits `[z, y, x][class]` are kept for one axis
//! order at a time and enlarged: on the GPU where a single one has the memory for both, else on the host. Probabilities and classes
//! come from where logits become those of a voxel; of the CPU's and the host's logits they are taken here.
use std::ops::Range;

use ndarray::{Array3, Array4, Axis, Ix3, SliceInfo, SliceInfoElem, s};
use rayon::prelude::*;

use super::axes::{ORDERS, transposed};
use super::blocks::{self, Job, Read};
use super::cuda::CudaNetwork;
use super::engine::{Engine, Planes, Wanted};
use super::enlarged::Enlarged;
use super::inference::Network;
use crate::device::Device;
use crate::device::cuda::volume::DeviceVolume;
use crate::error::{Error, Result};
use crate::ops::class_conv::CLASSES;
use crate::ops::cuda::places::Target;
use crate::ops::enlargement::Enlargement;
use crate::ops::softmax;
use crate::scale::Sampling;
use crate::tiles::{Block, Rows};
use crate::volume::Shape;
use crate::weights::Weights;

/// What the network says of a volume.
pub struct Prediction {
    /// 0 background, 1 membrane, 2 foreground; z, y, x.
    pub classes: Array3<u8>,
    /// Probabilities of the three classes, `[class][z][y][x]`, where they were asked for.
    pub probabilities: Option<Array4<f32>>,
    /// The classes on the GPU that found them, where they were to stay there and it has the memory.
    pub on_gpu: Option<DeviceVolume<u8>>,
}

/// How to run the network over a volume.
pub struct Predictor {
    /// Of each device, one for each axis order.
    networks: Vec<Vec<Engine>>,
    /// Whether probabilities are kept: 12 bytes a voxel.
    pub keep_probabilities: bool,
    /// Whether the classes stay on the GPU as well.
    pub keep_on_gpu: bool,
}

impl Predictor {
    /// One network, or with `transposes` the authors' four axis orders: a voxel is background where any order
    /// says so, else membrane where any says so, else foreground; probabilities are their mean.
    pub fn new(weights: &Weights, transposes: bool) -> Self {
        let networks = in_orders(weights, transposes).map(|weights| Engine::Cpu(Network::new(&weights)));
        Predictor { networks: vec![networks.collect()], keep_probabilities: false, keep_on_gpu: false }
    }

    /// As [`new`](Self::new), on the device; several GPUs share the blocks.
    ///
    /// # Errors
    /// Those of [`Engine::new`].
    pub fn on(device: &Device, weights: &Weights, transposes: bool) -> Result<Self> {
        let on_one =
            |device| in_orders(weights, transposes).map(|weights| Engine::new(device, &weights)).collect();
        let networks = device.each().iter().map(on_one).collect::<Result<_>>()?;
        Ok(Predictor { networks, keep_probabilities: false, keep_on_gpu: false })
    }

    /// Runs the network in blocks of `block` voxels. `read` gives the voxels of a region (start, extent); `progress` is told how many voxels are done, after each slab.
    ///
    /// # Errors
    /// Those of `read`, and where a GPU has too little memory or fails.
    pub fn predict(
        &self,
        shape: Shape,
        block: Shape,
        read: &mut Read,
        progress: &mut (dyn FnMut(usize) + Send),
    ) -> Result<Prediction> {
        let mut prediction = Prediction::new(shape, self.keep_probabilities);
        let kept = self.keeps_on_gpu(shape);
        let count = self.count();
        let mut done = 0.0;
        let networks: Vec<_> = self.networks.iter().map(|networks| &networks[..]).collect();
        let job =
            Job { networks: &networks, wanted: self.wanted(), kept: kept.as_ref().map(Target::Classes) };
        blocks::run(job, shape, block, read, &mut |block, i, z, planes| {
            // Their classes are still to come.
            if !matches!(planes, Planes::Probabilities(_)) {
                done += share(block, z.len(), count);
            }
            prediction.add_planes(block, z, planes, (i, count));
            progress(done as usize);
        })?;
        Ok(Prediction { on_gpu: kept, ..prediction })
    }

    /// How many networks see each block.
    fn count(&self) -> usize {
        self.networks.first().map_or(0, Vec::len)
    }

    /// What the host has to have of each voxel.
    fn wanted(&self) -> Wanted {
        if self.keep_probabilities { Wanted::Probabilities } else { Wanted::Classes }
    }

    /// A GPU that finds the whole volume alone.
    fn only_gpu(&self) -> Option<&CudaNetwork> {
        let [networks] = &self.networks[..] else { return None };
        match networks.first() {
            Some(Engine::Cuda(network)) => Some(network),
            _ => None,
        }
    }

    /// Where the classes of the whole volume stay on the GPU.
    fn keeps_on_gpu(&self, shape: Shape) -> Option<DeviceVolume<u8>> {
        let network = self.only_gpu().filter(|_| self.keep_on_gpu)?;
        let none = |error: &Error| tracing::debug!("classes do not stay on the GPU: {error}");
        network.keep(shape).inspect_err(none).ok()
    }

    /// Where the logits of the small grid stay on the GPU.
    fn enlarges_on_gpu(&self, enlargement: &Enlargement) -> Option<Enlarged> {
        let network = self.only_gpu()?;
        let none = |error: &Error| tracing::debug!("logits are enlarged on the host: {error}");
        network.enlarged(enlargement, self.keep_on_gpu).inspect_err(none).ok()
    }

    /// As [`predict`](Self::predict) for a volume of `shape` that the network sees on the grid of `sampling`: `block`, `read`
    /// and `progress` are in points of the grid, the prediction in voxels of the volume.
    ///
    /// # Errors
    /// Those of `read`, and where a GPU has too little memory or fails.
    pub fn predict_sampled(
        &self,
        shape: Shape,
        sampling: Sampling,
        block: Shape,
        read: &mut Read,
        progress: &mut (dyn FnMut(usize) + Send),
    ) -> Result<Prediction> {
        let mut prediction = Prediction::new(shape, self.keep_probabilities);
        let enlargement = Enlargement::new(shape, sampling);
        let small = enlargement.boxes();
        let count = self.count();
        let mut done = 0.0;
        let mut network = |i: usize, wanted, kept, take: &mut Take| {
            let networks: Vec<_> = self.networks.iter().map(|networks| &networks[i..=i]).collect();
            let job = Job { networks: &networks, wanted, kept };
            blocks::run(job, small, block, read, &mut |block, _, z, planes| {
                done += share(block, z.len(), count);
                take(block, z, planes);
                progress(done as usize);
            })
        };
        if let Some(on_gpu) = self.enlarges_on_gpu(&enlargement) {
            for i in 0..count {
                network(i, Wanted::Kept, Some(Target::Logits(&on_gpu.logits)), &mut |_, _, _| ())?;
                on_gpu.enlarge(self.wanted(), i > 0, &mut |range, z, planes| {
                    prediction.add_planes(range, z, planes, (i, count));
                })?;
            }
            return Ok(Prediction { on_gpu: on_gpu.classes, ..prediction });
        }
        let whole = Block::whole(shape);
        let mut logits = Array3::from_elem(small, [0.0; CLASSES]);
        for i in 0..count {
            network(i, Wanted::Logits, None, &mut |block, z, planes| {
                if let Planes::Logits(rows) = planes {
                    keep_planes(&mut logits, block, z, rows);
                }
            })?;
            for z in 0..shape[0] {
                let plane = enlargement.plane(&logits, z);
                prediction.add_planes(&whole, z..z + 1, Planes::Logits(whole.rows_of(&plane)), (i, count));
            }
        }
        Ok(prediction)
    }
}

/// Gets a block, and of what it answers for some planes of the volume.
type Take<'a> = dyn FnMut(&Block, Range<usize>, Planes) + Send + 'a;

/// The weights for one axis order, or for the authors' four.
fn in_orders(weights: &Weights, transposes: bool) -> impl Iterator<Item = Weights> + '_ {
    let orders = if transposes { &ORDERS[..] } else { &ORDERS[..1] };
    orders.iter().map(|order| transposed(weights, *order))
}

/// Voxels of so many planes of what the block answers for, where `count` networks run.
fn share(block: &Block, planes: usize, count: usize) -> f64 {
    let [_, rows, columns] = block.shape;
    (planes * rows * columns) as f64 / count as f64
}

/// Takes over what the block answers for of the planes `at`.
fn keep_planes(
    logits: &mut Array3<[f32; CLASSES]>,
    block: &Block,
    at: Range<usize>,
    rows: Rows<[f32; CLASSES]>,
) {
    let mut part = logits.slice_mut(part_of(block, at));
    for (mut target, row) in part.rows_mut().into_iter().zip(rows.iter()) {
        target.iter_mut().zip(row).for_each(|(target, logits)| *target = *logits);
    }
}

/// What the block answers for of the planes `at` of a volume.
fn part_of(block: &Block, at: Range<usize>) -> SliceInfo<[SliceInfoElem; 3], Ix3, Ix3> {
    let ([_, sy, sx], [_, ny, nx]) = (block.start, block.shape);
    s![at, sy..sy + ny, sx..sx + nx]
}

impl Prediction {
    fn new(shape: Shape, keep_probabilities: bool) -> Self {
        let [z, y, x] = shape;
        Prediction {
            classes: Array3::zeros(shape),
            probabilities: keep_probabilities.then(|| Array4::zeros([CLASSES, z, y, x])),
            on_gpu: None,
        }
    }

    /// Takes over what the block answers for of the planes `at` from network `i` of `count`.
    fn add_planes(&mut self, block: &Block, at: Range<usize>, planes: Planes, (i, count): (usize, usize)) {
        match planes {
            Planes::Classes(rows) => self.add_classes(block, at, i, |y| rows.row(y).iter().copied()),
            Planes::Logits(rows) => {
                let class = |logits: &[f32; CLASSES]| softmax::class(*logits);
                self.add_classes(block, at.clone(), i, |y| rows.row(y).iter().map(class));
                let probabilities = |logits: &[f32; CLASSES]| softmax::softmax(*logits);
                self.add_probabilities(block, at, count, |y| rows.row(y).iter().map(probabilities));
            }
            Planes::Probabilities(rows) => {
                self.add_probabilities(block, at, count, |y| rows.row(y).iter().copied());
            }
            Planes::Kept => (),
        }
    }

    /// `row` gives the classes of a row of the block's planes, network `i` of them all.
    fn add_classes<R: Iterator<Item = u8>>(
        &mut self,
        block: &Block,
        at: Range<usize>,
        i: usize,
        row: impl Fn(usize) -> R + Sync,
    ) {
        let mut classes = self.classes.slice_mut(part_of(block, at));
        in_shares(classes.rows_mut().into_iter().collect(), block).for_each(|(y, mut classes)| {
            for (class, found) in classes.iter_mut().zip(row(y)) {
                *class = if i == 0 { found } else { found.min(*class) };
            }
        });
    }

    /// `row` gives the probabilities of a row of the block's planes.
    fn add_probabilities<R: Iterator<Item = [f32; CLASSES]>>(
        &mut self,
        block: &Block,
        at: Range<usize>,
        count: usize,
        row: impl Fn(usize) -> R + Sync,
    ) {
        let Some(probabilities) = &mut self.probabilities else { return };
        let ([_, sy, sx], [_, ny, nx]) = (block.start, block.shape);
        let mut part = probabilities.slice_mut(s![.., at, sy..sy + ny, sx..sx + nx]);
        for (z, mut plane) in part.axis_iter_mut(Axis(1)).enumerate() {
            in_shares(plane.axis_iter_mut(Axis(1)).collect(), block).for_each(|(y, mut sums)| {
                for (x, probabilities) in row(z * ny + y).enumerate() {
                    for (c, p) in probabilities.into_iter().enumerate() {
                        sums[[c, x]] += p / count as f32;
                    }
                }
            });
        }
    }
}

/// Numbered rows of a block in parallel, no share of them too small to be worth a thread.
fn in_shares<T: Send>(rows: Vec<T>, block: &Block) -> impl IndexedParallelIterator<Item = (usize, T)> {
    const VOXELS: usize = 1 << 12;
    rows.into_par_iter().enumerate().with_min_len(VOXELS / block.shape[2].max(1))
}

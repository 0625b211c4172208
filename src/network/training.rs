//! The network in training: batch norm by the statistics of the batch, every activation kept for the backward
//! pass. All convolutions are computed plainly: Winograd's rounding, small as it is, moves some values across the ReLU's
//! corner, and so the gradient by more than 1e-4 of its size.
use ndarray::ArrayView3;
use rayon::prelude::*;

use super::{DOWN, RESIDUAL, UP, class_conv, first_conv, halved, layer, layout};
use crate::device::cpu::simd::Isa;
use crate::ops::activations::Activations;
use crate::ops::batch_norm::{self, Affine, Moments};
use crate::ops::class_conv::CLASSES;
use crate::ops::{self, softmax};
use crate::volume::Shape;
use crate::weights::Weights;

/// Weights, and all that one training step leaves for its backward pass.
pub struct TrainingNetwork {
    weights: Weights,
    /// Flat, in the order of [`layout`], trainable part only.
    gradient: Vec<f32>,
    pool: Pool,
    tape: Option<Tape>,
    /// `[n][z][y][x][class]`
    probabilities: Vec<f32>,
}

/// A batch norm as it was in the forward pass.
struct Norm {
    moments: Moments,
    affine: Affine,
}

/// What a halving stage keeps: h, relu(batchnorm(h)), and h + conv of it.
struct DownTape {
    h: Activations,
    norm: Norm,
    a: Activations,
    out: Activations,
}

/// What a doubling stage keeps: the transposed convolution, and relu(batchnorm) of it plus the skip.
struct UpTape {
    y: Activations,
    norm: Norm,
    out: Activations,
}

struct Tape {
    x: Activations,
    y1: Activations,
    norm1: Norm,
    c1: Activations,
    down: Vec<DownTape>,
    up: Vec<UpTape>,
}

impl TrainingNetwork {
    /// A network that starts from these weights.
    pub fn new(weights: Weights) -> Self {
        let gradient = vec![0.0; layout::trainable_len()];
        TrainingNetwork { weights, gradient, pool: Pool::default(), tape: None, probabilities: Vec::new() }
    }

    /// The weights; the first [`layout::trainable_len`] values are what an optimiser updates.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// The weights, to be updated.
    pub fn weights_mut(&mut self) -> &mut Weights {
        &mut self.weights
    }

    /// The weights to be updated, and the gradient of the last backward pass.
    pub fn weights_and_gradient(&mut self) -> (&mut Weights, &[f32]) {
        (&mut self.weights, &self.gradient)
    }

    /// Probabilities of a batch of `n` volumes, `[n][z][y][x]` to `[n][z][y][x][class]`; moves the running
    /// statistics.
    ///
    /// # Panics
    /// Where `batch` does not hold `n * shape` voxels.
    pub fn forward(&mut self, batch: &[f32], n: usize, shape: Shape) -> &[f32] {
        let voxels: usize = shape.iter().product();
        assert_eq!(batch.len(), n * voxels, "a batch of {n} volumes of {shape:?} voxels");
        if let Some(tape) = self.tape.take() {
            self.pool.recycle(tape);
        }
        let volumes: Vec<ArrayView3<f32>> = batch
            .chunks_exact(voxels.max(1))
            .map(|volume| ArrayView3::from_shape(shape, volume).expect("length checked"))
            .collect();
        let x = ops::first_conv::input(&volumes);
        let (y1, norm1, c1) = self.first_stage(&x);
        let mut down: Vec<DownTape> = Vec::with_capacity(DOWN.len());
        for level in 0..DOWN.len() {
            let next = self.down_stage(level, down.last().map_or(&c1, |finer| &finer.out));
            down.push(next);
        }
        let mut up: Vec<UpTape> = Vec::with_capacity(UP.len());
        for level in 0..UP.len() {
            let coarse = up.last().map_or(&down[2].out, |coarser| &coarser.out);
            let skip = if level < 2 { &down[1 - level].out } else { &c1 };
            let next = self.up_stage(level, coarse, skip);
            up.push(next);
        }
        self.classify(&up[2].out);
        self.tape = Some(Tape { x, y1, norm1, c1, down, up });
        &self.probabilities
    }

    /// The gradient of the loss to all trainable parameters, from its gradient to the probabilities
    /// (`[n][z][y][x][class]`) that [`forward`](Self::forward) returned.
    ///
    /// # Panics
    /// Where no forward pass went before.
    pub fn backward(&mut self, d_probabilities: &[f32]) -> &[f32] {
        let tape = self.tape.take().expect("a forward pass before the backward pass");
        let Tape { x, mut y1, norm1, c1, mut down, mut up } = tape;
        let mut gradient = self.classes_backward(&up[2].out, d_probabilities);
        // What reaches c1, c2 and c3 through the skip connections, in this order.
        let mut skips = Vec::with_capacity(UP.len());
        while let Some(UpTape { mut y, norm, out }) = up.pop() {
            let coarse = up.last().map_or(&down[2].out, |coarser| &coarser.out);
            let d_coarse = self.up_backward(up.len(), &mut y, &norm, &gradient, coarse);
            skips.push(std::mem::replace(&mut gradient, d_coarse));
            self.pool.give([y, out]);
        }
        while let Some(mut stage) = down.pop() {
            let finer = down.last().map_or(&c1, |finer| &finer.out);
            let mut d_finer = self.down_backward(down.len(), &mut stage, &gradient, finer);
            add(&mut d_finer, &skips[down.len()]);
            self.pool.give([stage.h, stage.a, stage.out, std::mem::replace(&mut gradient, d_finer)]);
        }
        self.first_backward(&x, &mut y1, &norm1, &gradient);
        self.pool.give([y1, c1, gradient]);
        self.pool.give(skips);
        &self.gradient
    }

    fn first_stage(&mut self, x: &Activations) -> (Activations, Norm, Activations) {
        let mut y1 = self.pool.zeros(x.n, x.shape, ops::first_conv::COUT);
        first_conv(&self.weights).forward().all(x, &mut y1);
        let norm = self.batch_norm("bnorm1", &y1);
        let mut c1 = self.pool.take(&y1);
        c1.par_rows_mut(|| (), |(), at, row| norm.affine.relu(y1.row(at), row));
        (y1, norm, c1)
    }

    fn down_stage(&mut self, level: usize, finer: &Activations) -> DownTape {
        let (name, conv, module) = DOWN[level];
        let mut h = self.pool.zeros(finer.n, halved(finer.shape), 64);
        let (weight, bias) = layer(&self.weights, name);
        conv.plain().forward(weight, bias).all(finer, &mut h);
        let norm = self.batch_norm(&format!("{module}.batchnorm_module"), &h);
        let mut a = self.pool.take(&h);
        a.par_rows_mut(|| (), |(), at, row| norm.affine.relu(h.row(at), row));
        let mut out = self.pool.take(&h);
        let (weight, bias) = layer(&self.weights, &format!("{module}.conv_module"));
        RESIDUAL[level].plain().forward(weight, bias).run(&a, &mut out, |at, result, row| {
            row.iter_mut().zip(result).zip(h.row(at)).for_each(|((out, r), h)| *out = r + h);
        });
        DownTape { h, norm, a, out }
    }

    fn up_stage(&mut self, level: usize, coarse: &Activations, skip: &Activations) -> UpTape {
        let (name, deconv, bnorm) = UP[level];
        let mut y = self.pool.take(skip);
        let (weight, bias) = layer(&self.weights, name);
        deconv.plain().forward(weight, bias).all(coarse, &mut y);
        let norm = self.batch_norm(bnorm, &y);
        let mut out = self.pool.take(skip);
        out.par_rows_mut(
            || (),
            |(), at, row| {
                row.copy_from_slice(skip.row(at));
                norm.affine.relu_accumulate(y.row(at), row);
            },
        );
        UpTape { y, norm, out }
    }

    /// conv6 and softmax.
    fn classify(&mut self, u1: &Activations) {
        let conv = class_conv(&self.weights);
        let [depth, rows, columns] = u1.shape;
        self.probabilities.resize(u1.n * depth * rows * columns * CLASSES, 0.0);
        let (voxels, _) = self.probabilities.as_chunks_mut::<CLASSES>();
        voxels.par_chunks_mut(columns.max(1)).enumerate().for_each(|(i, row)| {
            let (n, z, y) = (i / (depth * rows), i / rows % depth, i % rows);
            conv.row(Isa::detect(), u1, n, [z, y, 0], row);
            row.iter_mut().for_each(|voxel| *voxel = softmax::softmax(*voxel));
        });
    }

    fn classes_backward(&mut self, u1: &Activations, d_probabilities: &[f32]) -> Activations {
        let mut dy = self.pool.zeros(u1.n, u1.shape, CLASSES);
        let [depth, rows, columns] = u1.shape;
        let (p, _) = self.probabilities.as_chunks::<CLASSES>();
        let (dp, _) = d_probabilities.as_chunks::<CLASSES>();
        dy.par_rows_mut(
            || (),
            |(), at, row| {
                let start = ((at.n * depth + at.z) * rows + at.y) * columns;
                for (x, dlogits) in row.as_chunks_mut::<CLASSES>().0.iter_mut().enumerate() {
                    *dlogits = softmax::backward(p[start + x], dp[start + x]);
                }
            },
        );
        let mut du1 = self.pool.take(u1);
        ops::class_conv::backward_input(self.weights.get("conv6.weight"), &dy, &mut du1);
        ops::class_conv::backward_weights(u1, &dy, self.slot("conv6.weight"));
        let bias = batch_norm::bias_gradient(&dy);
        self.slot("conv6.bias").copy_from_slice(&bias);
        self.pool.give([dy]);
        du1
    }

    /// The gradient to the coarse grid; `y` becomes its own gradient.
    fn up_backward(
        &mut self,
        level: usize,
        y: &mut Activations,
        norm: &Norm,
        d_out: &Activations,
        coarse: &Activations,
    ) -> Activations {
        let (name, deconv, bnorm) = UP[level];
        self.norm_backward(bnorm, norm, y, d_out, None);
        self.bias_backward(name, y);
        let weight = format!("{name}.weight");
        deconv.backward_weights(coarse, y, self.slot(&weight));
        let mut d_coarse = self.pool.take(coarse);
        deconv.backward_input(self.weights.get(&weight), y, &mut d_coarse);
        d_coarse
    }

    /// The gradient to the finer grid; the stage's h becomes its own gradient.
    fn down_backward(
        &mut self,
        level: usize,
        stage: &mut DownTape,
        d_out: &Activations,
        finer: &Activations,
    ) -> Activations {
        let (name, conv, module) = DOWN[level];
        let residual = format!("{module}.conv_module");
        let weight = format!("{residual}.weight");
        self.bias_backward(&residual, d_out);
        RESIDUAL[level].backward_weights(&stage.a, d_out, self.slot(&weight));
        let mut da = self.pool.take(&stage.a);
        RESIDUAL[level].backward_input(self.weights.get(&weight), d_out, &mut da);
        let norm = format!("{module}.batchnorm_module");
        self.norm_backward(&norm, &stage.norm, &mut stage.h, &da, Some(d_out));
        self.pool.give([da]);
        self.bias_backward(name, &stage.h);
        let weight = format!("{name}.weight");
        conv.backward_weights(finer, &stage.h, self.slot(&weight));
        let mut d_finer = self.pool.take(finer);
        conv.backward_input(self.weights.get(&weight), &stage.h, &mut d_finer);
        d_finer
    }

    fn first_backward(&mut self, x: &Activations, y1: &mut Activations, norm: &Norm, dc1: &Activations) {
        self.norm_backward("bnorm1", norm, y1, dc1, None);
        self.bias_backward("conv2", y1);
        let found = first_conv(&self.weights).backward_weights(x, y1);
        self.slot("conv1.weight").copy_from_slice(&found.weight1);
        self.slot("conv1.bias").copy_from_slice(&found.bias1);
        self.slot("conv2.weight").copy_from_slice(&found.weight2);
    }

    fn norm_backward(
        &mut self,
        name: &str,
        norm: &Norm,
        y: &mut Activations,
        da: &Activations,
        skip: Option<&Activations>,
    ) {
        let found = batch_norm::backward(&norm.affine, &norm.moments, y, da, skip);
        self.slot(&format!("{name}.weight")).copy_from_slice(&found.gamma);
        self.slot(&format!("{name}.bias")).copy_from_slice(&found.beta);
    }

    fn bias_backward(&mut self, layer: &str, dy: &Activations) {
        let found = batch_norm::bias_gradient(dy);
        self.slot(&format!("{layer}.bias")).copy_from_slice(&found);
    }

    /// The batch norm `name` by the statistics of `y`; moves the running ones.
    fn batch_norm(&mut self, name: &str, y: &Activations) -> Norm {
        let moments = Moments::of(y);
        let (weight, bias) = layer(&self.weights, name);
        let affine = Affine::new(weight, bias, &moments);
        let mean = layout::range(&format!("{name}.running_mean"));
        let variance = layout::range(&format!("{name}.running_var"));
        // The layout puts a norm's variance right behind its mean.
        let (head, tail) = self.weights.values.split_at_mut(mean.end);
        moments.update_running(&mut head[mean.start..], &mut tail[..variance.len()]);
        Norm { moments, affine }
    }

    /// Where the gradient of a tensor goes.
    fn slot(&mut self, name: &str) -> &mut [f32] {
        &mut self.gradient[layout::range(name)]
    }
}

/// `to += from`, voxel by voxel.
fn add(to: &mut Activations, from: &Activations) {
    to.par_rows_mut(|| (), |(), at, row| row.iter_mut().zip(from.row(at)).for_each(|(to, from)| *to += from));
}

/// Buffers of the steps before: a step of two gigabytes would otherwise spend a third of its time in page
/// faults.
#[derive(Default)]
struct Pool {
    free: Vec<Activations>,
}

impl Pool {
    /// A buffer of the shape of another; its border is zero, its voxels are anything.
    fn take(&mut self, like: &Activations) -> Activations {
        self.zeros(like.n, like.shape, like.channels)
    }

    /// A buffer whose border is zero and whose voxels are anything.
    fn zeros(&mut self, n: usize, shape: Shape, channels: usize) -> Activations {
        let same = |a: &Activations| (a.n, a.shape, a.channels) == (n, shape, channels);
        if let Some(found) = self.free.iter().position(same) {
            return self.free.swap_remove(found);
        }
        let wanted = Activations::zeros(n, shape, channels);
        let fits = |a: &&Activations| a.capacity() >= wanted.len();
        let smallest = self.free.iter().filter(fits).map(Activations::capacity).min();
        match smallest.and_then(|capacity| self.free.iter().position(|a| a.capacity() == capacity)) {
            Some(found) => {
                let mut buffer = self.free.swap_remove(found);
                buffer.reshape(n, shape, channels);
                buffer
            }
            None => wanted,
        }
    }

    fn give(&mut self, buffers: impl IntoIterator<Item = Activations>) {
        self.free.extend(buffers);
    }

    fn recycle(&mut self, tape: Tape) {
        self.give([tape.y1, tape.c1]);
        self.give(tape.down.into_iter().flat_map(|stage| [stage.h, stage.a, stage.out]));
        self.give(tape.up.into_iter().flat_map(|stage| [stage.y, stage.out]));
    }
}

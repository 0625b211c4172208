//! Batches of cuboids, prepared on a thread of their own while the network works on the one before.
//!
//! What a step sees depends on the seed and the step alone: every step and every cuboid has its own stream of
//! the generator, so that a resumed run goes on exactly as the uninterrupted one.
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::Scope;

use ndarray::{Array3, ArrayView3, s};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::augment::{Augmentation, Orientation};
use super::config::{Config, Cuboids, MAX_BATCH};
use super::volumes::{Source, Volume};
use crate::error::{Error, Result};
use crate::ops::contrast::Contrast;
use crate::ops::loss::NOT_COUNTED;
use crate::volume::{Shape, Spacing, all};

/// Batches that wait while the network works.
const WAITING: usize = 2;
/// Places that are drawn for a cuboid at the most, until a voxel of it counts.
const PLACES: usize = 100;

/// Cuboids of one size.
pub struct Batch {
    /// Shape of each cuboid, z, y, x.
    pub shape: Shape,
    /// Normalised grey values, `[n][z][y][x]`.
    pub raw: Vec<f32>,
    /// Classes, or [`NOT_COUNTED`], `[n][z][y][x]`.
    pub class: Vec<u8>,
    /// Weights, `[n][z][y][x]`.
    pub weight: Vec<f32>,
}

/// A cuboid with its truth; all arrays z, y, x.
pub struct Cuboid {
    /// Normalised grey values.
    pub raw: Array3<f32>,
    /// Classes, or [`NOT_COUNTED`].
    pub class: Array3<u8>,
    /// Weights.
    pub weight: Array3<f32>,
}

/// Draws the batches of a run.
pub struct Batches {
    source: Source,
    seed: u64,
    cuboids: Cuboids,
    augmentation: Augmentation,
    contrast: Option<Contrast>,
}

impl Batches {
    /// The batches of this run; reads its pairs.
    pub fn open(config: &Config) -> Result<Self> {
        Ok(Batches {
            source: Source::open(config)?,
            seed: config.seed,
            cuboids: config.cuboids.clone(),
            augmentation: config.augmentation.clone(),
            contrast: config.local_contrast(),
        })
    }

    /// The voxel size of the volumes, where all have the same.
    pub fn spacing(&self) -> Option<Spacing> {
        self.source.spacing()
    }

    /// Prepares the batches of `steps`, in order, on a thread of `scope`, which uses `threads` cores.
    pub fn spawn<'scope>(
        mut self,
        steps: Range<u64>,
        threads: usize,
        scope: &'scope Scope<'scope, '_>,
    ) -> Result<Receiver<Result<Batch>>> {
        // A pool of its own: a long rendering never keeps the network's threads.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.map_err(|e| Error::invalid(format!("no threads to prepare batches: {e}")))?;
        let (sender, receiver) = sync_channel(WAITING);
        scope.spawn(move || {
            for step in steps {
                let batch = pool.install(|| self.draw(step));
                let failed = batch.is_err();
                if sender.send(batch).is_err() || failed {
                    break;
                }
            }
        });
        Ok(receiver)
    }

    /// The batch of this step.
    pub fn draw(&mut self, step: u64) -> Result<Batch> {
        let first = step * self.cuboids.batch as u64;
        self.source.forget_before(first);
        let mut rng = self.rng(step, 0);
        let numbers: Vec<u64> = (0..self.cuboids.batch as u64)
            .map(|item| rng.random_range(self.source.choice(first + item)))
            .collect();
        let volumes = self.source.take(&numbers)?;
        let views: Vec<(Arc<Volume>, Orientation)> = volumes
            .into_iter()
            .map(|volume| {
                let orientation = self.augmentation.orientation(volume.is_isotropic(), &mut rng);
                (volume, orientation)
            })
            .collect();
        let shape = self.shape(&mut rng, &views);
        let cuboids: Vec<Cuboid> = views
            .par_iter()
            .enumerate()
            .map(|(item, view)| self.cut(view, shape, &mut self.rng(step, item as u64 + 1)))
            .collect();
        Ok(Batch::of(shape, &cuboids))
    }

    /// The random numbers of one cuboid of a step (from 1), or of the step itself (0).
    fn rng(&self, step: u64, item: u64) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(step * (MAX_BATCH as u64 + 1) + item);
        rng
    }

    /// A random size that fits into all of these volumes as they are seen.
    fn shape(&self, rng: &mut ChaCha8Rng, views: &[(Arc<Volume>, Orientation)]) -> Shape {
        let extents = views.iter().map(|(volume, seen)| seen.turned_shape(volume.raw.dim().into()));
        let sides = [0; 3].map(|_| rng.random_range(self.cuboids.smallest..=self.cuboids.largest));
        extents.fold(sides, |shape, extent| std::array::from_fn(|axis| shape[axis].min(extent[axis])))
    }

    /// A random cuboid of a volume, turned and degraded.
    fn cut(&self, (volume, seen): &(Arc<Volume>, Orientation), shape: Shape, rng: &mut ChaCha8Rng) -> Cuboid {
        let (extent, shape): (Shape, Shape) = (volume.raw.dim().into(), seen.source_shape(shape));
        let counts = |start: Shape| {
            part(volume.targets.class.view(), start, shape).iter().any(|&class| class != NOT_COUNTED)
        };
        let mut start: Shape = [0; 3];
        for _ in 0..PLACES {
            start = std::array::from_fn(|axis| rng.random_range(0..=extent[axis] - shape[axis]));
            if counts(start) {
                break;
            }
        }
        let raw = self.degraded(volume, *seen, start, shape, rng);
        let class = seen.turn(part(volume.targets.class.view(), start, shape));
        let weight = seen.turn(part(volume.targets.weight.view(), start, shape));
        Cuboid { raw, class, weight }
    }
}

impl Batches {
    /// What the network sees of a cuboid: its values with the flaws of augmentation, and then with the local contrast
    /// that they have in the volume, the cuboid's surroundings included.
    fn degraded(
        &self,
        volume: &Volume,
        seen: Orientation,
        start: Shape,
        shape: Shape,
        rng: &mut ChaCha8Rng,
    ) -> Array3<f32> {
        let contrast = self.contrast.and_then(|usual| self.augmentation.contrast(usual, rng));
        let extent: Shape = volume.raw.dim().into();
        let (first, covered, inner) = match contrast {
            Some(contrast) => contrast.covered(start, shape, extent),
            None => (start, shape, all(shape)),
        };
        let labels = seen.turn(part(volume.truth.labels.view(), first, covered));
        let mut raw = seen.turn(part(volume.raw.view(), first, covered));
        self.augmentation.degrade(&mut raw, labels.view(), rng);
        match contrast {
            Some(contrast) => contrast.normalise(raw.view(), &seen.turned_part(inner, covered)),
            None => raw,
        }
    }
}

fn part<T>(array: ArrayView3<'_, T>, [z, y, x]: Shape, [depth, height, width]: Shape) -> ArrayView3<'_, T> {
    array.slice_move(s![z..z + depth, y..y + height, x..x + width])
}

impl Batch {
    fn of(shape: Shape, cuboids: &[Cuboid]) -> Self {
        fn joined<T: Clone>(cuboids: &[Cuboid], array: impl Fn(&Cuboid) -> &Array3<T>) -> Vec<T> {
            cuboids.iter().flat_map(|cuboid| array(cuboid).iter().cloned()).collect()
        }
        Batch {
            shape,
            raw: joined(cuboids, |cuboid| &cuboid.raw),
            class: joined(cuboids, |cuboid| &cuboid.class),
            weight: joined(cuboids, |cuboid| &cuboid.weight),
        }
    }
}

//! Volumes to learn from, as the network needs them: normalised grey values, classes and weights.
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use ndarray::{Array3, Zip};
use rayon::prelude::*;
use tracing::info;

use super::config::{Config, Pair, Synthetic};
use super::masks::{Masks, Targets};
use crate::cells::FOREGROUND;
use crate::error::{Error, Result};
use crate::intensity::Normalization;
use crate::io::{self, Role};
use crate::ops::loss::NOT_COUNTED;
use crate::synth::shapes::Shapes;
use crate::synth::{self, Sample};
use crate::volume::{Annotation, Spacing};

/// A volume with its truth; all arrays z, y, x.
pub struct Volume {
    /// Normalised grey values.
    pub raw: Array3<f32>,
    /// The true cells, and which voxels are left out.
    pub truth: Annotation,
    /// Classes and weights.
    pub targets: Targets,
    /// Voxel size, where it is known.
    pub spacing: Option<Spacing>,
}

impl Volume {
    /// Whether voxels are known to be cubes.
    pub fn is_isotropic(&self) -> bool {
        self.spacing
            .is_some_and(|Spacing([z, y, x])| (z / x - 1.0).abs() < 0.05 && (y / x - 1.0).abs() < 0.05)
    }

    /// Whether a cell has at least this many voxels.
    fn has_cell(&self, min_size: u64) -> bool {
        let mut sizes = HashMap::new();
        self.truth
            .labels
            .iter()
            .filter(|&&label| label != 0)
            .for_each(|&l| *sizes.entry(l).or_insert(0) += 1);
        sizes.values().any(|&size: &u64| size >= min_size)
    }
}

/// How volumes are prepared.
#[derive(Clone)]
pub struct Preparation {
    normalization: Normalization,
    masks: Masks,
}

impl Preparation {
    /// As the run's parameters say.
    pub fn of(config: &Config) -> Self {
        Preparation { normalization: config.normalization, masks: config.masks.clone() }
    }

    /// Reads a pair of files; says how much of it is left out.
    ///
    /// # Errors
    /// Where a file cannot be read, the shapes differ, the labels are none, or there is nothing to learn.
    pub fn read(&self, pair: &Pair) -> Result<Volume> {
        let raw = io::open(&pair.raw, pair.selection())?;
        let labels = io::open(&pair.labels, Role::Labels)?;
        if raw.shape() != labels.shape() {
            return Err(Error::format(
                &pair.labels,
                format!("shape {:?}", labels.shape()),
                format!("the shape of {}, {:?}", pair.raw.display(), raw.shape()),
            ));
        }
        let spacing = raw.spacing();
        let named = |e: Error| Error::format(&pair.raw, e.to_string(), "a volume to learn from");
        let ignore: Vec<i128> = self.masks.ignore.iter().copied().map(i128::from).collect();
        let truth = labels.to_annotation(&ignore, "masks.ignore = [{}]")?;
        let volume = self.prepare(raw.to_f32(), truth, spacing).map_err(named)?;
        self.report_left_out(pair, &volume);
        if !volume.targets.class.iter().any(|&class| class == FOREGROUND) {
            let found = match volume.truth.left_out {
                None => "no cell with an inside",
                Some(_) => "no cell with an inside that is not left out",
            };
            return Err(Error::format(&pair.labels, found, "labelled cells"));
        }
        Ok(volume)
    }

    /// Says which share of a pair is left out, where some is or was to be.
    fn report_left_out(&self, pair: &Pair, volume: &Volume) {
        if volume.truth.left_out.is_none() && self.masks.ignore.is_empty() {
            return;
        }
        let class = &volume.targets.class;
        let not_counted = class.iter().filter(|&&class| class == NOT_COUNTED).count();
        info!(
            "{}: {:.2} % of the voxels are left out, {:.2} % with those of cells that are too near to them",
            pair.labels.display(),
            100.0 * volume.truth.left_out_fraction(),
            100.0 * not_counted as f64 / class.len() as f64
        );
    }

    fn of_sample(&self, sample: Sample) -> Result<Volume> {
        self.prepare(sample.raw, sample.labels.into(), Some(sample.spacing))
    }

    fn prepare(&self, mut raw: Array3<f32>, truth: Annotation, spacing: Option<Spacing>) -> Result<Volume> {
        let scaling = self.normalization.fit(raw.view())?;
        Zip::from(&mut raw).par_for_each(|x| *x = scaling.apply(*x));
        let targets = self.masks.annotated_targets(&truth);
        Ok(Volume { raw, truth, targets, spacing })
    }
}

/// Where the volumes of a run come from.
pub enum Source {
    /// All in memory.
    Pairs(Vec<Arc<Volume>>),
    /// Rendered when they are first needed, kept as long as the window includes them.
    Synthetic(Renderer),
}

impl Source {
    /// Reads the pairs, or prepares to render.
    pub fn open(config: &Config) -> Result<Self> {
        let preparation = Preparation::of(config);
        match &config.synthetic {
            Some(synthetic) => Renderer::open(synthetic, preparation).map(Source::Synthetic),
            None => read_all(&preparation, &config.pairs).map(Source::Pairs),
        }
    }

    /// The voxel size of the volumes, where all have the same; synthetic tissue has many.
    pub fn spacing(&self) -> Option<Spacing> {
        let Source::Pairs(volumes) = self else { return None };
        let first = volumes.first()?.spacing;
        first.filter(|_| volumes.iter().all(|volume| volume.spacing == first))
    }

    /// Numbers of the volumes from which the `draw`-th cuboid of the run (from 0) is drawn.
    pub fn choice(&self, draw: u64) -> Range<u64> {
        match self {
            Source::Pairs(volumes) => 0..volumes.len() as u64,
            Source::Synthetic(renderer) => renderer.window(draw),
        }
    }

    /// The volumes of these numbers.
    pub fn take(&mut self, numbers: &[u64]) -> Result<Vec<Arc<Volume>>> {
        match self {
            Source::Pairs(volumes) => Ok(numbers.iter().map(|&i| volumes[i as usize].clone()).collect()),
            Source::Synthetic(renderer) => renderer.take(numbers),
        }
    }

    /// Forgets volumes that no cuboid from the `draw`-th on is drawn from.
    pub fn forget_before(&mut self, draw: u64) {
        if let Source::Synthetic(renderer) = self {
            renderer.forget_before(draw);
        }
    }
}

/// Reads pairs in their order.
pub fn read_all(preparation: &Preparation, pairs: &[Pair]) -> Result<Vec<Arc<Volume>>> {
    pairs.iter().map(|pair| preparation.read(pair).map(Arc::new)).collect()
}

/// Renders synthetic volumes and keeps those that are still in use.
pub struct Renderer {
    generator: Generator,
    kept: HashMap<u64, Arc<Volume>>,
}

/// Makes the synthetic volumes of a run.
pub struct Generator {
    synthetic: Synthetic,
    shapes: Shapes,
    preparation: Preparation,
}

impl Generator {
    /// Reads the shapes of cells that the run's parameters name.
    ///
    /// # Errors
    /// Where one of their files cannot be read or holds no cell.
    pub fn open(synthetic: &Synthetic, preparation: Preparation) -> Result<Self> {
        let shapes = Shapes::read(&synthetic.shapes)?;
        Ok(Generator { synthetic: synthetic.clone(), shapes, preparation })
    }

    /// Renders the volume with this seed; it may hold no cell.
    ///
    /// # Errors
    /// Where its grey values cannot be normalised.
    pub fn render(&self, seed: u64) -> Result<Volume> {
        let Synthetic { shape, shapes_share, .. } = self.synthetic;
        let sample = match self.shapes.is_empty() {
            false if synth::shapes::has_turn(seed, shapes_share) => self.shapes.sample(seed, shape),
            _ => synth::sample(seed, shape),
        };
        self.preparation
            .of_sample(sample)
            .map_err(|e| Error::invalid(format!("synthetic volume {seed} of shape {shape:?}: {e}")))
    }

    /// The first held-out volumes that hold at least one cell of `min_cell_size` voxels.
    ///
    /// # Errors
    /// Where one cannot be rendered, or hardly any holds such a cell.
    pub fn held_out(&self, count: u64, min_cell_size: u64) -> Result<Vec<Arc<Volume>>> {
        let seeds = (0..20 * count).map(|i| self.synthetic.seed.wrapping_sub(1 + i));
        let mut found = Vec::new();
        for seed in seeds {
            if found.len() as u64 == count {
                break;
            }
            let volume = self.render(seed)?;
            if volume.has_cell(min_cell_size) {
                found.push(Arc::new(volume));
            }
        }
        match found.len() as u64 == count {
            true => Ok(found),
            false => Err(Error::invalid(format!(
                "held-out synthetic volumes of shape {:?}: hardly any has a cell of {min_cell_size} voxels",
                self.synthetic.shape
            ))),
        }
    }
}

impl Renderer {
    fn open(synthetic: &Synthetic, preparation: Preparation) -> Result<Self> {
        Ok(Renderer { generator: Generator::open(synthetic, preparation)?, kept: HashMap::new() })
    }

    /// The window moves on by one volume every `uses` cuboids.
    fn window(&self, draw: u64) -> Range<u64> {
        let Synthetic { uses, window, .. } = self.generator.synthetic;
        let first = draw / uses;
        first..first + window
    }

    /// Number `i` beyond `count` is the same volume as `i - count`.
    fn seed(&self, number: u64) -> u64 {
        let Synthetic { seed, count, .. } = self.generator.synthetic;
        seed.wrapping_add(if count > 0 { number % count } else { number })
    }

    fn take(&mut self, numbers: &[u64]) -> Result<Vec<Arc<Volume>>> {
        let wanted: Vec<u64> = numbers.iter().map(|&number| self.seed(number)).collect();
        let mut missing: Vec<u64> =
            wanted.iter().copied().filter(|seed| !self.kept.contains_key(seed)).collect();
        missing.sort_unstable();
        missing.dedup();
        let render = |&seed: &u64| self.generator.render(seed).map(|volume| (seed, Arc::new(volume)));
        let rendered: Vec<_> = missing.par_iter().map(render).collect::<Result<_>>()?;
        self.kept.extend(rendered);
        Ok(wanted.iter().map(|seed| self.kept[seed].clone()).collect())
    }

    /// Forgets volumes that no cuboid from the `draw`-th on is drawn from.
    fn forget_before(&mut self, draw: u64) {
        let first = self.window(draw);
        let used: Vec<u64> = first.map(|number| self.seed(number)).collect();
        self.kept.retain(|seed, _| used.contains(seed));
    }
}

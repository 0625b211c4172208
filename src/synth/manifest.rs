//! A synthetic volume as files: grey values, truth, and beside them all that made them.
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use ndarray::Array3;
use serde::{Deserialize, Serialize};

use super::shapes::Shapes;
use super::{Parameters, Sample, photograph, random, sample_with};
use crate::error::{Error, Result};
use crate::io::{self, Role, aside};
use crate::volume::{Shape, Spacing};

/// Everything that a synthetic volume depends on. Renders the same bits wherever it is rendered again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of the program.
    pub version: String,
    /// Seed of all random numbers.
    pub seed: u64,
    /// Extent in voxels, z, y, x.
    pub shape: Shape,
    /// Voxel size in micrometres, z, y, x.
    pub spacing_um: Spacing,
    /// The label volume that was rendered, where the cells were not grown.
    pub labels: Option<PathBuf>,
    /// The label volume whose cells were turned and bent.
    #[serde(default)]
    pub shapes: Option<PathBuf>,
    /// Number of cells.
    pub cells: u32,
    /// What the volume was made from.
    pub parameters: Parameters,
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// Where the file cannot be read or is no manifest.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
        let manifest: Manifest = serde_json::from_str(&text)
            .map_err(|e| Error::format(path, e.to_string(), "a manifest of a synthetic volume"))?;
        check_shape(manifest.shape)?;
        manifest
            .parameters
            .check()
            .map_err(|e| Error::format(path, e.to_string(), "parameters within their limits"))?;
        Ok(manifest)
    }

    /// The volume that the manifest describes, rendered again.
    ///
    /// # Errors
    /// Where its label volume cannot be read.
    pub fn sample(&self) -> Result<Sample> {
        match (&self.labels, &self.shapes) {
            (Some(path), _) => Ok(Cells::read(path)?.sample(self.parameters.clone(), self.seed)),
            (_, Some(path)) => {
                let shapes = Shapes::read(std::slice::from_ref(path))?;
                Ok(shapes.sample_with(self.parameters.clone(), self.shape, self.seed))
            }
            _ => Ok(sample_with(self.parameters.clone(), self.shape, self.seed)),
        }
    }

    /// Describes a sample whose cells were grown.
    pub fn of(sample: &Sample, seed: u64) -> Self {
        Manifest {
            version: env!("CARGO_PKG_VERSION").into(),
            seed,
            shape: sample.labels.dim().into(),
            spacing_um: sample.spacing,
            labels: None,
            shapes: None,
            cells: sample.labels.iter().max().copied().unwrap_or(0),
            parameters: sample.parameters.clone(),
        }
    }
}

/// The cells of a label volume, 1, 2, ... in the order of their first voxels.
pub struct Cells {
    labels: Array3<u32>,
    spacing: Option<Spacing>,
}

impl Cells {
    /// Reads a label volume to render.
    ///
    /// # Errors
    /// Where it cannot be read, is too large, or holds no cell.
    pub fn read(path: &Path) -> Result<Self> {
        let volume = io::open(path, Role::Labels)?;
        check_shape(volume.shape())?;
        let labels = renumbered(volume.to_labels()?);
        match labels.iter().any(|&label| label != 0) {
            true => Ok(Cells { labels, spacing: volume.spacing() }),
            false => Err(Error::format(path, "background alone", "labelled cells")),
        }
    }

    /// Extent in voxels, z, y, x.
    pub fn shape(&self) -> Shape {
        self.labels.dim().into()
    }

    /// A random stain under which cells of this size can be told apart.
    pub fn random_stain(&self, seed: u64) -> Parameters {
        let voxels = self.labels.iter().filter(|&&label| label != 0).count();
        let count = self.labels.iter().max().copied().unwrap_or(1);
        let anisotropy = self.spacing.map_or(1.0, |Spacing([z, _, x])| (z / x) as f32);
        Parameters::random_stain(anisotropy, voxels as f32 / count as f32, &mut random::stream(seed, 0))
    }

    /// Renders the cells; where the file did not say how large voxels are, the parameters do.
    pub fn sample(&self, parameters: Parameters, seed: u64) -> Sample {
        let spacing = self.spacing.unwrap_or(super::spacing(&parameters.tissue));
        photograph(parameters, self.labels.clone(), spacing, seed)
    }
}

fn renumbered(mut labels: Array3<u32>) -> Array3<u32> {
    let mut names = HashMap::from([(0, 0)]);
    labels.iter_mut().for_each(|label| {
        let next = names.len() as u32;
        *label = *names.entry(*label).or_insert(next);
    });
    labels
}

/// A shape that can be rendered.
///
/// # Errors
/// Where it is empty or has 2^31 voxels or more.
pub fn check_shape(shape: Shape) -> Result<()> {
    let voxels = shape.iter().try_fold(1_usize, |voxels, &n| voxels.checked_mul(n));
    match voxels {
        Some(1..=0x7fff_ffff) => Ok(()),
        _ => {
            let [z, y, x] = shape;
            Err(Error::invalid(format!("{z} x {y} x {x} voxels: from 1 to {} can be rendered", i32::MAX)))
        }
    }
}

/// Names of the files of one volume.
pub struct Files {
    /// Grey values.
    pub raw: PathBuf,
    /// Truth.
    pub labels: PathBuf,
    /// Manifest.
    pub manifest: PathBuf,
}

impl Files {
    /// `NAME_raw.tif`, `NAME_labels.tif` and `NAME.json` in `folder`.
    pub fn named(folder: &Path, name: &str) -> Self {
        Files {
            raw: folder.join(format!("{name}_raw.tif")),
            labels: folder.join(format!("{name}_labels.tif")),
            manifest: folder.join(format!("{name}.json")),
        }
    }

    /// Makes sure that none of the files is `input`.
    ///
    /// # Errors
    /// Where one is.
    pub fn spare(&self, input: &Path) -> Result<()> {
        let own = [&self.raw, &self.labels, &self.manifest];
        let same = |path: &&&PathBuf| {
            path.canonicalize().is_ok_and(|path| input.canonicalize().is_ok_and(|i| i == path))
        };
        match own.iter().find(same) {
            Some(path) => Err(Error::format(path, "the input", "an output that replaces no input")),
            None => Ok(()),
        }
    }

    /// Writes a sample; the manifest last.
    ///
    /// # Errors
    /// Where a file cannot be written.
    pub fn write(&self, sample: &Sample, manifest: &Manifest) -> Result<()> {
        let spacing = Some(sample.spacing);
        match sample.parameters.stain.bits {
            0..=8 => io::write(&self.raw, sample.raw.mapv(|v| v as u8).view(), spacing)?,
            _ => io::write(&self.raw, sample.raw.mapv(|v| v as u16).view(), spacing)?,
        }
        io::write_labels(&self.labels, sample.labels.view(), spacing)?;
        let mut text = serde_json::to_string_pretty(manifest).expect("numbers and names are JSON");
        text.push('\n');
        aside::write(&self.manifest, text.as_bytes())
    }
}

//! `tascan synthesize`: membrane volumes with their truth.
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::error::{Error, Result};
use crate::synth::manifest::{Cells, Files, Manifest, check_shape};
use crate::synth::shapes::Shapes;
use crate::synth::{self, OutlineKind, Parameters, Sample};
use crate::volume::Shape;

/// Renders membrane volumes with their truth: random tissues under random stains, unless told otherwise.
///
/// Writes NAME_raw.tif, NAME_labels.tif and NAME.json, the manifest of all parameters. Lengths are in voxels of
/// the x axis; the brightness of an average wall is 1.
#[derive(clap::Args)]
pub struct Args {
    /// Folder for the files; made where it is missing.
    #[arg(short, long, value_name = "FOLDER")]
    output: PathBuf,
    /// Number of volumes; volume i has the seed SEED + i.
    #[arg(long, default_value_t = 1)]
    count: u64,
    /// Extent in voxels.
    #[arg(long, value_name = "Z,Y,X", value_delimiter = ',', default_value = "96,160,160")]
    shape: Vec<usize>,
    /// Seed of all random numbers.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Parameters (TOML, tables `tissue` and `stain`, what is left out has its default) instead of random ones.
    #[arg(long, value_name = "PARAMETERS.TOML", conflicts_with = "manifest")]
    config: Option<PathBuf>,
    /// Render the volume of this manifest again.
    #[arg(long, value_name = "NAME.json", conflicts_with_all = ["labels", "count", "shape", "seed"])]
    manifest: Option<PathBuf>,
    /// Render the cells of this label volume instead of growing some.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["shape", "cells", "outline"])]
    labels: Option<PathBuf>,
    /// Take the shapes of cells from this label volume: a random part of it, scaled, turned, mirrored and bent.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["labels", "manifest", "cells", "outline"])]
    shapes: Option<PathBuf>,
    #[command(flatten)]
    changes: Changes,
}

/// Single parameters, whatever the others are.
#[derive(clap::Args)]
#[command(next_help_heading = "Parameters")]
struct Changes {
    /// About this many cells.
    #[arg(long)]
    cells: Option<u32>,
    /// Region that the cells fill.
    #[arg(long, value_enum)]
    outline: Option<OutlineKind>,
    /// Voxel size along z over that along x.
    #[arg(long)]
    anisotropy: Option<f32>,
    /// Thickness of the walls.
    #[arg(long, value_name = "VOXELS")]
    wall_thickness: Option<f32>,
    /// Share of the wall area that is hardly visible.
    #[arg(long, value_name = "SHARE")]
    gaps: Option<f32>,
    /// Standard deviation of the point spread function across z.
    #[arg(long, value_name = "VOXELS")]
    blur: Option<f32>,
    /// Logarithm of the loss of light from the first to the last plane; negative from the last to the first.
    #[arg(long, allow_negative_numbers = true)]
    attenuation: Option<f32>,
    /// Standard deviation of the camera's noise.
    #[arg(long)]
    noise: Option<f32>,
    /// Photons that an average wall voxel sends: few make a noisy image.
    #[arg(long)]
    photons: Option<f32>,
    /// Strength of the texture inside the cells.
    #[arg(long)]
    texture: Option<f32>,
    /// Brightness of the nuclei; negative for dark ones.
    #[arg(long, allow_negative_numbers = true)]
    nuclei: Option<f32>,
    /// Strength of uneven staining.
    #[arg(long)]
    uneven: Option<f32>,
}

pub(super) fn run(args: Args) -> Result<ExitCode> {
    let shape = shape(&args.shape)?;
    let config = args.config.as_deref().map(read_parameters).transpose()?;
    let labels = args.labels.as_deref().map(Cells::read).transpose()?;
    let shapes = args.shapes.as_ref().map(|path| Shapes::read(std::slice::from_ref(path))).transpose()?;
    std::fs::create_dir_all(&args.output).map_err(|e| Error::io(&args.output, e))?;
    if let Some(path) = &args.manifest {
        let manifest = Manifest::read(path)?;
        let changed =
            Manifest { parameters: args.changes.applied(manifest.parameters, manifest.shape)?, ..manifest };
        args.finish(&changed.sample()?, changed.seed, changed.labels.clone(), changed.shapes.clone())?;
        return Ok(ExitCode::SUCCESS);
    }
    for seed in (0..args.count).map(|i| args.seed.wrapping_add(i)) {
        let sample = match (&labels, &shapes) {
            (Some(cells), _) => args.stained(cells, config.as_ref(), seed)?,
            (_, Some(shapes)) => args.bent(shapes, shape, config.as_ref(), seed)?,
            _ => args.grown(shape, config.as_ref(), seed)?,
        };
        args.finish(&sample, seed, args.labels.clone(), args.shapes.clone())?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Args {
    /// A tissue that did not exist before.
    fn grown(&self, shape: Shape, config: Option<&Parameters>, seed: u64) -> Result<Sample> {
        let (parameters, labels) = match config {
            Some(parameters) => (parameters.clone(), None),
            None => {
                let (parameters, labels) = synth::draw(seed, shape);
                (parameters, Some(labels))
            }
        };
        let changed = self.changes.applied(parameters.clone(), shape)?;
        match labels {
            Some(labels) if changed.tissue == parameters.tissue => Ok(synth::finish(changed, labels, seed)),
            _ => Ok(synth::sample_with(changed, shape, seed)),
        }
    }

    /// Cells that were there before.
    fn stained(&self, cells: &Cells, config: Option<&Parameters>, seed: u64) -> Result<Sample> {
        let parameters = config.cloned().unwrap_or_else(|| cells.random_stain(seed));
        let parameters = self.changes.applied(parameters, cells.shape())?;
        Ok(cells.sample(parameters, seed))
    }

    /// Cells of the shapes of others.
    fn bent(&self, shapes: &Shapes, shape: Shape, config: Option<&Parameters>, seed: u64) -> Result<Sample> {
        let parameters = config.cloned().unwrap_or_else(|| Shapes::parameters(seed));
        Ok(shapes.sample_with(self.changes.applied(parameters, shape)?, shape, seed))
    }

    /// Writes the files of a sample; the paths are those of the label volume that it was made from, if any.
    fn finish(
        &self,
        sample: &Sample,
        seed: u64,
        labels: Option<PathBuf>,
        shapes: Option<PathBuf>,
    ) -> Result<()> {
        let files = Files::named(&self.output, &format!("synthetic_{seed}"));
        for input in labels.iter().chain(&shapes) {
            files.spare(input)?;
        }
        let manifest = Manifest { labels, shapes, ..Manifest::of(sample, seed) };
        files.write(sample, &manifest)?;
        println!("{}: {} cells", files.raw.display(), manifest.cells);
        Ok(())
    }
}

impl Changes {
    /// The parameters with these in their place.
    fn applied(&self, mut parameters: Parameters, shape: Shape) -> Result<Parameters> {
        fn set<T: Copy>(target: &mut T, value: Option<T>) {
            *target = value.unwrap_or(*target);
        }
        let Parameters { tissue, stain } = &mut parameters;
        set(&mut tissue.outline, self.outline);
        set(&mut tissue.anisotropy, self.anisotropy);
        set(&mut stain.thickness, self.wall_thickness);
        set(&mut stain.gaps, self.gaps);
        set(&mut stain.blur, self.blur);
        set(&mut stain.attenuation, self.attenuation);
        set(&mut stain.noise, self.noise);
        set(&mut stain.photons, self.photons);
        set(&mut stain.texture, self.texture);
        set(&mut stain.nuclei, self.nuclei);
        set(&mut stain.uneven, self.uneven);
        if let Some(nuclei) = self.nuclei {
            stain.nuclei_share = if nuclei == 0.0 { 0.0 } else { 1.0 };
        }
        if let Some(cells) = self.cells {
            tissue.diameter = synth::diameter_for(tissue, shape, cells);
        }
        parameters.check()?;
        Ok(parameters)
    }
}

fn shape(extents: &[usize]) -> Result<Shape> {
    let shape = extents.try_into().map_err(|_| {
        Error::invalid(format!("--shape: found {} numbers, expected three: Z,Y,X", extents.len()))
    })?;
    check_shape(shape)?;
    Ok(shape)
}

fn read_parameters(path: &Path) -> Result<Parameters> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
    let parameters: Parameters = toml::from_str(&text)
        .map_err(|e| Error::format(path, e.to_string().trim_end(), "parameters of synthetic volumes"))?;
    parameters.check().map_err(|e| Error::format(path, e.to_string(), "parameters within their limits"))?;
    Ok(parameters)
}

//! `tascan segment`: from the files of membrane volumes to label files.
mod plan;

use std::path::PathBuf;
use std::process::ExitCode;

use ndarray::Axis;

use self::plan::Job;
use super::cell_options::CellOptions;
use super::progress::Progress;
use super::report::{self, Report};
use super::selection::SelectionOptions;
use crate::device::choice::Choice;
use crate::device::{Device, Precision};
use crate::error::Result;
use crate::intensity::{Normalization, Percentiles};
use crate::io::{self, Role};
use crate::pipeline::{self, Model, Segmentation, timed};
use crate::scale::Scale;
use crate::volume::{Shape, Spacing, Volume};

/// Cells from membrane volumes.
#[derive(clap::Args)]
pub struct Args {
    /// Volumes (TIFF, HDF5, NPY, NPZ, MetaImage, NRRD), or folders of them. A folder of 2D images, or a pattern such as
    /// 'scan/z*.tif', is one volume.
    #[arg(required = true)]
    inputs: Vec<PathBuf>,
    /// The label file; for several inputs the folder where NAME_labels.tif of each appears.
    #[arg(short, long)]
    output: PathBuf,
    /// A model file in place of the built-in one: safetensors, or a PyTorch checkpoint of the authors'.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Where network and clustering run: auto (the first GPU that can be used, else the CPU), cpu, cuda, cuda:NUMBER, or cuda:all:
    /// the network on all GPUs that can be used, the clustering on the first.
    #[arg(long, default_value_t)]
    device: Choice,
    /// How a GPU keeps weights and activations: f16 on tensor cores; bf16 on those from the RTX 30 series on; or f32 as the
    /// CPU, for the CPU's probabilities.
    #[arg(long, value_enum, default_value_t)]
    precision: Precision,
    /// Run the network in four axis orders; a voxel is background where any of them says so, else membrane where any
    /// does.
    #[arg(long)]
    tta: bool,
    /// How grey values are normalised; by default as the model states.
    #[arg(long, value_enum)]
    normalize: Option<Normalization>,
    /// The percentiles of the grey values that count as dark and as bright, in place of those that the normalisation
    /// finds.
    #[arg(long, value_name = "LOW,HIGH", allow_hyphen_values = true)]
    percentiles: Option<Percentiles>,
    /// Walls are dark, cells bright.
    #[arg(long)]
    invert: bool,
    /// Voxel size in micrometres, in place of the file's.
    #[arg(long, value_name = "Z,Y,X")]
    spacing: Option<Spacing>,
    /// How many stored voxels each point of the grid on which the network sees the volume stands for: auto, a number for the
    /// axis with the smallest voxel edge, to which the others are matched, or Z,Y,X; fractions such as 2/3 make a finer grid.
    /// The network finds cells of some 15 to 30 points best; auto looks at the middle of the volume and chooses. What is
    /// written has the voxels of the input in any case.
    #[arg(long, default_value_t, allow_negative_numbers = true)]
    scale: Scale,
    /// Voxels of the network's blocks along each axis, or three numbers; by default as memory allows.
    #[arg(long, value_name = "VOXELS", value_parser = super::parse_block)]
    block: Option<Shape>,
    /// Also write the probabilities: NAME_background.tif, NAME_membrane.tif and NAME_foreground.tif.
    #[arg(long)]
    save_probabilities: bool,
    /// Also write NAME_classes.tif: background 0, membrane 1, inside of cells 2.
    #[arg(long)]
    save_classes: bool,
    /// Also write NAME_supervoxels.tif, what the cells were put together from.
    #[arg(long)]
    save_supervoxels: bool,
    /// A volume without a cell is an error, as it is for a single input; otherwise, of several inputs or a folder, it gets
    /// labels that are all 0, and a warning.
    #[arg(long)]
    require_cells: bool,
    /// One JSON object for each input on stdout.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    selection: SelectionOptions,
    #[command(flatten)]
    cells: CellOptions,
}

/// The names of the three probability files, in the order of the classes.
const PROBABILITIES: [&str; 3] = ["background", "membrane", "foreground"];

pub(super) fn run(args: Args) -> Result<ExitCode> {
    let device = args.device.open(args.precision)?;
    let jobs = plan::jobs(&args.inputs, &args.output)?;
    let options = args.options(device)?;
    let model = args.model.as_deref().map_or_else(Model::embedded, Model::load)?;
    let mut status = ExitCode::SUCCESS;
    for job in &jobs {
        let result = segment(job, &args, &model, &options);
        if report::print(&job.input, result, args.json) != ExitCode::SUCCESS {
            status = ExitCode::FAILURE;
        }
    }
    Ok(status)
}

fn segment(job: &Job, args: &Args, model: &Model, options: &pipeline::Options) -> Result<Report> {
    check_outputs(job, args)?;
    let mut stages = Vec::new();
    let volume = timed(&mut stages, "open", || io::open(&job.input, args.selection.of(Role::Raw)))?;
    let volume = match args.spacing {
        Some(spacing) => volume.with_spacing(Some(spacing)),
        None => volume,
    };
    let name = job.input.file_name().unwrap_or(job.input.as_os_str());
    let mut progress = Progress::new(name.to_string_lossy().into_owned());
    let segmentation = pipeline::segment(&volume, model, options, &mut progress)?;
    if let Some(assumption) = &segmentation.assumption {
        tracing::info!("{}: {assumption}", job.input.display());
    }
    stages.extend_from_slice(&segmentation.stages);
    timed(&mut stages, "write", || save(job, &volume, &segmentation, args))?;
    Ok(Report::new(&job.input, &job.output, &volume, segmentation.cells.count, stages)
        .at_scale(segmentation.sampling)
        .with_warnings(segmentation.doubts))
}

impl Args {
    fn options(&self, device: Device) -> Result<pipeline::Options> {
        Ok(pipeline::Options {
            device,
            normalization: self.normalize,
            percentiles: self.percentiles,
            invert: self.invert,
            transposes: self.tta,
            scale: self.scale,
            block: self.block,
            keep_probabilities: self.save_probabilities,
            accept_none: plan::are_several(&self.inputs) && !self.require_cells,
            cells: self.cells.resolve(None, self.save_supervoxels)?,
        })
    }

    /// What is written beside the labels.
    fn extras(&self) -> Vec<&'static str> {
        let mut extras = Vec::new();
        extras.extend(PROBABILITIES.iter().filter(|_| self.save_probabilities));
        extras.extend(self.save_classes.then_some("classes"));
        extras.extend(self.save_supervoxels.then_some("supervoxels"));
        extras
    }
}

/// Finds out before the work, not after it, that an output cannot be written or would replace the input.
fn check_outputs(job: &Job, args: &Args) -> Result<()> {
    let extras = args.extras().into_iter().map(|what| job.beside(what));
    for output in std::iter::once(job.output.clone()).chain(extras) {
        io::check_output(&job.input, &output)?;
    }
    Ok(())
}

/// The labels come last: where they are, the rest is.
fn save(job: &Job, volume: &Volume, segmentation: &Segmentation, args: &Args) -> Result<()> {
    let spacing = volume.spacing();
    if let Some(probabilities) = &segmentation.prediction.probabilities {
        for (name, map) in PROBABILITIES.into_iter().zip(probabilities.axis_iter(Axis(0))) {
            io::write(&job.beside(name), map, spacing)?;
        }
    }
    if args.save_classes {
        io::write(&job.beside("classes"), segmentation.prediction.classes.view(), spacing)?;
    }
    if let Some(supervoxels) = &segmentation.cells.supervoxels {
        io::write_labels(&job.beside("supervoxels"), supervoxels.view(), spacing)?;
    }
    io::write_labels(&job.output, segmentation.cells.labels.view(), spacing)
}

//! `tascan cluster`: the second stage alone.
use std::path::PathBuf;
use std::process::ExitCode;

use super::cell_options::CellOptions;
use super::report::{self, Report};
use super::selection::SelectionOptions;
use crate::boundary;
use crate::cells::{Cells, Options, label_cells_on};
use crate::device::Precision;
use crate::device::choice::Choice;
use crate::error::{Error, Result};
use crate::io::{self, Role};
use crate::pipeline::timed;
use crate::volume::{Shape, Spacing, Volume};

/// Cells from a volume of classes, without the network.
///
/// CLASSES holds 0 background, 1 membrane, 2 foreground. With --boundary it is a membrane probability map
/// instead (from 0 to 1, integers from 0 to the greatest value of their type): what is not membrane is
/// foreground, and of the cells found those become background that reach a face of the volume and are far
/// larger than the others.
#[derive(clap::Args)]
pub struct Args {
    /// Classes: 0 background, 1 membrane, 2 foreground; or the probability map, with --boundary.
    #[arg(value_name = "CLASSES")]
    input: PathBuf,
    /// Labels, one for each cell; 0 is background.
    #[arg(short, long, value_name = "LABELS")]
    output: PathBuf,
    /// The input is a membrane probability map.
    #[arg(long)]
    boundary: bool,
    /// Least probability of a membrane voxel.
    #[arg(long, value_name = "PROBABILITY", requires = "boundary", default_value_t = 0.5)]
    boundary_threshold: f64,
    /// What reaches a face and is this many times as large as the median cell is background; `inf`: nothing
    /// is.
    #[arg(long, value_name = "FACTOR", requires = "boundary", default_value_t = 10.)]
    background_factor: f64,
    /// Voxel size in micrometres, instead of the file's: Z,Y,X.
    #[arg(long, value_name = "Z,Y,X")]
    spacing: Option<Spacing>,
    /// Where the work is done: auto (the first GPU that can be used, else the CPU), cpu, cuda or cuda:NUMBER.
    #[arg(long, default_value_t)]
    device: Choice,
    /// Voxels of the blocks in which super voxels are found, one number or Z,Y,X; no result depends on it.
    #[arg(long, value_name = "VOXELS", value_parser = super::parse_block)]
    block: Option<Shape>,
    /// Write the super voxels too.
    #[arg(long, value_name = "FILE")]
    save_supervoxels: Option<PathBuf>,
    /// One JSON object on stdout.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    selection: SelectionOptions,
    #[command(flatten)]
    cells: CellOptions,
}

pub(super) fn run(args: Args) -> Result<ExitCode> {
    Ok(report::print(&args.input, cluster(&args), args.json))
}

fn cluster(args: &Args) -> Result<Report> {
    let options = args.cells.resolve(args.block, args.save_supervoxels.is_some())?;
    let mut outputs = std::iter::once(&args.output).chain(&args.save_supervoxels);
    outputs.try_for_each(|output| io::check_output(&args.input, output))?;
    let mut stages = Vec::new();
    let role = if args.boundary { Role::Boundary } else { Role::Labels };
    let volume = timed(&mut stages, "open", || io::open(&args.input, args.selection.of(role)))?;
    let volume = match args.spacing {
        Some(spacing) => volume.with_spacing(Some(spacing)),
        None => volume,
    };
    let cells = find(&volume, args, &options).map_err(|error| error.about(&args.input))?;
    stages.extend_from_slice(&cells.stages);
    timed(&mut stages, "write", || save(args, volume.spacing(), &cells))?;
    Ok(Report::new(&args.input, &args.output, &volume, cells.count, stages))
}

fn save(args: &Args, spacing: Option<Spacing>, cells: &Cells) -> Result<()> {
    if let (Some(file), Some(supervoxels)) = (&args.save_supervoxels, &cells.supervoxels) {
        io::write_labels(file, supervoxels.view(), spacing)?;
    }
    io::write_labels(&args.output, cells.labels.view(), spacing)
}

fn find(volume: &Volume, args: &Args, options: &Options) -> Result<Cells> {
    if !(0. ..=1.).contains(&args.boundary_threshold) || args.background_factor.is_nan() {
        return Err(Error::invalid(
            "the threshold has to lie between 0 and 1, and the factor to be a number",
        ));
    }
    let classes = match args.boundary {
        true => boundary::classes(volume, args.boundary_threshold)?,
        false => volume.to_classes()?,
    };
    let device = args.device.open_one(Precision::default())?;
    let mut cells = label_cells_on(&device, classes.view(), volume.spacing(), options)?;
    if args.boundary {
        boundary::drop_background(&mut cells, args.background_factor);
    }
    cells.require_some(classes.view())
}

//! `tascan cluster`: the second stage alone.
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;

use super::cell_options::CellOptions;
use crate::boundary;
use crate::cells::{Cells, Stage, label_cells};
use crate::error::{Error, Result};
use crate::io::{self, Role};
use crate::memory;
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
    /// Voxels of the blocks in which super voxels are found; no result depends on it: Z,Y,X.
    #[arg(long, value_name = "Z,Y,X", value_delimiter = ',')]
    block: Option<Vec<usize>>,
    /// Write the super voxels too.
    #[arg(long, value_name = "FILE")]
    save_supervoxels: Option<PathBuf>,
    /// One JSON object on stdout.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cells: CellOptions,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    input: &'a Path,
    output: &'a Path,
    shape: Shape,
    spacing: Option<Spacing>,
    cells: u32,
    stages: &'a [Stage],
    /// Bytes.
    peak_memory: Option<u64>,
}

pub(super) fn run(args: Args) -> Result<ExitCode> {
    let options = args.cells.resolve(block(&args)?, args.save_supervoxels.is_some())?;
    let outputs = std::iter::once(&args.output).chain(&args.save_supervoxels);
    outputs.into_iter().try_for_each(|output| differs(&args.input, output))?;
    let volume = io::open(&args.input, Role::Labels)?;
    let spacing = args.spacing.or(volume.spacing());
    let cells = find(&volume, spacing, &args, &options).map_err(|error| error.about(&args.input))?;
    if let (Some(file), Some(supervoxels)) = (&args.save_supervoxels, &cells.supervoxels) {
        io::write_labels(file, supervoxels.view(), spacing)?;
    }
    io::write_labels(&args.output, cells.labels.view(), spacing)?;
    report(&args, volume.shape(), spacing, &cells);
    Ok(ExitCode::SUCCESS)
}

fn find(
    volume: &Volume,
    spacing: Option<Spacing>,
    args: &Args,
    options: &crate::cells::Options,
) -> Result<Cells> {
    if !args.boundary {
        return label_cells(volume.to_classes()?.view(), spacing, options);
    }
    if !(0. ..=1.).contains(&args.boundary_threshold) || args.background_factor.is_nan() {
        return Err(Error::invalid(
            "the threshold has to lie between 0 and 1, and the factor to be a number",
        ));
    }
    let classes = boundary::classes(volume, args.boundary_threshold)?;
    let mut cells = label_cells(classes.view(), spacing, options)?;
    boundary::drop_background(&mut cells, args.background_factor);
    Ok(cells)
}

fn block(args: &Args) -> Result<Option<Shape>> {
    let shape = |edges: &Vec<usize>| {
        let wrong =
            |_| Error::invalid(format!("block {edges:?}: expected three edges, for example 64,64,64"));
        Shape::try_from(edges.as_slice()).map_err(wrong)
    };
    args.block.as_ref().map(shape).transpose()
}

/// Fails where an output would replace the input.
fn differs(input: &Path, output: &Path) -> Result<()> {
    let same = input.canonicalize().is_ok_and(|i| output.canonicalize().is_ok_and(|o| i == o));
    match same {
        true => Err(Error::invalid(format!("{} is the input: name another output", output.display()))),
        false => Ok(()),
    }
}

fn report(args: &Args, shape: Shape, spacing: Option<Spacing>, cells: &Cells) {
    let report = Report {
        input: &args.input,
        output: &args.output,
        shape,
        spacing,
        cells: cells.count,
        stages: &cells.stages,
        peak_memory: memory::peak(),
    };
    if args.json {
        println!("{}", serde_json::to_string(&report).expect("numbers and names are JSON"));
        return;
    }
    let seconds = cells.stages.iter().map(|stage| stage.seconds).sum::<f64>();
    tracing::info!("{}: {} cells in {seconds:.2} s", args.input.display(), cells.count);
    for Stage { name, seconds } in &cells.stages {
        tracing::debug!("{name:>14} {seconds:8.3} s");
    }
}

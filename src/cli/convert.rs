//! `tascan convert`: a volume in another format.
use std::path::PathBuf;
use std::process::ExitCode;

use super::selection::SelectionOptions;
use crate::error::Result;
use crate::io::{self, Role, Writer};
use crate::volume::{Spacing, Volume, for_dtype};

/// Bytes that are read and written at a time, or one plane where that is more.
const AT_A_TIME: usize = 64 << 20;

/// Copy a volume to another format; the ending of OUTPUT names it. Values and voxel size are kept.
#[derive(clap::Args)]
pub struct Args {
    /// A TIFF, HDF5, NPY, NPZ, MetaImage or NRRD file, or `file.h5:dataset`.
    input: PathBuf,
    /// The file to write: .tif, .h5, .npy, .npz, .mha or .nrrd; `file.h5:dataset` names the data set.
    output: PathBuf,
    /// The volume holds labels: takes the data set `label` or `segmentation`, writes `label`.
    #[arg(long)]
    labels: bool,
    /// Voxel size in micrometres, one number or z,y,x, in place of the one that the input states.
    #[arg(long, value_name = "Z,Y,X")]
    spacing: Option<Spacing>,
    #[command(flatten)]
    selection: SelectionOptions,
}

pub(super) fn run(args: Args) -> Result<ExitCode> {
    let role = if args.labels { Role::Labels } else { Role::Raw };
    io::check_output(&args.input, &args.output)?;
    let volume = io::open(&args.input, args.selection.of(role))?;
    let spacing = args.spacing.or(volume.spacing());
    let mut writer = Writer::create(&args.output, volume.shape(), volume.dtype(), spacing, role)?;
    copy(&volume, &mut writer)?;
    writer.finish()?;
    if spacing.is_some() && !io::keeps_spacing(&args.output) {
        eprintln!("note: {} cannot hold the voxel size", args.output.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Copies a few planes at a time, so that a mapped volume never has to be in memory.
fn copy(volume: &Volume, writer: &mut Writer) -> Result<()> {
    let [planes, rows, columns] = volume.shape();
    let at_a_time = (AT_A_TIME / (rows * columns * volume.dtype().size())).max(1);
    for start in (0..planes).step_by(at_a_time) {
        let shape = [at_a_time.min(planes - start), rows, columns];
        for_dtype!(volume.dtype(), S => writer.planes(volume.read::<S>([start, 0, 0], shape).view())?);
    }
    Ok(())
}

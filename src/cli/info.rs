//! `tascan info`: what a file holds, as this program understands it.
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::selection::SelectionOptions;
use crate::error::{Error, Result};
use crate::io::{self, Role};
use crate::volume::{Dtype, Origin, Shape, Spacing, Volume};

/// Print what a volume is: format, shape, number type, voxel size, values.
#[derive(clap::Args)]
pub struct Args {
    /// TIFF, HDF5, NPY, NPZ, MetaImage or NRRD files; `file.h5:dataset` names one data set, otherwise all of three axes are
    /// listed.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// One JSON object for each volume.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    selection: SelectionOptions,
}

/// What is printed of a volume.
#[derive(serde::Serialize)]
struct Info<'a> {
    #[serde(flatten)]
    origin: &'a Origin,
    /// Voxels along z, y, x.
    shape: Shape,
    dtype: Dtype,
    /// Micrometres along z, y, x.
    spacing: Option<Spacing>,
    /// Bytes of all voxels as they are stored, when not compressed.
    bytes: usize,
    /// Smallest and greatest value; absent where every voxel is NaN.
    range: Option<(f64, f64)>,
    /// The first voxel that is NaN or infinite: z, y, x.
    first_non_finite: Option<Shape>,
}

pub(super) fn run(args: Args) -> Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for file in &args.files {
        if let Err(error) = describe(file, &args) {
            eprintln!("error: {error}");
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

impl Args {
    /// The volumes to describe: all of a file, or the chosen one.
    fn volumes(&self, file: &Path) -> Result<Vec<PathBuf>> {
        if self.selection.is_given() { Ok(vec![file.to_owned()]) } else { io::volumes(file) }
    }
}

fn describe(file: &Path, args: &Args) -> Result<()> {
    for spec in args.volumes(file)? {
        let volume = io::open(&spec, args.selection.of(Role::Raw))?;
        let info = Info::of(&volume);
        match args.json {
            true => println!("{}", serde_json::to_string(&info).map_err(|e| Error::invalid(e.to_string()))?),
            false => info.print(&volume),
        }
    }
    Ok(())
}

impl<'a> Info<'a> {
    fn of(volume: &'a Volume) -> Self {
        Info {
            origin: volume.origin(),
            shape: volume.shape(),
            dtype: volume.dtype(),
            spacing: volume.spacing(),
            bytes: volume.len() * volume.dtype().size(),
            range: volume.range(),
            first_non_finite: volume.first_non_finite(),
        }
    }

    fn print(&self, volume: &Volume) {
        let [z, y, x] = self.shape;
        println!("{}", volume.name().display());
        println!("  format       {}", self.origin.format);
        println!("  shape        {z} x {y} x {x} (z, y, x)");
        println!("  type         {}, {} bytes in all", self.dtype, self.bytes);
        match self.spacing {
            Some(spacing) => println!("  voxel size   {spacing} (z, y, x)"),
            None => println!("  voxel size   not stated"),
        }
        let where_read =
            if self.origin.mapped { "read from the file when needed" } else { "decoded into memory" };
        println!("  compression  {} ({where_read})", self.origin.compression);
        match self.range {
            Some((low, high)) => println!("  values       {low} to {high}"),
            None => println!("  values       NaN everywhere"),
        }
        if let Some([z, y, x]) = self.first_non_finite {
            println!("  not finite   first at z {z}, y {y}, x {x}");
        }
    }
}

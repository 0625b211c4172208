//! `tascan evaluate`: scores of a label volume against the truth.
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ndarray::Array3;

use crate::error::{Error, Result};
use crate::io::{self, Role};
use crate::metrics::matching::Matching;
use crate::metrics::{Options, Scores};

/// Scores predicted labels against the truth.
#[derive(clap::Args)]
pub struct Args {
    /// Predicted labels, background 0.
    prediction: PathBuf,
    /// True labels of the same shape, background 0.
    truth: PathBuf,
    /// How truth cells find their partners.
    #[arg(long, value_enum, default_value_t)]
    matching: Matching,
    /// Count only truth cells of more voxels than this.
    #[arg(long, value_name = "VOXELS", default_value_t = 0)]
    min_cell_size: u64,
    /// One JSON object on stdout.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args) -> Result<ExitCode> {
    let (prediction, truth) = (labels(&args.prediction)?, labels(&args.truth)?);
    if prediction.dim() != truth.dim() {
        let (found, expected) = (format!("{:?}", prediction.shape()), format!("{:?}", truth.shape()));
        let expected = format!("{expected} (z, y, x) as in {}", args.truth.display());
        return Err(Error::format(&args.prediction, format!("{found} voxels"), expected));
    }
    let options = Options { matching: args.matching, min_cell_size: args.min_cell_size };
    let scores = Scores::compare(prediction.view(), truth.view(), &options)
        .map_err(|error| error.about(&args.truth))?;
    if args.json {
        println!("{}", serde_json::to_string(&scores).expect("numbers and names are JSON"));
    } else {
        println!("{scores}");
    }
    Ok(ExitCode::SUCCESS)
}

fn labels(path: &Path) -> Result<Array3<u32>> {
    io::open(path, Role::Labels)?.to_labels()
}

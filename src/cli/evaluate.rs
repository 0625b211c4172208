//! `tascan evaluate`: scores of a label volume against the truth.
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ndarray::ArrayView3;

use crate::error::{Error, Result};
use crate::io::{self, Role};
use crate::metrics::matching::Matching;
use crate::metrics::{Options, Scores, pieces};
use crate::volume::Annotation;

/// Scores predicted labels against the truth.
///
/// Truth voxels of -1 are those that nobody annotated: every score is that of the other voxels, as if those were in
/// neither volume. Of a cell that lies in them in part, the other part alone counts; a predicted cell that lies in them
/// as a whole is neither found nor false.
#[derive(clap::Args)]
pub struct Args {
    /// Predicted labels, background 0.
    prediction: PathBuf,
    /// True labels of the same shape, background 0; voxels of -1 are left out.
    truth: PathBuf,
    /// Also leave out the voxels that have this number in the truth, as those of -1 are; several with commas between, or
    /// one each time.
    #[arg(long, value_name = "LABEL", value_delimiter = ',', allow_hyphen_values = true)]
    ignore: Vec<i128>,
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
    let prediction = io::open(&args.prediction, Role::Labels)?.to_labels()?;
    let truth = annotation(&args.truth, &args.ignore)?;
    if prediction.dim() != truth.labels.dim() {
        let (found, expected) = (format!("{:?}", prediction.shape()), format!("{:?}", truth.labels.shape()));
        let expected = format!("{expected} (z, y, x) as in {}", args.truth.display());
        return Err(Error::format(&args.prediction, format!("{found} voxels"), expected));
    }
    doubt_masks(&args.prediction, "prediction", prediction.view());
    doubt_masks(&args.truth, "truth", truth.labels.view());
    let options = Options { matching: args.matching, min_cell_size: args.min_cell_size };
    let scores = Scores::compare_annotated(prediction.view(), &truth, &options)
        .map_err(|error| error.about(&args.truth))?;
    if args.json {
        println!("{}", serde_json::to_string(&scores).expect("numbers and names are JSON"));
    } else {
        println!("{scores}");
    }
    Ok(ExitCode::SUCCESS)
}

/// The truth; says which of the numbers that are to be left out it does not have.
fn annotation(path: &Path, ignore: &[i128]) -> Result<Annotation> {
    let volume = io::open(path, Role::Labels)?;
    let truth = volume.to_annotation(ignore, "--ignore {}")?;
    for number in ignore.iter().filter(|number| !volume.holds(**number)) {
        tracing::warn!(
            "warning: {}: no voxel is {number}: --ignore {number} leaves none out",
            path.display()
        );
    }
    Ok(truth)
}

/// Says where labels look like a mask, of which all scores are those of one cell.
fn doubt_masks(path: &Path, what: &str, labels: ArrayView3<u32>) {
    if let Some(pieces) = pieces::of_only_label(labels).filter(|&pieces| pieces > 1) {
        tracing::warn!(
            "warning: {}: the {what} has one label in {pieces} separate pieces: is it a mask? If each piece is a cell, \
             number them, in Python with skimage.measure.label(mask)",
            path.display()
        );
    }
}

//! `tascan demo`: a synthetic tissue, segmented and scored, to see the program work before there is any data.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ndarray::Array3;

use super::progress::Progress;
use crate::cells::Stage;
use crate::error::{Error, Result};
use crate::io;
use crate::metrics::{self, Scores};
use crate::overview::{Picture, Scene};
use crate::pipeline::{self, Model, Segmentation, timed};
use crate::synth::{self, Sample};
use crate::volume::Volume;

/// Renders a synthetic tissue, segments it and scores the result.
#[derive(clap::Args)]
pub struct Args {
    /// The folder for raw.tif, labels.tif and overview.png.
    #[arg(short, long, default_value = "tascan-demo")]
    output: PathBuf,
}

pub(super) fn run(args: Args) -> Result<ExitCode> {
    fs::create_dir_all(&args.output).map_err(|source| Error::io(&args.output, source))?;
    let mut stages = Vec::new();
    let sample = timed(&mut stages, "render", synth::demo);
    let volume = Volume::from_array(in_bytes(&sample), Some(sample.spacing));
    let [z, y, x] = volume.shape();
    let cells = sample.labels.iter().max().copied().unwrap_or_default();
    println!("A synthetic tissue of {z} x {y} x {x} voxels with {cells} cells.\n");

    let mut progress = Progress::new("network".into());
    let segmentation =
        pipeline::segment(&volume, &Model::embedded()?, &pipeline::Options::default(), &mut progress)?;
    stages.extend_from_slice(&segmentation.stages);
    let labels = segmentation.cells.labels.view();
    let scores = timed(&mut stages, "scores", || {
        Scores::compare(labels, sample.labels.view(), &metrics::Options::default())
    })?;
    timed(&mut stages, "write", || save(&args.output, &sample, &segmentation))?;

    println!("{scores}\n");
    stages.iter().for_each(print);
    let folder = args.output.display();
    println!("\nSee {folder}/overview.png; the volumes are {folder}/raw.tif and {folder}/labels.tif.");
    Ok(ExitCode::SUCCESS)
}

fn print(stage: &Stage) {
    println!("{:<21} {:.2} s", stage.name, stage.seconds);
}

/// The grey values of the demonstration go up to 255.
fn in_bytes(sample: &Sample) -> Array3<u8> {
    sample.raw.mapv(|grey| grey as u8)
}

fn save(folder: &Path, sample: &Sample, segmentation: &Segmentation) -> Result<()> {
    let (spacing, labels) = (Some(sample.spacing), segmentation.cells.labels.view());
    let classes = segmentation.prediction.classes.view();
    let picture = Picture::of(&Scene { raw: sample.raw.view(), classes, labels, spacing })?;
    io::write(&folder.join("raw.tif"), in_bytes(sample).view(), spacing)?;
    io::write_labels(&folder.join("labels.tif"), labels, spacing)?;
    picture.write(&folder.join("overview.png"))
}

//! `tascan train`.
use std::path::PathBuf;
use std::process::ExitCode;

use crate::device::Precision;
use crate::device::choice::Choice;
use crate::error::Result;
use crate::train::config::Config;
use crate::train::run::{Start, train};

/// Trains a network on pairs of raw and label volumes, or on synthetic tissue.
#[derive(clap::Args)]
pub struct Args {
    /// The parameters of the run.
    #[arg(long, value_name = "RUN.TOML")]
    config: PathBuf,
    /// Where the network learns: auto (the first GPU that can be used, else the CPU), cpu, cuda or cuda:NUMBER; in f32 on each.
    #[arg(long, default_value_t)]
    device: Choice,
    /// Begin with this model (safetensors or PyTorch checkpoint) instead of random weights.
    #[arg(long, value_name = "MODEL")]
    init: Option<PathBuf>,
    /// Go on from the checkpoint in the output folder; without one, begin.
    #[arg(long)]
    resume: bool,
    /// Folder of everything that the run writes, instead of the configuration's.
    #[arg(short, long, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// Steps to train, instead of the configuration's.
    #[arg(long)]
    steps: Option<u64>,
}

pub(super) fn run(args: Args) -> Result<ExitCode> {
    let mut config = Config::read(&args.config)?;
    config.output = args.output.unwrap_or(config.output);
    config.steps = args.steps.unwrap_or(config.steps);
    let start = if args.resume { Start::Resume(args.init) } else { Start::Fresh(args.init) };
    let device = args.device.open_one(Precision::F32)?;
    let model = train(&config, &start, &device)?;
    println!("{}", model.display());
    Ok(ExitCode::SUCCESS)
}

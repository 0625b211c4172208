//! `tascan train`.
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::selection::SelectionOptions;
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
    /// Where the network learns: auto (the first GPU that can be used, else the CPU), cpu, cuda or cuda:NUMBER.
    #[arg(long, default_value_t)]
    device: Choice,
    /// How a GPU keeps activations: f32, as the CPU does, or bf16, which takes half of the memory and is multiplied on tensor
    /// cores, from the RTX 30 series on. The weights that are learned, their gradient and all sums stay in f32. The number
    /// format of the model's file is `precision` in RUN.TOML.
    #[arg(long, value_parser = precision(), default_value = Precision::F32.name())]
    precision: Precision,
    /// Begin with this model (safetensors or PyTorch checkpoint) instead of random weights.
    #[arg(long, value_name = "MODEL")]
    init: Option<PathBuf>,
    /// Go on from the checkpoint in the output folder; without one, begin. On the same device, in the same precision, the
    /// run then has the bits of one that was never interrupted.
    #[arg(long)]
    resume: bool,
    /// Folder of everything that the run writes, instead of the configuration's.
    #[arg(short, long, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// Steps to train, instead of the configuration's.
    #[arg(long)]
    steps: Option<u64>,
    #[command(flatten)]
    selection: SelectionOptions,
}

fn precision() -> impl TypedValueParser<Value = Precision> {
    PossibleValuesParser::new(Precision::OF_TRAINING.map(Precision::name))
        .try_map(|name| Precision::from_str(&name, false))
}

pub(super) fn run(args: Args) -> Result<ExitCode> {
    let mut config = Config::read(&args.config)?;
    config.output = args.output.unwrap_or(config.output);
    config.steps = args.steps.unwrap_or(config.steps);
    args.selection.apply(&mut config.pairs);
    let start = if args.resume { Start::Resume(args.init) } else { Start::Fresh(args.init) };
    let device = args.device.open_one(args.precision)?;
    let model = train(&config, &start, &device)?;
    println!("{}", model.display());
    Ok(ExitCode::SUCCESS)
}

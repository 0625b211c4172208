//! The command line: one file per subcommand.
mod cluster;
mod convert;
mod demo;
mod evaluate;
mod info;
mod segment;
mod synthesize;
mod train;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// From a 3D microscopy volume of cell membranes to one label per cell.
#[derive(Parser)]
#[command(name = "tascan", version, about, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// More about what happens (twice for still more).
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Errors only.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::Args),
    Segment(segment::Args),
    Cluster(cluster::Args),
    Evaluate(evaluate::Args),
    Synthesize(synthesize::Args),
    Train(train::Args),
    Info(info::Args),
    Convert(convert::Args),
}

/// Runs one subcommand; an error goes to stderr and makes the exit status 1.
pub fn run(cli: Cli) -> ExitCode {
    let done = match cli.command {
        Command::Demo(args) => demo::run(args),
        Command::Segment(args) => segment::run(args),
        Command::Cluster(args) => cluster::run(args),
        Command::Evaluate(args) => evaluate::run(args),
        Command::Synthesize(args) => synthesize::run(args),
        Command::Train(args) => train::run(args),
        Command::Info(args) => info::run(args),
        Command::Convert(args) => convert::run(args),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::FAILURE
    })
}

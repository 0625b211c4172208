//! The `tascan` command.
use std::process::ExitCode;

use clap::Parser;
use tascan::cli::Cli;

fn main() -> ExitCode {
    tascan::cli::run(Cli::parse())
}

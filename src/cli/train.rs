//! `tascan train`.
use std::process::ExitCode;

use crate::error::Result;

/// Trains a network.
#[derive(clap::Args)]
pub struct Args {}

pub(super) fn run(_args: Args) -> Result<ExitCode> {
    Ok(ExitCode::SUCCESS)
}

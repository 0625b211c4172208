//! `tascan synthesize`.
use std::process::ExitCode;

use crate::error::Result;

/// Renders membrane volumes with their truth.
#[derive(clap::Args)]
pub struct Args {}

pub(super) fn run(_args: Args) -> Result<ExitCode> {
    Ok(ExitCode::SUCCESS)
}

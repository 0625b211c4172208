//! `tascan info`.
use std::process::ExitCode;

use crate::error::Result;

/// Prints what a file is.
#[derive(clap::Args)]
pub struct Args {}

pub(super) fn run(_args: Args) -> Result<ExitCode> {
    Ok(ExitCode::SUCCESS)
}

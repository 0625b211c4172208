//! `tascan convert`.
use std::process::ExitCode;

use crate::error::Result;

/// Copies a volume to another format.
#[derive(clap::Args)]
pub struct Args {}

pub(super) fn run(_args: Args) -> Result<ExitCode> {
    Ok(ExitCode::SUCCESS)
}

//! `tascan segment`.
use std::process::ExitCode;

use crate::error::Result;

/// Cells from a membrane volume.
#[derive(clap::Args)]
pub struct Args {}

pub(super) fn run(_args: Args) -> Result<ExitCode> {
    Ok(ExitCode::SUCCESS)
}

//! `tascan cluster`.
use std::process::ExitCode;

use crate::error::Result;

/// Cells from a volume of classes, without the network.
#[derive(clap::Args)]
pub struct Args {}

pub(super) fn run(_args: Args) -> Result<ExitCode> {
    Ok(ExitCode::SUCCESS)
}

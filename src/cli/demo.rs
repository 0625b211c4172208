//! `tascan demo`.
use std::process::ExitCode;

use crate::error::Result;

/// Renders a synthetic tissue, segments it and scores the result.
#[derive(clap::Args)]
pub struct Args {}

pub(super) fn run(_args: Args) -> Result<ExitCode> {
    Ok(ExitCode::SUCCESS)
}

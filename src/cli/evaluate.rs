//! `tascan evaluate`.
use std::process::ExitCode;

use crate::error::Result;

/// Scores predicted labels against the truth.
#[derive(clap::Args)]
pub struct Args {}

pub(super) fn run(_args: Args) -> Result<ExitCode> {
    Ok(ExitCode::SUCCESS)
}

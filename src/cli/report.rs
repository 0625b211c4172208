//! What `tascan segment` and `tascan cluster` say about each input.
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;

use crate::cells::Stage;
use crate::error::Result;
use crate::memory;
use crate::scale::Sampling;
use crate::volume::{Shape, Spacing, Volume};

/// One finished input, as `--json` prints it.
#[derive(Debug, Serialize)]
pub struct Report {
    input: String,
    output: String,
    /// Voxels, z, y, x.
    shape: Shape,
    /// Micrometres, z, y, x; null where neither file nor user says it.
    spacing: Option<Spacing>,
    /// Stored voxels for each point of the grid on which the network saw the volume, z, y, x; absent where no network ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    scale: Option<[f64; 3]>,
    /// The same, as the user reads it.
    #[serde(skip)]
    sampling: Option<Sampling>,
    cells: u32,
    stages: Vec<Stage>,
    /// Reasons to doubt the result, each with what to try; absent where there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    /// The most memory that the process has held so far.
    peak_memory_bytes: Option<u64>,
}

/// One failed input, as `--json` prints it.
#[derive(Serialize)]
struct Failure {
    input: String,
    error: String,
}

impl Report {
    /// Of the cells that were found in `volume`, which was opened as `input`.
    pub fn new(input: &Path, output: &Path, volume: &Volume, cells: u32, stages: Vec<Stage>) -> Self {
        Self {
            input: input.display().to_string(),
            output: output.display().to_string(),
            shape: volume.shape(),
            spacing: volume.spacing(),
            scale: None,
            sampling: None,
            cells,
            stages,
            warnings: Vec::new(),
            peak_memory_bytes: memory::peak(),
        }
    }

    /// Of a network that saw the volume on this grid.
    pub fn at_scale(self, sampling: Sampling) -> Self {
        Self { scale: Some(sampling.steps()), sampling: Some(sampling), ..self }
    }

    /// Of a result that is to be doubted for these reasons.
    pub fn with_warnings(self, warnings: Vec<String>) -> Self {
        Self { warnings, ..self }
    }

    /// A line for the user, and more for the one who asks for it.
    fn log(&self) {
        let seconds: f64 = self.stages.iter().map(|stage| stage.seconds).sum();
        let scale = self.sampling.map_or(String::new(), |sampling| format!(", scale {sampling}"));
        tracing::info!("{}: {} cells -> {} ({seconds:.1} s{scale})", self.input, self.cells, self.output);
        for warning in &self.warnings {
            tracing::warn!("warning: {}: {warning}", self.input);
        }
        for stage in &self.stages {
            tracing::debug!("{:>16} {:8.3} s", stage.name, stage.seconds);
        }
        if let Some(bytes) = self.peak_memory_bytes {
            tracing::debug!("     peak memory {:8.0} MiB", bytes as f64 / f64::from(1 << 20));
        }
    }
}

/// One object on one line, for a failure too.
fn json(input: &Path, result: &Result<Report>) -> String {
    let text = match result {
        Ok(report) => serde_json::to_string(report),
        Err(error) => {
            serde_json::to_string(&Failure { input: input.display().to_string(), error: error.to_string() })
        }
    };
    text.expect("numbers and strings are JSON")
}

/// Prints what became of an input, and gives the exit status that it deserves.
pub fn print(input: &Path, result: Result<Report>, as_json: bool) -> ExitCode {
    if as_json {
        println!("{}", json(input, &result));
    }
    match result {
        Ok(report) => {
            report.log();
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

//! The log of a run, `log.csv`: one line a step, appended as it happens.
//!
//! After a kill the log may be ahead of the checkpoint; resuming takes the lines back that will be written again.
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::io::aside;

const HEADER: &str = "step,rate,loss,seconds,validation_dsc,validation_are,membrane_dice,foreground_dice";

/// One line of the log.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// Steps done, this one included.
    pub step: u64,
    /// The learning rate of the step.
    pub rate: f64,
    /// The loss of its batch.
    pub loss: f64,
    /// Seconds that it took, validation excluded.
    pub seconds: f64,
    /// The scores of the validation after this step, where there was one.
    pub validation: Option<Scored>,
}

/// The scores of a validation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// Mean one-to-one Dice over the cells: the score by which the best checkpoint is chosen.
    pub dsc: f64,
    /// Adapted Rand error.
    pub are: f64,
    /// Dice of the membrane voxels.
    pub membrane: f64,
    /// Dice of the foreground voxels.
    pub foreground: f64,
}

impl Row {
    fn line(&self) -> String {
        let validation = self.validation.map_or(",,,".into(), |v| {
            format!("{:.6},{:.6},{:.6},{:.6}", v.dsc, v.are, v.membrane, v.foreground)
        });
        format!("{},{:e},{:.7},{:.3},{validation}", self.step, self.rate, self.loss, self.seconds)
    }

    fn parse(line: &str) -> Option<Row> {
        let fields: Vec<&str> = line.split(',').collect();
        let [step, rate, loss, seconds, validation @ ..] = fields.as_slice() else { return None };
        let validation = match validation {
            ["", "", "", ""] => None,
            [dsc, are, membrane, foreground] => Some(Scored {
                dsc: dsc.parse().ok()?,
                are: are.parse().ok()?,
                membrane: membrane.parse().ok()?,
                foreground: foreground.parse().ok()?,
            }),
            _ => return None,
        };
        let (rate, loss, seconds) = (rate.parse().ok()?, loss.parse().ok()?, seconds.parse().ok()?);
        Some(Row { step: step.parse().ok()?, rate, loss, seconds, validation })
    }
}

/// An open log, with all that it holds.
pub struct Log {
    path: PathBuf,
    file: File,
    rows: Vec<Row>,
}

impl Log {
    /// Opens the log at `path`, which then holds the lines of the first `steps` steps.
    ///
    /// # Errors
    /// Where the file cannot be read or written, or one of those lines is no line of a log.
    pub fn open(path: &Path, steps: u64) -> Result<Self> {
        let rows = if steps > 0 { read(path, steps)? } else { Vec::new() };
        let lines = rows.iter().map(|row| row.line() + "\n");
        let text: String = std::iter::once(format!("{HEADER}\n")).chain(lines).collect();
        aside::write(path, text.as_bytes())?;
        let file = OpenOptions::new().append(true).open(path).map_err(|e| Error::io(path, e))?;
        Ok(Log { path: path.to_owned(), file, rows })
    }

    /// Appends a line, whole.
    pub fn append(&mut self, row: Row) -> Result<()> {
        let line = row.line() + "\n";
        self.file.write_all(line.as_bytes()).map_err(|e| Error::io(&self.path, e))?;
        self.rows.push(row);
        Ok(())
    }

    /// Returns when all lines are on the disk.
    pub fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(|e| Error::io(&self.path, e))
    }

    /// All lines so far.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }
}

/// The lines of the first `steps` steps.
fn read(path: &Path, steps: u64) -> Result<Vec<Row>> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
    let rows: Vec<Row> = text.lines().skip(1).map_while(Row::parse).take(steps as usize).collect();
    match rows.last() {
        Some(last) if last.step == steps && rows.len() as u64 == steps => Ok(rows),
        _ => Err(Error::format(
            path,
            format!("{} lines of steps", rows.len()),
            format!("the {steps} steps of the checkpoint beside it"),
        )),
    }
}

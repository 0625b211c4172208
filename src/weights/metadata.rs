//! What a model file says about its model beside the weights.
use std::collections::BTreeMap;
use std::path::Path;

use crate::error::{Error, Result};
use crate::volume::Spacing;

/// What a model expects and where it comes from: the text entries of a safetensors header.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    /// How grey values are brought into the range that the model was trained on; key `normalization`.
    pub normalization: Option<String>,
    /// Voxel size of the training data, micrometres z, y, x; key `spacing`, three numbers with blanks between.
    pub spacing: Option<Spacing>,
    /// What the model was trained on; key `training_data`.
    pub training_data: Option<String>,
    /// The model's own version; key `version`.
    pub version: Option<String>,
    /// Every other entry, kept as it is.
    pub other: BTreeMap<String, String>,
}

impl Metadata {
    /// Takes the entries of a file; `origin` names it in errors.
    ///
    /// # Errors
    /// Where `spacing` is not three positive numbers.
    pub fn from_entries(origin: &Path, mut entries: BTreeMap<String, String>) -> Result<Self> {
        let spacing = match entries.remove("spacing") {
            None => None,
            Some(text) => Some(parse_spacing(&text).ok_or_else(|| {
                Error::format(
                    origin,
                    format!("spacing {text:?}"),
                    "three positive numbers: micrometres along z, y, x",
                )
            })?),
        };
        Ok(Metadata {
            normalization: entries.remove("normalization"),
            spacing,
            training_data: entries.remove("training_data"),
            version: entries.remove("version"),
            other: entries,
        })
    }

    /// All entries as a file holds them. A typed field wins over an entry of the same name in `other`.
    pub fn entries(&self) -> BTreeMap<String, String> {
        let spacing = self.spacing.map(|Spacing([z, y, x])| format!("{z} {y} {x}"));
        let typed = [
            ("normalization", self.normalization.clone()),
            ("spacing", spacing),
            ("training_data", self.training_data.clone()),
            ("version", self.version.clone()),
        ];
        let mut entries = self.other.clone();
        entries.extend(typed.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
        entries
    }
}

fn parse_spacing(text: &str) -> Option<Spacing> {
    let numbers: Vec<f64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
    let valid = numbers.iter().all(|n| n.is_finite() && *n > 0.0);
    valid.then_some(Spacing(numbers.try_into().ok()?))
}

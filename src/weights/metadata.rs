//! What a model file says about its model beside the weights.
use std::collections::BTreeMap;
use std::path::Path;

use crate::error::{Error, Result};
use crate::ops::contrast::{Contrast, WIDEST};
use crate::volume::Spacing;

/// What a model expects and where it comes from: the text entries of a safetensors header.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    /// How grey values are brought into the range that the model was trained on; key `normalization`.
    pub normalization: Option<String>,
    /// How local contrast is normalised where `normalization` is `local`; keys `half_width` and `floor`.
    pub contrast: Option<Contrast>,
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
    /// Where `spacing` is not three positive numbers, or local contrast cannot be normalised as the entries say.
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
            contrast: contrast(origin, &mut entries)?,
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
            ("half_width", self.contrast.map(|contrast| contrast.half_width.to_string())),
            ("floor", self.contrast.map(|contrast| contrast.floor.to_string())),
            ("spacing", spacing),
            ("training_data", self.training_data.clone()),
            ("version", self.version.clone()),
        ];
        let mut entries = self.other.clone();
        entries.extend(typed.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
        entries
    }
}

/// Takes the entries about local contrast: both or neither.
fn contrast(origin: &Path, entries: &mut BTreeMap<String, String>) -> Result<Option<Contrast>> {
    let [half_width, floor] = ["half_width", "floor"].map(|key| entries.remove(key));
    if half_width.is_none() && floor.is_none() {
        return Ok(None);
    }
    let parse = || {
        let half_width = half_width.as_deref()?.parse().ok()?;
        let contrast = Contrast { half_width, floor: floor.as_deref()?.parse().ok()? };
        contrast.check().is_ok().then_some(contrast)
    };
    match parse() {
        Some(contrast) => Ok(Some(contrast)),
        None => Err(Error::format(
            origin,
            format!("half_width {half_width:?} and floor {floor:?}"),
            format!("a half width from 1 to {WIDEST} voxels and a floor from 0.001 to 1"),
        )),
    }
}

fn parse_spacing(text: &str) -> Option<Spacing> {
    let numbers: Vec<f64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
    let valid = numbers.iter().all(|n| n.is_finite() && *n > 0.0);
    valid.then_some(Spacing(numbers.try_into().ok()?))
}

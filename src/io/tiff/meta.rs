//! What the pages of a stack are: planes along z, or something that is no single 3D volume.
use std::path::Path;

use super::page::Pages;
use super::{Stack, imagej, ome};
use crate::error::{Error, Result};

/// The axes of a stack, whoever wrote it.
pub(super) struct Axes {
    pub(super) planes: u64,
    pub(super) channels: u64,
    pub(super) times: u64,
}

impl Axes {
    /// An error where there is more than one volume.
    pub(super) fn require_one_volume(&self, path: &Path) -> Result<()> {
        if self.times > 1 {
            let found = format!("a series of {} time points ({} planes each)", self.times, self.planes);
            let expected = "one 3D stack: save one time point (in ImageJ: Image > Duplicate); if the planes of one \
                            stack were taken for time points, exchange slices and frames (Image > Properties)";
            return Err(Error::format(path, found, expected));
        }
        if self.channels > 1 {
            let found = format!("{} channels", self.channels);
            let expected =
                "one channel: save the membrane channel alone (in ImageJ: Image > Color > Split Channels)";
            return Err(Error::format(path, found, expected));
        }
        Ok(())
    }
}

/// Reads the text of the first page in the way of whoever wrote it.
pub(super) fn interpret(path: &Path, pages: &Pages) -> Result<Stack> {
    let text = pages.description.as_str();
    let stack = if text.starts_with("ImageJ=") {
        imagej::interpret(path, text, pages.edges)?
    } else if text.trim_start().starts_with('<') && text.contains("OME") {
        ome::interpret(path, text)?
    } else if text.starts_with('{') && text.contains("\"shape\"") {
        shaped(path, text)?
    } else {
        undescribed(path, pages)?
    };
    let (said, there) = (stack.planes, pages.list.len());
    if said == there || (there == 1 && pages.list[0].is_plain()) {
        return Ok(stack);
    }
    let found = format!("{there} planes");
    Err(Error::format(
        path,
        found,
        format!("{said}, as its {} metadata say; was it cut short?", stack.flavour),
    ))
}

/// The shape that tifffile notes for arrays without other metadata.
fn shaped(path: &Path, text: &str) -> Result<Stack> {
    #[derive(serde::Deserialize)]
    struct Shaped {
        shape: Vec<u64>,
    }
    let shaped: Shaped = serde_json::from_str(text).map_err(|e| {
        Error::format(path, format!("a shape note that cannot be read ({e})"), "{\"shape\": [z, y, x]}")
    })?;
    match shaped.shape[..] {
        [planes, _, _] => Ok(Stack { planes: planes as usize, spacing: None, flavour: "TIFF" }),
        ref other => Err(Error::format(path, format!("an array of shape {other:?}"), "a 3D stack: z, y, x")),
    }
}

/// Without metadata, pages are planes; a single page is an image.
fn undescribed(path: &Path, pages: &Pages) -> Result<Stack> {
    match pages.list.len() {
        1 => {
            let found = format!("a 2D image, {}", pages.list[0].describe());
            Err(Error::format(path, found, "a 3D stack of several planes"))
        }
        planes => Ok(Stack { planes, spacing: None, flavour: "TIFF" }),
    }
}

//! ImageJ's text: lines of `key=value` in the first page. The resolution of the page is in voxels per `unit`, `spacing` is
//! the distance of planes in that unit; either is 1 where it is absent. Stacks of more than 4 GB have a single page,
//! whose planes follow each other.
use std::collections::HashMap;
use std::path::Path;

use super::Stack;
use super::meta::Axes;
use crate::error::{Error, Result};
use crate::io::unit::micrometres;
use crate::volume::{Shape, Spacing};

pub(super) fn interpret(path: &Path, text: &str, edges: [Option<f64>; 2]) -> Result<Stack> {
    let fields: HashMap<&str, &str> = text.lines().filter_map(|line| line.trim().split_once('=')).collect();
    let count = |key: &str| match fields.get(key) {
        None => Ok(None),
        Some(value) => value.parse::<u64>().ok().filter(|&count| count > 0).map(Some).ok_or_else(|| {
            Error::format(path, format!("{key}={value} in its ImageJ metadata"), "a number of planes")
        }),
    };
    let (images, slices) = (count("images")?, count("slices")?);
    let (channels, times) = (count("channels")?.unwrap_or(1), count("frames")?.unwrap_or(1));
    let rest = channels.saturating_mul(times);
    let planes = slices.or(images.map(|images| images / rest.max(1))).unwrap_or(1);
    Axes { planes, channels, times }.require_one_volume(path)?;
    if images.is_none() && slices.is_none() {
        return Err(Error::format(path, "a single 2D image", "a 3D stack of several planes"));
    }
    Ok(Stack { planes: planes as usize, spacing: spacing(&fields, edges), flavour: "ImageJ TIFF" })
}

fn spacing(fields: &HashMap<&str, &str>, [y, x]: [Option<f64>; 2]) -> Option<Spacing> {
    let unit = micrometres(fields.get("unit")?)?;
    let distance = fields.get("spacing").and_then(|text| text.parse::<f64>().ok());
    let distance = distance.map(f64::abs).filter(|&distance| distance.is_finite() && distance > 0.0);
    if distance.is_none() && x.is_none() && y.is_none() {
        return None;
    }
    Spacing::checked([distance, y, x].map(|edge| unit * edge.unwrap_or(1.0)))
}

/// The text for a stack that this program writes.
pub(super) fn describe(shape: Shape, spacing: Option<Spacing>) -> String {
    let planes = shape[0];
    let size = spacing.map_or(String::new(), |size| format!("unit=micron\nspacing={}\n", size.0[0]));
    format!("ImageJ=1.54f\nimages={planes}\nslices={planes}\n{size}loop=false\n")
}

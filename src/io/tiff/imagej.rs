//! ImageJ's text: lines of `key=value` in the first page. The resolution of the page is in voxels per `unit`, `spacing` is
//! the distance of planes in that unit; either is 1 where it is absent. Channels vary fastest from page to page, then
//! planes, then frames. Stacks of more than 4 GB have a single page, whose planes follow each other.
use std::collections::HashMap;
use std::path::Path;

use super::page::Pages;
use super::series::{self, Axes, Plane, Stack};
use crate::error::{Error, Result};
use crate::io::Selection;
use crate::io::unit::micrometres;
use crate::volume::{Shape, Spacing};

const FLAVOUR: &str = "ImageJ";

pub(super) fn interpret(pages: &Pages, text: &str, selection: &Selection) -> Result<Stack> {
    let path = pages.file.path;
    let fields = fields(text);
    let counts = Counts::read(path, &fields, pages.list.len())?;
    series::require_planes(pages, counts.pages(), FLAVOUR)?;
    let samples = pages.list[0].samples;
    let channels = counts.channels.saturating_mul(samples);
    let axes = Axes { planes: counts.slices, channels, times: counts.frames, channel_names: &[] };
    let (channel, time) = axes.choose(path, selection)?;
    let plane = |z| Plane {
        page: (time * counts.slices + z) * counts.channels + channel / samples,
        sample: channel % samples,
    };
    let planes = (0..counts.slices).map(plane).collect();
    Ok(Stack { planes, spacing: spacing(&fields, pages.edges), flavour: "ImageJ TIFF" })
}

fn fields(text: &str) -> HashMap<&str, &str> {
    text.lines().filter_map(|line| line.trim().split_once('=')).collect()
}

/// How many planes the text announces, over all channels and frames, where it makes sense.
pub(super) fn planes(pages: &Pages, text: &str) -> Option<usize> {
    Some(Counts::read(pages.file.path, &fields(text), 1).ok()?.pages())
}

/// The voxel size that the text of a single plane states; ImageJ gives the distance of planes to stacks alone, so that its
/// absence says nothing.
pub(super) fn stated_spacing(pages: &Pages, text: &str) -> Option<Spacing> {
    let fields = fields(text);
    fields.contains_key("spacing").then(|| spacing(&fields, pages.edges)).flatten()
}

/// The extents of a hyperstack.
struct Counts {
    channels: usize,
    slices: usize,
    frames: usize,
}

impl Counts {
    /// Reads the extents; `there` is the number of pages. Where slices are not stated, the images that channels and frames
    /// leave are slices.
    fn read(path: &Path, fields: &HashMap<&str, &str>, there: usize) -> Result<Self> {
        let count = |key: &str| match fields.get(key) {
            None => Ok(None),
            Some(value) => {
                value.parse::<usize>().ok().filter(|&count| count > 0).map(Some).ok_or_else(|| {
                    Error::format(path, format!("{key}={value} in its ImageJ metadata"), "a number of planes")
                })
            }
        };
        let (images, slices) = (count("images")?, count("slices")?);
        let (channels, frames) = (count("channels")?.unwrap_or(1), count("frames")?.unwrap_or(1));
        let images = images.or(Some(there).filter(|&there| there > 1 && slices.is_none()));
        if images.is_none() && slices.is_none() {
            return Err(Error::format(path, "a single 2D image", "a 3D stack of several planes"));
        }
        let rest = channels.saturating_mul(frames).max(1);
        let slices = slices.or(images.map(|images| images / rest)).unwrap_or(1).max(1);
        let counts = Counts { channels, slices, frames };
        match images {
            Some(images) if images != counts.pages() => {
                let found = format!(
                    "{images} images for {channels} channels, {slices} slices and {frames} frames in its ImageJ metadata"
                );
                Err(Error::format(path, found, "as many images as the three make"))
            }
            _ => Ok(counts),
        }
    }

    fn pages(&self) -> usize {
        self.channels.saturating_mul(self.slices).saturating_mul(self.frames)
    }
}

fn spacing(fields: &HashMap<&str, &str>, [y, x]: [Option<f64>; 2]) -> Option<Spacing> {
    // Axes whose unit is another than that of x have keys of their own.
    let unit = |key: &str| micrometres(fields.get(key).or(fields.get("unit"))?);
    let units = [unit("zunit")?, unit("yunit")?, unit("unit")?];
    let distance = fields.get("spacing").and_then(|text| text.parse::<f64>().ok());
    let distance = distance.map(f64::abs).filter(|&distance| distance.is_finite() && distance > 0.0);
    if distance.is_none() && x.is_none() && y.is_none() {
        return None;
    }
    let edges = [distance, y, x].map(|edge| edge.unwrap_or(1.0));
    Spacing::checked([0, 1, 2].map(|axis| units[axis] * edges[axis]))
}

/// The text for a stack that this program writes.
pub(super) fn describe(shape: Shape, spacing: Option<Spacing>) -> String {
    let planes = shape[0];
    let size = spacing.map_or(String::new(), |size| format!("unit=micron\nspacing={}\n", size.0[0]));
    format!("ImageJ=1.54f\nimages={planes}\nslices={planes}\n{size}loop=false\n")
}

//! What the pages of a file are: planes along z, channels and time points, and which of them make the wanted volume.
use std::path::Path;

use super::page::{Page, Pages};
use super::{imagej, ome, shaped};
use crate::error::{Error, Result};
use crate::io::Selection;
use crate::io::selection::Extra;
use crate::volume::Spacing;

/// A stack: the planes of the wanted volume, and what the metadata say of it.
pub(super) struct Stack {
    /// From first to last along z.
    pub(super) planes: Vec<Plane>,
    pub(super) spacing: Option<Spacing>,
    pub(super) flavour: &'static str,
}

/// One plane: a page, and which of the page's samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plane {
    /// Its place among the pages at full resolution. A file whose only page stands for all planes has more places than
    /// pages.
    pub(super) page: usize,
    pub(super) sample: usize,
}

/// The axes of a stack beside y and x, whoever wrote it.
pub(super) struct Axes<'a> {
    pub(super) planes: usize,
    /// Samples of a page are channels too; they vary fastest.
    pub(super) channels: usize,
    pub(super) times: usize,
    pub(super) channel_names: &'a [String],
}

impl Axes<'_> {
    /// The chosen channel and time point.
    ///
    /// # Errors
    /// There are several and none was chosen, or the chosen one is not there.
    pub(super) fn choose(&self, path: &Path, selection: &Selection) -> Result<(usize, usize)> {
        let times = format!(
            "{}; or save one time point alone (in ImageJ: Image > Duplicate)",
            self.mistaken("frames")
        );
        let time = Extra::times(self.times).choose(path, selection.time.as_ref(), &times)?;
        let channels = format!(
            "{}; or save the membrane channel alone (in ImageJ: Image > Color > Split Channels)",
            self.mistaken("channels")
        );
        let all = Extra::channels(self.channels, self.channel_names);
        Ok((all.choose(path, selection.channel.as_ref(), &channels)?, time))
    }

    /// A hint where the file has a single plane of each.
    fn mistaken(&self, axis: &str) -> String {
        match self.planes {
            1 => format!(
                "; if these are the planes of one stack, taken for {axis}, exchange slices and {axis} (in ImageJ: Image > \
                 Properties)"
            ),
            _ => String::new(),
        }
    }
}

/// Whoever wrote the text of the first page.
enum Writer<'a> {
    Ome(&'a str),
    ImageJ(&'a str),
    Tifffile(&'a str),
    Unknown,
}

impl<'a> Writer<'a> {
    /// Tells the texts of the first page apart: OME's come before ImageJ's, which some programs add.
    fn of(pages: &'a Pages) -> Self {
        let find = |is: fn(&str) -> bool| pages.descriptions.iter().find(|text| is(text));
        if let Some(text) = find(|text| {
            text.trim_start_matches(['\u{feff}', ' ']).starts_with('<')
                && (text.contains("<OME") || text.contains(":OME"))
        }) {
            Writer::Ome(text)
        } else if let Some(text) = find(|text| text.starts_with("ImageJ=")) {
            Writer::ImageJ(text)
        } else {
            find(shaped::is_note).map_or(Writer::Unknown, |text| Writer::Tifffile(text))
        }
    }
}

/// Reads the metadata in the way of whoever wrote them.
pub(super) fn interpret(pages: &Pages, selection: &Selection) -> Result<Stack> {
    match Writer::of(pages) {
        Writer::Ome(text) => ome::interpret(pages, text, selection),
        Writer::ImageJ(text) => imagej::interpret(pages, text, selection),
        Writer::Tifffile(text) => shaped::interpret(pages, text, selection),
        Writer::Unknown => undescribed(pages, selection),
    }
}

/// Whether there is one page that does not stand for several planes.
pub(super) fn is_single_plane(pages: &Pages) -> bool {
    let stands_for_more = match Writer::of(pages) {
        Writer::ImageJ(text) => imagej::planes(pages, text).is_some_and(|planes| planes > 1),
        _ => false,
    };
    pages.list.len() == 1 && !stands_for_more
}

/// The only page, as a stack of one plane; of the metadata, which may be those of a stack in many files, the voxel size
/// alone counts.
pub(super) fn single_plane(pages: &Pages, selection: &Selection) -> Result<Stack> {
    let path = pages.file.path;
    if !is_single_plane(pages) {
        let found = format!("a stack, {} pages", pages.list.len());
        return Err(Error::format(path, found, "a single plane, as the other files of the folder"));
    }
    let (spacing, flavour) = match Writer::of(pages) {
        Writer::Ome(text) => (ome::stated_spacing(path, text), "OME-TIFF"),
        Writer::ImageJ(text) => (imagej::stated_spacing(pages, text), "ImageJ TIFF"),
        _ => (None, "TIFF"),
    };
    // The folder has several planes.
    let axes = Axes { planes: 2, channels: pages.list[0].samples, times: 1, channel_names: &[] };
    let (sample, _) = axes.choose(path, selection)?;
    Ok(Stack { planes: vec![Plane { page: 0, sample }], spacing, flavour })
}

/// Without metadata, pages are planes; a single page is an image.
fn undescribed(pages: &Pages, selection: &Selection) -> Result<Stack> {
    let (path, first) = (pages.file.path, &pages.list[0]);
    if pages.list.len() == 1 {
        return Err(single_image(path, first));
    }
    let axes = Axes { planes: pages.list.len(), channels: first.samples, times: 1, channel_names: &[] };
    let (sample, _) = axes.choose(path, selection)?;
    let planes = (0..pages.list.len()).map(|page| Plane { page, sample }).collect();
    Ok(Stack { planes, spacing: None, flavour: "TIFF" })
}

/// The error for a file with one plane.
pub(super) fn single_image(path: &Path, page: &Page) -> Error {
    let expected = "a 3D stack of several planes; planes in files of their own: name their folder";
    Error::format(path, format!("a 2D image, {}", page.describe()), expected)
}

/// An error where the metadata announce another number of planes than there are. One plain page may stand for all, which
/// take at least a byte each.
pub(super) fn require_planes(pages: &Pages, announced: usize, flavour: &str) -> Result<()> {
    let there = pages.list.len();
    let could_follow = pages.one_stands_for_all() && announced <= pages.file.bytes.len();
    if announced == there || could_follow {
        return Ok(());
    }
    let expected = format!("{announced}, as its {flavour} metadata say; was it cut short?");
    Err(Error::format(pages.file.path, format!("{there} planes"), expected))
}

//! OME-TIFF: an XML document in the first page names axes, voxel size, channels, and which page is which plane
//! (OME-TIFF specification, OME schema 2016-06).
use std::path::Path;

use super::ome_xml::{Document, Image, TiffData};
use super::page::Pages;
use super::series::{self, Axes, Plane, Stack};
use crate::error::{Error, Result};
use crate::io::Selection;
use crate::volume::Spacing;

const FLAVOUR: &str = "OME";

pub(super) fn interpret(pages: &Pages, text: &str, selection: &Selection) -> Result<Stack> {
    let path = pages.file.path;
    let document = Document::read(text).map_err(|e| {
        Error::format(path, format!("OME metadata that cannot be read ({e})"), "well-formed XML")
    })?;
    let image = single(path, &document)?;
    let samples = pages.list[0].samples;
    let [planes, channels, times] = image.sizes;
    if channels % samples != 0 {
        let found = format!("{channels} channels in pages of {samples}");
        return Err(Error::format(path, found, "OME metadata that fit the pages"));
    }
    // Names count where each channel has one; the samples of colours share theirs.
    let channel_names = if image.channels.len() == channels { &image.channels[..] } else { &[] };
    let axes = Axes { planes, channels, times, channel_names };
    let (channel, time) = axes.choose(path, selection)?;
    let at = |z| [z, channel / samples, time];
    let layout = Layout { image, sizes: [planes, channels / samples, times] };
    let order = layout.pages(pages, path, &document)?;
    let planes = (0..planes).map(|z| {
        let page = order[layout.place(at(z))].ok_or_else(|| missing(path, at(z)))?;
        Ok(Plane { page, sample: channel % samples })
    });
    Ok(Stack { planes: planes.collect::<Result<_>>()?, spacing: spacing(path, image), flavour: "OME-TIFF" })
}

fn missing(path: &Path, [z, channel, time]: [usize; 3]) -> Error {
    let found = format!("no page for plane {z} (channel {channel}, time point {time}) in its OME metadata");
    Error::format(path, found, "a TiffData element for each plane")
}

/// The only image that the document describes.
fn single<'a>(path: &Path, document: &'a Document) -> Result<&'a Image> {
    if let Some(companion) = &document.companion {
        let found = format!("a part of a data set that the file {companion} describes");
        return Err(Error::format(
            path,
            found,
            "a file with its own metadata: save the stack as one OME-TIFF",
        ));
    }
    match &document.images[..] {
        [image] => Ok(image),
        images => {
            let found = format!("{} images in its OME metadata", images.len());
            Err(Error::format(path, found, "one: save the stack alone"))
        }
    }
}

/// The voxel size; x may stand for y, but nothing for the distance of planes.
fn spacing(path: &Path, image: &Image) -> Option<Spacing> {
    let [z, y, x] = image.edges;
    let across = [y.or(x)?, x.or(y)?];
    if z.is_none() {
        tracing::warn!("{}: its OME metadata state no distance of planes; give --spacing", path.display());
    }
    Spacing::checked([z?, across[0], across[1]])
}

/// The voxel size that a document with one image states.
pub(super) fn stated_spacing(path: &Path, text: &str) -> Option<Spacing> {
    let document = Document::read(text).ok()?;
    spacing(path, document.images.first().filter(|_| document.images.len() == 1)?)
}

/// Where the planes of an image are.
struct Layout<'a> {
    image: &'a Image,
    /// Planes, channels (of pages) and time points.
    sizes: [usize; 3],
}

impl Layout<'_> {
    /// The place of plane (z, channel, time) in the order of the document.
    fn place(&self, at: [usize; 3]) -> usize {
        self.image.order.iter().rev().fold(0, |place, &axis| place * self.sizes[axis] + at[axis])
    }

    /// The page of each plane, by its place in the document's order. Without a TiffData element, or with empty ones, the
    /// pages have that order.
    fn pages(&self, pages: &Pages, path: &Path, document: &Document) -> Result<Vec<Option<usize>>> {
        let count = self.sizes.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
        let count = count.filter(|&count| count <= pages.file.bytes.len()).ok_or_else(|| {
            let found = format!("{:?} planes, channels and time points in its OME metadata", self.sizes);
            Error::format(path, found, "as many as the file can hold")
        })?;
        if self.image.data.iter().all(TiffData::is_empty) {
            series::require_planes(pages, count, FLAVOUR)?;
            return Ok((0..count).map(Some).collect());
        }
        self.require_one_file(path, document)?;
        let mut order = vec![None; count];
        for data in &self.image.data {
            self.enter(pages, path, data, &mut order)?;
        }
        Ok(order)
    }

    /// Enters the pages that one TiffData element names.
    fn enter(&self, pages: &Pages, path: &Path, data: &TiffData, order: &mut [Option<usize>]) -> Result<()> {
        let first = data.first;
        if (0..3).any(|axis| first[axis] >= self.sizes[axis]) {
            return Err(missing(path, first));
        }
        let first = self.place(first);
        // A page without a count stands for itself; a count without a page begins at the first one.
        let count = data.count.unwrap_or(if data.page.is_some() { 1 } else { order.len() - first });
        for k in 0..count {
            let (index, place) = (data.page.unwrap_or(0).saturating_add(k), first.saturating_add(k));
            let page = page_number(pages, path, index)?;
            match order.get_mut(place) {
                Some(entry) if entry.is_none() => *entry = Some(page),
                Some(_) => {
                    let found = format!("two pages for plane {place} in its OME metadata");
                    return Err(Error::format(path, found, "a page for each plane"));
                }
                None => {
                    let left = order.len() - first;
                    let found = format!("a TiffData element for {count} planes where {left} are left");
                    return Err(Error::format(path, found, "OME metadata that fit the image"));
                }
            }
        }
        Ok(())
    }

    /// An error where planes lie in other files. A file that was renamed is known by its number, or by being the only one.
    fn require_one_file(&self, path: &Path, document: &Document) -> Result<()> {
        let own = path.file_name().and_then(|name| name.to_str());
        let is_own = |data: &&TiffData| {
            (data.file.as_deref() == own) || (data.uuid.is_some() && data.uuid == document.uuid)
        };
        let files = || self.image.data.iter().filter(|data| data.file.is_some() || data.uuid.is_some());
        let first = files().next();
        if files().all(|data| is_own(&data))
            || files().all(|data| first.is_some_and(|first| first.is_beside(data)))
        {
            return Ok(());
        }
        let other = files().find(|data| !is_own(data)).and_then(|data| data.file.clone()).unwrap_or_default();
        let found = format!("planes that lie in other files, such as {other:?}, in its OME metadata");
        Err(Error::format(path, found, "all planes in one file: save the stack as one OME-TIFF"))
    }
}

/// The place among the pages at full resolution of the page that the metadata count as `index`.
fn page_number(pages: &Pages, path: &Path, index: usize) -> Result<usize> {
    let page = pages.list.binary_search_by_key(&index, |page| page.index).ok();
    let follows = pages.one_stands_for_all().then_some(index);
    page.or(follows).ok_or_else(|| {
        let expected =
            format!("page {}, as its OME metadata say; was it cut short?", index.saturating_add(1));
        Error::format(path, format!("{} planes", pages.list.len()), expected)
    })
}

//! TIFF: a chain of pages, each one plane of the stack. What the axes and the voxel size are stands in the text of the
//! first page, in ImageJ's, OME's or tifffile's way. Uncompressed strips stay in the mapped file.
mod decode;
mod directory;
mod imagej;
mod numbers;
mod ome;
mod ome_xml;
mod page;
mod series;
mod shaped;
mod write;

use std::path::Path;

use super::Selection;
use super::mapped::Mapped;
use crate::error::{Error, Result};
use crate::volume::{Origin, Shape, Store, Volume};
use page::{Page, Pages};
use series::{Plane, Stack};
pub(super) use write::TiffWriter;

/// Opens a TIFF stack; the voxels of an uncompressed one stay in the file.
pub(super) fn open(path: &Path, selection: &Selection) -> Result<Volume> {
    open_as(path, selection, series::interpret)
}

/// Opens a file with a single plane, as a volume of one plane.
pub(super) fn open_plane(path: &Path, selection: &Selection) -> Result<Volume> {
    open_as(path, selection, series::single_plane)
}

/// Whether a file is a TIFF with a single plane, whatever its metadata say of others.
pub(super) fn is_single_plane(path: &Path) -> bool {
    let Ok(map) = Mapped::open(path) else { return false };
    Pages::read(path, map.as_ref()).is_ok_and(|pages| series::is_single_plane(&pages))
}

fn open_as(
    path: &Path,
    selection: &Selection,
    interpret: fn(&Pages, &Selection) -> Result<Stack>,
) -> Result<Volume> {
    let map = Mapped::open(path)?;
    let pages = Pages::read(path, map.as_ref())?;
    let stack = interpret(&pages, selection)?;
    let first = &pages.list[0];
    let shape = shape_of(&pages, &stack.planes)?;
    let (store, mapped) = match mapped_runs(&pages, &stack.planes, shape)? {
        Some((runs, rows_per_run)) => {
            let swapped = crate::io::is_foreign(pages.file.big_endian);
            (Store { bytes: Box::new(map.clone()), runs, rows_per_run, swapped }, true)
        }
        None => (decode::all(&pages, &stack.planes, shape)?, false),
    };
    let format = format!("{}{}", stack.flavour, if pages.file.big { " (BigTIFF)" } else { "" });
    let origin = Origin::file(path, format, first.coding.compression.to_string(), mapped);
    Ok(Volume { shape, dtype: first.coding.dtype, spacing: stack.spacing, origin, store })
}

/// The page of a plane; the first one where it stands for all.
fn page_of<'a>(pages: &'a Pages, plane: &Plane) -> &'a Page {
    pages.list.get(plane.page).unwrap_or(&pages.list[0])
}

/// The extent of the stack, after a check that all its planes are alike.
fn shape_of(pages: &Pages, planes: &[Plane]) -> Result<Shape> {
    let (path, first) = (pages.file.path, &pages.list[0]);
    let mut used = planes.iter().map(|plane| page_of(pages, plane));
    if let Some(other) = used.find(|page| !page.is_like(first)) {
        let found =
            format!("page {} of {}, page 1 of {}", other.index + 1, other.describe(), first.describe());
        return Err(Error::format(path, found, "planes of one size and type"));
    }
    super::check_shape(
        path,
        &[planes.len() as u64, first.height as u64, first.width as u64],
        first.coding.dtype,
    )
}

/// Where the rows of an uncompressed stack lie in the file, if they can be read from there: the first byte of each run,
/// and how many rows a run has.
fn mapped_runs(pages: &Pages, planes: &[Plane], shape: Shape) -> Result<Option<(Vec<usize>, usize)>> {
    let mut used = planes.iter().map(|plane| page_of(pages, plane));
    if !used.all(Page::is_plain) {
        return Ok(None);
    }
    let row_bytes = shape[2] * pages.list[0].coding.dtype.size();
    let stands_for_all = planes.iter().any(|plane| plane.page >= pages.list.len());
    let starts: Option<Vec<usize>> =
        planes.iter().map(|plane| page_of(pages, plane).contiguous_start(plane.sample)).collect();
    let found = match starts {
        Some(starts) if stands_for_all => {
            Some((planes_after(pages, planes, starts[0], shape, row_bytes)?, shape[1]))
        }
        Some(starts) => Some((starts, shape[1])),
        None if stands_for_all => {
            let found = "a single page, in strips with gaps, for all planes";
            return Err(Error::format(pages.file.path, found, "planes that follow each other"));
        }
        None => strips(pages, planes),
    };
    let Some((runs, rows)) = found else { return Ok(None) };
    within_file(pages, &runs, rows, shape, row_bytes)?;
    Ok(Some((runs, rows)))
}

/// The strips of all planes, and how many rows each has, where that is one number.
fn strips(pages: &Pages, planes: &[Plane]) -> Option<(Vec<usize>, usize)> {
    let rows = pages.list[0].chunks.shape[0];
    let strips = planes.iter().flat_map(|plane| page_of(pages, plane).strips(plane.sample));
    pages.list.iter().all(|page| page.chunks.shape[0] == rows).then(|| (strips.copied().collect(), rows))
}

/// Where the planes begin that follow each other from byte `start` on, all described by one page.
fn planes_after(
    pages: &Pages,
    planes: &[Plane],
    start: usize,
    shape: Shape,
    row_bytes: usize,
) -> Result<Vec<usize>> {
    let (path, len) = (pages.file.path, pages.file.bytes.len());
    let plane_bytes = shape[1] * row_bytes;
    let last = planes.iter().map(|plane| plane.page).max().unwrap_or(0);
    if len.saturating_sub(start) / plane_bytes <= last {
        let found = format!("{} bytes of voxels", len.saturating_sub(start));
        let expected = format!("{} planes of {plane_bytes} bytes; was it cut short?", last + 1);
        return Err(Error::format(path, found, expected));
    }
    Ok(planes.iter().map(|plane| start + plane.page * plane_bytes).collect())
}

/// An error where a run of rows would reach beyond the end of the file.
fn within_file(pages: &Pages, runs: &[usize], rows: usize, shape: Shape, row_bytes: usize) -> Result<()> {
    let len = pages.file.bytes.len();
    let per_plane = shape[1].div_ceil(rows);
    for (number, &start) in runs.iter().enumerate() {
        let rows_here = rows.min(shape[1] - number % per_plane * rows);
        let end = start.checked_add(rows_here * row_bytes);
        if end.is_none_or(|end| end > len) {
            let plane = number / per_plane + 1;
            let found = format!("a file of {len} bytes that ends before plane {plane} of {} does", shape[0]);
            return Err(Error::format(pages.file.path, found, "a complete file; was it cut short?"));
        }
    }
    Ok(())
}

//! TIFF: a chain of pages, each one plane of the stack. What the axes and the voxel size are stands in the text of the
//! first page, in ImageJ's, OME's or tifffile's way. Uncompressed strips stay in the mapped file.
mod decode;
mod imagej;
mod meta;
mod ome;
mod page;
mod write;

use std::path::Path;

use super::Selection;
use super::mapped::Mapped;
use crate::error::{Error, Result};
use crate::volume::{Origin, Shape, Spacing, Store, Volume};
use page::Pages;
pub(super) use write::TiffWriter;

/// What the metadata of a stack say.
struct Stack {
    /// Number of planes along z.
    planes: usize,
    spacing: Option<Spacing>,
    flavour: &'static str,
}

/// Opens a TIFF stack; the voxels of an uncompressed one stay in the file.
pub(super) fn open(path: &Path, _selection: &Selection) -> Result<Volume> {
    let map = Mapped::open(path)?;
    let pages = Pages::read(path, map.as_ref())?;
    let first = &pages.list[0];
    let stack = meta::interpret(path, &pages)?;
    let shape = shape_of(path, &pages, stack.planes)?;
    let dtype = first.dtype;
    let origin = Origin {
        path: path.to_owned(),
        dataset: None,
        format: format!("{}{}", stack.flavour, if pages.big { " (BigTIFF)" } else { "" }),
        compression: first.compression.to_string(),
        mapped: false,
    };
    let (store, mapped) = match mapped_runs(path, &map, &pages, shape)? {
        Some((runs, rows_per_run)) => {
            (Store { bytes: Box::new(map), runs, rows_per_run, swapped: pages.swapped }, true)
        }
        None => (decode::all(path, map.as_ref(), &pages, shape)?, false),
    };
    Ok(Volume { shape, dtype, spacing: stack.spacing, origin: Origin { mapped, ..origin }, store })
}

/// The extent of the stack, after a check that all its planes are alike.
fn shape_of(path: &Path, pages: &Pages, planes: usize) -> Result<Shape> {
    let first = &pages.list[0];
    if let Some((number, other)) = pages.list.iter().enumerate().find(|(_, page)| !page.is_like(first)) {
        let found = format!("page {} of {}, page 1 of {}", number + 1, other.describe(), first.describe());
        return Err(Error::format(path, found, "planes of one size and type"));
    }
    super::check_shape(path, &[planes as u64, first.height as u64, first.width as u64], first.dtype)
}

/// Where the rows of an uncompressed stack lie in the file, if they can be read from there.
fn mapped_runs(
    path: &Path,
    map: &Mapped,
    pages: &Pages,
    shape: Shape,
) -> Result<Option<(Vec<usize>, usize)>> {
    let first = &pages.list[0];
    if !pages.list.iter().all(|page| page.is_plain()) {
        return Ok(None);
    }
    let row_bytes = shape[2] * first.dtype.size();
    let starts: Option<Vec<usize>> = pages.list.iter().map(|page| page.contiguous_start(row_bytes)).collect();
    let len = map.as_ref().len();
    let (runs, rows) = match starts {
        Some(starts) if starts.len() == shape[0] => (starts, shape[1]),
        Some(starts) => (planes_after(path, starts[0], len, shape, row_bytes)?, shape[1]),
        None if pages.list.iter().all(|page| page.rows_per_strip == first.rows_per_strip) => {
            (pages.list.iter().flat_map(|page| page.strips.iter().copied()).collect(), first.rows_per_strip)
        }
        None => return Ok(None),
    };
    within_file(path, len, &runs, rows, shape, row_bytes)?;
    Ok(Some((runs, rows)))
}

/// Where the planes begin that follow each other from byte `start` on, all described by one page.
fn planes_after(path: &Path, start: usize, len: usize, shape: Shape, row_bytes: usize) -> Result<Vec<usize>> {
    let plane_bytes = shape[1] * row_bytes;
    if len.saturating_sub(start) / plane_bytes < shape[0] {
        let found = format!("{} bytes of voxels", len.saturating_sub(start));
        let expected = format!("{} planes of {plane_bytes} bytes; was it cut short?", shape[0]);
        return Err(Error::format(path, found, expected));
    }
    Ok((0..shape[0]).map(|z| start + z * plane_bytes).collect())
}

/// An error where a run of rows would reach beyond the end of the file.
fn within_file(
    path: &Path,
    len: usize,
    runs: &[usize],
    rows: usize,
    shape: Shape,
    row_bytes: usize,
) -> Result<()> {
    let per_plane = shape[1].div_ceil(rows);
    for (number, &start) in runs.iter().enumerate() {
        let rows_here = rows.min(shape[1] - number % per_plane * rows);
        let end = start.checked_add(rows_here * row_bytes);
        if end.is_none_or(|end| end > len) {
            let plane = number / per_plane + 1;
            let found = format!("a file of {len} bytes that ends before plane {plane} of {} does", shape[0]);
            return Err(Error::format(path, found, "a complete file; was it cut short?"));
        }
    }
    Ok(())
}

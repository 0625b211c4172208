//! Compressed or tiled pages, decoded into memory in parallel.
use std::path::Path;

use ::tiff::TiffError;
use rayon::prelude::*;

use super::page::{Page, Pages, broken, decoder};
use crate::error::{Error, Result};
use crate::volume::{Shape, Store, owned_bytes};

/// Decodes all pages; the bytes of the result are in this machine's order.
pub(super) fn all(path: &Path, file: &[u8], pages: &Pages, shape: Shape) -> Result<Store> {
    let dtype = pages.list[0].dtype;
    if pages.list.len() != shape[0] {
        let found = format!("{} pages for {} planes", pages.list.len(), shape[0]);
        return Err(Error::format(path, found, "a page for each plane of a compressed or tiled stack"));
    }
    let wanted = crate::io::plausible(path, file.len(), shape, dtype)?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(wanted).map_err(|_| {
        Error::format(
            path,
            format!("{shape:?} voxels of {dtype}"),
            "a volume that fits into memory, or no compression",
        )
    })?;
    bytes.resize(wanted, 0u8);
    // A page is found by following the chain of pages, so each task takes a run of them.
    let run = shape[0].div_ceil(4 * rayon::current_num_threads());
    let plane_bytes = wanted / shape[0];
    let tasks = bytes.par_chunks_mut(plane_bytes * run).zip(pages.list.par_chunks(run));
    let failures: Vec<_> =
        tasks.filter_map(|(planes, pages)| run_of_pages(file, pages, planes, plane_bytes).err()).collect();
    match failures.into_iter().next() {
        Some((page, e)) => Err(named(path, page, &e)),
        None => Ok(Store::contiguous(owned_bytes(bytes), 0, shape, dtype, false)),
    }
}

fn named(path: &Path, page: usize, error: &TiffError) -> Error {
    match broken(path, error) {
        Error::Format { path, found, expected } => {
            Error::Format { path, found: format!("{found}, page {}", page + 1), expected }
        }
        other => other,
    }
}

fn run_of_pages(
    file: &[u8],
    pages: &[Page],
    planes: &mut [u8],
    plane_bytes: usize,
) -> Result<(), (usize, TiffError)> {
    let mut decoder = decoder(file).map_err(|e| (pages[0].index, e))?;
    for (page, plane) in pages.iter().zip(planes.chunks_exact_mut(plane_bytes)) {
        let decoded = decoder.seek_to_image(page.index).and_then(|()| decoder.read_image_bytes(plane));
        decoded.map_err(|e| (page.index, e))?;
        if page.white_is_zero {
            // The decoder turned the numbers round to make 0 black; they are wanted as they were measured.
            plane.iter_mut().for_each(|byte| *byte = !*byte);
        }
    }
    Ok(())
}

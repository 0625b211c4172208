//! Pages that cannot be read where they lie: their strips or tiles are decompressed and put together in memory, planes in
//! parallel. The numbers are those that libtiff gives: predictors are undone, nothing is inverted or looked up.
use std::io::Read;

use flate2::bufread::ZlibDecoder;
use rayon::prelude::*;
use weezl::{BitOrder, LzwStatus};

use super::directory::File;
use super::numbers::{self, Chunk};
use super::page::{Compression, Page, Pages};
use super::series::Plane;
use crate::error::{Error, Result};
use crate::io::MOST_SHRUNK;
use crate::volume::{Shape, Store, owned_bytes};

/// Decodes all planes of a stack; the bytes of the result are in this machine's order.
pub(super) fn all(pages: &Pages, planes: &[Plane], shape: Shape) -> Result<Store> {
    let file = pages.file;
    let dtype = pages.list[planes[0].page].coding.dtype;
    let mut bytes = crate::io::room(file.path, file.bytes.len(), shape, dtype)?;
    let plane_bytes = shape[1] * shape[2] * dtype.size();
    bytes.par_chunks_exact_mut(plane_bytes).zip(planes).try_for_each(|(target, plane)| {
        let page = &pages.list[plane.page];
        decode_plane(&file, page, plane.sample, target).map_err(|found| {
            let found = format!("page {} that cannot be decoded ({found})", page.index + 1);
            Error::format(file.path, found, "an intact TIFF stack; was it cut short?")
        })
    })?;
    Ok(Store::contiguous(owned_bytes(bytes), 0, shape, dtype, false))
}

/// Decodes one sample of a page into `target`, rows of numbers in this machine's order, that holds zeros.
fn decode_plane(file: &File, page: &Page, sample: usize, target: &mut [u8]) -> Result<(), String> {
    let chunks = &page.chunks;
    let [rows, columns] = chunks.shape;
    let count = chunks.across([page.height, page.width]);
    let (first, samples, at) = match chunks.planar {
        true => (sample * count, 1, 0),
        false => (0, page.samples, sample),
    };
    let across = page.width.div_ceil(columns);
    let mut buffer = Vec::new();
    for k in 0..count {
        let [top, left] = [k / across * rows, k % across * columns];
        let rows_here = if chunks.tiled { rows } else { rows.min(page.height - top) };
        let chunk =
            Chunk { rows: rows_here, columns, samples, coding: page.coding, big_endian: file.big_endian };
        if unpack(file, page, first + k, chunk, &mut buffer)? {
            numbers::undo_predictor(chunk, &mut buffer);
            numbers::place(chunk, at, &buffer, [top, left], [page.height, page.width], target);
        }
    }
    Ok(())
}

/// Decompresses chunk number `index` of a page into `buffer`; false where it was left out, which means zeros.
fn unpack(
    file: &File,
    page: &Page,
    index: usize,
    chunk: Chunk,
    buffer: &mut Vec<u8>,
) -> Result<bool, String> {
    let wanted = chunk.bytes().ok_or("a strip or tile of impossible size")?;
    let Some(bytes) = packed(file, page, index, wanted)? else { return Ok(false) };
    buffer.clear();
    buffer.resize(wanted, 0);
    match page.coding.reversed_bits {
        false => decompress(page.coding.compression, bytes, buffer)?,
        true => {
            let turned: Vec<u8> = bytes.iter().map(|byte| byte.reverse_bits()).collect();
            decompress(page.coding.compression, &turned, buffer)?;
        }
    }
    Ok(true)
}

/// The bytes of chunk number `index` of a page as they lie in the file, from which `wanted` will come; `None` where it was
/// left out.
fn packed<'a>(file: &File<'a>, page: &Page, index: usize, wanted: usize) -> Result<Option<&'a [u8]>, String> {
    let offset = page.chunks.offsets[index];
    let stated = page.chunks.lengths.get(index).copied().filter(|&bytes| bytes > 0);
    if offset == 0 && stated.is_none() {
        return Ok(None);
    }
    let length = match (stated, page.coding.compression) {
        (_, Compression::None) => wanted,
        (Some(bytes), _) => bytes,
        (None, _) => return Err("a compressed strip or tile of unknown length".into()),
    };
    if wanted / MOST_SHRUNK > length {
        return Err(format!("a strip or tile of {length} bytes that claims {wanted}"));
    }
    let end = offset.checked_add(length).filter(|&end| end <= file.bytes.len());
    Ok(Some(&file.bytes[offset..end.ok_or("a strip or tile beyond the end of the file")?]))
}

/// Fills `target`; an error where there is too little, or where the bytes are of no such kind.
fn decompress(compression: Compression, bytes: &[u8], target: &mut [u8]) -> Result<(), String> {
    match compression {
        Compression::None => target.copy_from_slice(bytes),
        Compression::Deflate => {
            ZlibDecoder::new(bytes).read_exact(target).map_err(|e| format!("deflate: {e}"))?
        }
        Compression::Lzw => lzw(bytes, target)?,
        Compression::Packbits => packbits(bytes, target).ok_or("PackBits: too few bytes")?,
    }
    Ok(())
}

fn lzw(mut bytes: &[u8], target: &mut [u8]) -> Result<(), String> {
    // Before 1995 some programs wrote the bits of codes the other way round.
    if bytes.first() == Some(&0) && bytes.get(1).is_some_and(|byte| byte & 1 == 1) {
        return Err("LZW of the old kind, with the lowest bit first".into());
    }
    let mut decoder = weezl::decode::Decoder::with_tiff_size_switch(BitOrder::Msb, 8);
    let mut filled = 0;
    while filled < target.len() {
        let step = decoder.decode_bytes(bytes, &mut target[filled..]);
        (bytes, filled) = (&bytes[step.consumed_in..], filled + step.consumed_out);
        match step.status.map_err(|e| format!("LZW: {e}"))? {
            LzwStatus::Ok => {}
            LzwStatus::NoProgress | LzwStatus::Done if filled < target.len() => {
                return Err("LZW: too few bytes".into());
            }
            _ => {}
        }
    }
    Ok(())
}

/// Runs of bytes: `n` from 0 to 127 announces `n + 1` bytes as they are, from 129 on the next byte `257 - n` times
/// (TIFF 6.0, section 9).
fn packbits(mut bytes: &[u8], target: &mut [u8]) -> Option<()> {
    let mut filled = 0;
    while filled < target.len() {
        let (&head, rest) = bytes.split_first()?;
        let room = target.len() - filled;
        match head {
            0..=127 => {
                let run = usize::from(head) + 1;
                let copied = run.min(room);
                target[filled..filled + copied].copy_from_slice(rest.get(..copied)?);
                (bytes, filled) = (rest.get(run..).unwrap_or_default(), filled + copied);
            }
            128 => bytes = rest,
            129..=255 => {
                let run = (257 - usize::from(head)).min(room);
                target[filled..filled + run].fill(*rest.first()?);
                (bytes, filled) = (&rest[1..], filled + run);
            }
        }
    }
    Some(())
}

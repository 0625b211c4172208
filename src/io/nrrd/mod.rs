//! NRRD ("nearly raw raster data"): `.nrrd` with the voxels behind the header, `.nhdr` with the voxels in a file of
//! their own. The first axis is the fastest; channels and time may be any axis that `kinds` names. Uncompressed voxels
//! stay in the mapped file.
mod axes;
mod header;

use std::io::{self, Read, Write};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use super::Selection;
use super::bulk::{self, Bulk};
use super::mapped::Mapped;
use super::raster::Raster;
use crate::error::Result;
use crate::volume::{Dtype, Origin, Shape, Spacing, Store, Volume};
use header::Header;

/// Opens an NRRD file; uncompressed voxels stay in the file.
pub(super) fn open(path: &Path, selection: &Selection) -> Result<Volume> {
    let map = Mapped::open(path)?;
    let header = Header::read(path, map.as_ref())?;
    let axes = axes::axes(&header)?;
    let dtype = header.number_type()?;
    let gzip = header.is_gzip()?;
    let raster = Raster::choose(path, &axes, dtype, header.swapped(dtype)?, selection)?;
    let spacing = axes::spacing(path, &header, &axes)?;
    let (bulk, start) = bulk(path, &header, map)?;
    let start = after_lines(&header, &bulk, start)?;
    let (store, mapped) = match gzip {
        true => (decode(&header, &bulk, start, &raster, dtype)?, false),
        false => plain(&header, bulk, start, &raster)?,
    };
    let origin = Origin::file(path, "NRRD", if gzip { "gzip" } else { "none" }, mapped);
    Ok(Volume { shape: raster.shape, dtype, spacing, origin, store })
}

/// The file with the voxels, and the byte from which skips count.
fn bulk(path: &Path, header: &Header, map: Mapped) -> Result<(Bulk, usize)> {
    match (header.data_file()?, header.end) {
        (Some(name), _) => Ok((Bulk::beside(path, name)?, 0)),
        (None, Some(end)) => Ok((Bulk::same(path, map), end)),
        (None, None) => {
            let expected = "an empty line and the voxels behind it, or a data file; was it cut short?";
            Err(header.wrong("a header without voxels", expected))
        }
    }
}

/// The byte behind the lines that are to be skipped.
fn after_lines(header: &Header, bulk: &Bulk, start: usize) -> Result<usize> {
    let count = header.number("line skip")?;
    if count == 0 {
        return Ok(start);
    }
    let mut lines = bulk::lines(bulk.bytes().get(start..).unwrap_or_default());
    let last = usize::try_from(count).ok().and_then(|count| lines.nth(count - 1));
    match last {
        Some((_, end)) => Ok(start + end),
        None => Err(bulk.wrong(format!("line skip: {count}"), "at most the number of its lines")),
    }
}

fn plain(header: &Header, bulk: Bulk, start: usize, raster: &Raster) -> Result<(Store, bool)> {
    let start = match skipped(header)? {
        Some(skip) => start.saturating_add(skip),
        None => bulk.last(raster.len())?,
    };
    bulk.plain(raster, start)
}

/// The bytes to skip before the voxels; `None` where these are the last bytes.
fn skipped(header: &Header) -> Result<Option<usize>> {
    let skip = header.number("byte skip")?;
    match usize::try_from(skip) {
        Ok(skip) => Ok(Some(skip)),
        Err(_) if skip == -1 => Ok(None),
        Err(_) => Err(header.wrong(format!("byte skip: {skip}"), "a number of bytes, or -1")),
    }
}

/// Decompresses the voxels; bytes are skipped among the decompressed ones, as in teem.
fn decode(header: &Header, bulk: &Bulk, start: usize, raster: &Raster, dtype: Dtype) -> Result<Store> {
    let Some(skip) = skipped(header)? else {
        return Err(header.wrong("byte skip: -1 with gzip", "the number of bytes before the voxels"));
    };
    let compressed = bulk.bytes().get(start..).unwrap_or_default();
    let mut decoder = MultiGzDecoder::new(compressed);
    let before = io::copy(&mut decoder.by_ref().take(skip as u64), &mut io::sink());
    before.map_err(|error| bulk.broken(&error))?;
    bulk.decoded(raster, dtype, compressed.len(), &mut decoder)
}

/// Writes the text before the voxels, which are in this machine's byte order.
pub(super) fn write_header(
    mut out: impl Write,
    [z, y, x]: Shape,
    dtype: Dtype,
    spacing: Option<Spacing>,
) -> io::Result<()> {
    let kind = match dtype {
        Dtype::F32 => "float",
        Dtype::F64 => "double",
        Dtype::U8 | Dtype::U16 | Dtype::U32 | Dtype::U64 => &format!("uint{}", 8 * dtype.size()),
        Dtype::I8 | Dtype::I16 | Dtype::I32 | Dtype::I64 => &format!("int{}", 8 * dtype.size()),
    };
    let endian = if cfg!(target_endian = "little") { "little" } else { "big" };
    writeln!(out, "NRRD0004\ntype: {kind}\ndimension: 3\nsizes: {x} {y} {z}\nkinds: domain domain domain")?;
    if let Some(Spacing([z, y, x])) = spacing {
        writeln!(out, "spacings: {x} {y} {z}\nunits: \"um\" \"um\" \"um\"")?;
    }
    writeln!(out, "endian: {endian}\nencoding: raw\n")
}

//! MetaImage, the format of ITK: `.mha` with the voxels behind the header, `.mhd` with the voxels in a file of their own.
//! Extents and voxel size stand in the order x, y, z, then time; channels are interleaved. Uncompressed voxels stay in the
//! mapped file. A matrix that turns or flips the volume leaves the order of its voxels alone, as in ITK.
mod header;

use std::io::Write;
use std::path::Path;

use flate2::bufread::ZlibDecoder;

use super::bulk::Bulk;
use super::mapped::Mapped;
use super::raster::{Axis, Kind, Raster};
use super::{Selection, unit, unstated};
use crate::error::Result;
use crate::io::is_foreign;
use crate::volume::{Dtype, Origin, Shape, Spacing, Store, Volume};
use header::Header;

/// Opens a MetaImage; uncompressed voxels stay in the file.
pub(super) fn open(path: &Path, selection: &Selection) -> Result<Volume> {
    let map = Mapped::open(path)?;
    let header = Header::read(path, map.as_ref())?;
    refuse_other_kinds(&header)?;
    let axes = axes(&header)?;
    let dtype = header.number_type()?;
    let swapped = is_foreign(header.big_endian()?);
    let raster = Raster::choose(path, &axes, dtype, swapped, selection)?;
    let spacing = spacing(path, &header)?;
    let compressed = header.flag("CompressedData")?;
    let (store, mapped) = match compressed {
        true => (decode(&header, bulk(path, &header, map)?, &raster, dtype)?, false),
        false => plain(&header, bulk(path, &header, map)?, &raster)?,
    };
    let origin = Origin::file(path, "MetaImage", if compressed { "zlib" } else { "none" }, mapped);
    Ok(Volume { shape: raster.shape, dtype, spacing, origin, store })
}

/// An error where the file holds no image, or numbers as text.
fn refuse_other_kinds(header: &Header) -> Result<()> {
    if let Some(kind) = header.get("ObjectType").filter(|kind| !kind.eq_ignore_ascii_case("Image")) {
        return Err(header.wrong(format!("ObjectType = {kind}"), "an image"));
    }
    if header.get("BinaryData").is_some() && !header.flag("BinaryData")? {
        return Err(header.wrong("voxels as text (BinaryData = False)", "binary voxels: save them with ITK"));
    }
    Ok(())
}

/// The axes of the numbers, fastest first: channels, x, y, z, time.
fn axes(header: &Header) -> Result<Vec<Axis>> {
    let extents = header.extents()?;
    let channels = header.number("ElementNumberOfChannels")?.unwrap_or(1);
    if channels < 1 {
        return Err(header.wrong(format!("ElementNumberOfChannels = {channels}"), "at least one channel"));
    }
    let kinds = [Kind::Space, Kind::Space, Kind::Space, Kind::Time];
    if extents.len() > kinds.len() {
        let found = format!("an image of {} dimensions", extents.len());
        return Err(header.wrong(found, "three, x, y, z, or four with time"));
    }
    let channels = Axis { extent: channels as u64, kind: Kind::Channel };
    let others = extents.iter().zip(kinds).map(|(&extent, kind)| Axis { extent, kind });
    Ok(std::iter::once(channels).chain(others).collect())
}

/// The voxel size in the unit that the header states, which few do.
fn spacing(path: &Path, header: &Header) -> Result<Option<Spacing>> {
    let Some(edges) = header.edges(header.extents()?.len())? else { return Ok(None) };
    let [x, y, z, ..] = edges[..] else { return Ok(None) };
    let stated = header.get("DistanceUnits").and_then(unit::micrometres);
    Ok(match stated {
        Some(unit) => Spacing::checked([z, y, x].map(|edge| edge * unit)),
        None => unstated::spacing(path, [z, y, x]),
    })
}

/// The file with the voxels.
fn bulk(path: &Path, header: &Header, map: Mapped) -> Result<Bulk> {
    let name = header.data_file()?;
    let several = name.split_whitespace().next().is_some_and(|word| word.eq_ignore_ascii_case("LIST"));
    if several || name.contains('%') {
        let found = format!("voxels in several files (ElementDataFile = {name})");
        return Err(header.wrong(found, "one file: save the volume as .mha, with ITK or SimpleITK"));
    }
    match name.eq_ignore_ascii_case("LOCAL") {
        true => Ok(Bulk::same(path, map)),
        false => Bulk::beside(path, name),
    }
}

/// Whether the voxels are behind the header in its own file.
fn is_local(header: &Header) -> bool {
    header.data_file().is_ok_and(|name| name.eq_ignore_ascii_case("LOCAL"))
}

/// The byte at which the voxels begin: behind the header or, where a size is stated, at this byte of the file; `None` where
/// they are the last bytes.
fn start(header: &Header) -> Result<Option<usize>> {
    let size = header.number("HeaderSize")?.unwrap_or(0);
    match size {
        -1 => Ok(None),
        0 if is_local(header) => Ok(Some(header.end)),
        _ => match usize::try_from(size) {
            Ok(start) => Ok(Some(start)),
            Err(_) => Err(header.wrong(format!("HeaderSize = {size}"), "a number of bytes, or -1")),
        },
    }
}

fn plain(header: &Header, bulk: Bulk, raster: &Raster) -> Result<(Store, bool)> {
    let start = match start(header)? {
        Some(start) => start,
        None => bulk.last(raster.len())?,
    };
    bulk.plain(raster, start)
}

fn decode(header: &Header, bulk: Bulk, raster: &Raster, dtype: Dtype) -> Result<Store> {
    let Some(start) = start(header)? else {
        return Err(
            header.wrong("HeaderSize = -1 with CompressedData", "the number of bytes before the voxels")
        );
    };
    let there = bulk.bytes().get(start..).unwrap_or_default();
    let compressed = match header.number("CompressedDataSize")? {
        None => there,
        Some(size) => {
            let within = usize::try_from(size).ok().and_then(|size| there.get(..size));
            within.ok_or_else(|| {
                let expected = format!("{size}, as CompressedDataSize says; was it cut short?");
                bulk.wrong(format!("{} compressed bytes", there.len()), expected)
            })?
        }
    };
    let mut decoder = ZlibDecoder::new(compressed);
    let store = bulk.decoded(raster, dtype, compressed.len(), &mut decoder)?;
    match decoder.into_inner().len() {
        0 => Ok(store),
        more => {
            Err(bulk.wrong(format!("{more} bytes behind the compressed voxels"), "the end of the voxels"))
        }
    }
}

/// Writes the text before the voxels, which are in this machine's byte order.
pub(super) fn write_header(
    mut out: impl Write,
    [z, y, x]: Shape,
    dtype: Dtype,
    spacing: Option<Spacing>,
) -> std::io::Result<()> {
    let msb = if cfg!(target_endian = "big") { "True" } else { "False" };
    writeln!(out, "ObjectType = Image\nNDims = 3\nBinaryData = True")?;
    writeln!(out, "BinaryDataByteOrderMSB = {msb}\nCompressedData = False")?;
    if let Some(Spacing([z, y, x])) = spacing {
        writeln!(out, "DistanceUnits = um\nElementSpacing = {x} {y} {z}")?;
    }
    writeln!(out, "DimSize = {x} {y} {z}\nElementType = {}", header::type_name(dtype))?;
    writeln!(out, "ElementDataFile = LOCAL")
}

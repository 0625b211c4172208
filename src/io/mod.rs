//! Files in and out, one module per format.
pub mod aside;
mod axes;
mod bulk;
mod element;
mod hdf5;
mod mapped;
mod metaimage;
mod npy;
mod npz;
mod nrrd;
mod planes;
mod png;
mod raster;
mod selection;
mod spec;
mod strided;
mod tiff;
mod unit;
mod unstated;
mod writer;

use std::path::{Path, PathBuf};

use ndarray::parallel::prelude::*;
use ndarray::{ArrayView3, Axis, Zip};

use crate::error::{Error, Result};
use crate::volume::{Dtype, Sample, Shape, Spacing, Volume};
use selection::Extra;
pub use selection::{Pick, Role, Selection};
use spec::{Format, Spec};
pub use writer::Writer;

/// Opens the volume that `spec` names: a path, or `file.h5:dataset`. Uncompressed voxels stay in the file until they are
/// read. Where the file has several channels or time points, `selection` says which one.
///
/// # Errors
/// The file is missing, cut short or of another kind, or is no single 3D volume of numbers.
pub fn open(spec: &Path, selection: impl Into<Selection>) -> Result<Volume> {
    let selection = &selection.into();
    let Spec { path, dataset, format } = Spec::parse(spec)?;
    match format {
        Format::Tiff => tiff::open(&path, selection),
        Format::Hdf5 => hdf5::open(&path, dataset.as_deref(), selection),
        Format::Npy => npy::open(&path, selection),
        Format::Npz => npz::open(&path, dataset.as_deref(), selection),
        Format::Planes => planes::open(&path, selection),
        Format::MetaImage => metaimage::open(&path, selection),
        Format::Nrrd => nrrd::open(&path, selection),
    }
}

/// Whether the ending of a file's name is that of a format which [`open`] reads.
pub fn is_volume(path: &Path) -> bool {
    Spec::parse(path).is_ok()
}

/// Whether a folder holds the single planes of one stack, which [`open`] reads as one volume.
pub fn is_stack_of_planes(folder: &Path) -> bool {
    planes::is_stack(folder)
}

/// The file that `spec` names, without its data set.
///
/// # Errors
/// The ending is that of no format.
pub fn file_of(spec: &Path) -> Result<PathBuf> {
    Ok(Spec::parse(spec)?.path)
}

/// Finds out before long work whether its result could be written to `output`; leaves nothing behind.
///
/// # Errors
/// Those of [`write()`] but for a full disk, and where `output` would replace `input`.
pub fn check_output(input: &Path, output: &Path) -> Result<()> {
    let spec = Spec::parse(output)?;
    spec.require_one_file()?;
    refuse_same_file(input, output)?;
    refuse_to_drop(&spec, spec.dataset.as_deref())?;
    aside::Aside::create(&spec.path).map(drop)
}

/// Whether a file of this name can hold the voxel size; `.npy` cannot.
pub fn keeps_spacing(path: &Path) -> bool {
    Spec::parse(path).is_ok_and(|spec| spec.format != Format::Npy)
}

/// What there is to [`open`]: the data sets that a file holds and that are one volume each, or the file itself. Where all
/// have several channels or time points, they are listed all the same.
///
/// # Errors
/// The file is missing or cannot be read.
pub fn volumes(spec: &Path) -> Result<Vec<PathBuf>> {
    let Spec { path, dataset, format } = Spec::parse(spec)?;
    let all = match (&dataset, format) {
        (None, Format::Hdf5) => hdf5::datasets(&path)?,
        (None, Format::Npz) => npz::datasets(&path)?,
        _ => return Ok(vec![spec.to_owned()]),
    };
    if all.is_empty() {
        return Err(Error::format(path, "no data set of three axes", "a 3D volume: z, y, x"));
    }
    let several = all.iter().all(|there| !there.single);
    let there = all.iter().filter(|there| there.single || several);
    Ok(there.map(|there| spec::place(&path, &there.name)).collect())
}

/// Writes voxels (z, y, x) in their type; the file appears only when it is complete. `path` may name a data set; it is
/// `raw` otherwise.
///
/// # Errors
/// The folder is missing or cannot be written, or the disk is full.
pub fn write<T: Sample>(path: &Path, voxels: ArrayView3<T>, spacing: Option<Spacing>) -> Result<()> {
    write_as(path, voxels, spacing, Role::Raw)
}

/// Labels that are made u16 at a time: 4 MiB of them.
const NARROWED: usize = 2 << 20;

/// Writes labels (z, y, x) as u16 while they fit and as u32 beyond; the file appears only when it is complete. `path` may
/// name a data set; it is `label` otherwise.
///
/// # Errors
/// The folder is missing or cannot be written, or the disk is full.
pub fn write_labels(path: &Path, labels: ArrayView3<u32>, spacing: Option<Spacing>) -> Result<()> {
    let greatest = labels.axis_iter(Axis(0)).into_par_iter().map(|plane| plane.iter().max().copied());
    if greatest.max().flatten() > Some(u16::MAX.into()) {
        return write_as(path, labels, spacing, Role::Labels);
    }
    let mut writer = Writer::create(path, labels.dim().into(), Dtype::U16, spacing, Role::Labels)?;
    let narrowed = |planes: ArrayView3<u32>| Zip::from(planes).par_map_collect(|&label| label as u16);
    let (_, rows, columns) = labels.dim();
    let mut chunks = labels.axis_chunks_iter(Axis(0), NARROWED.div_ceil((rows * columns).max(1)));
    let mut ahead = chunks.next().map(narrowed);
    while let Some(planes) = ahead {
        // One thread writes while the others are a chunk ahead.
        let written;
        (written, ahead) = rayon::join(|| writer.planes(planes.view()), || chunks.next().map(narrowed));
        written?;
    }
    writer.finish()
}

fn write_as<T: Sample>(
    path: &Path,
    voxels: ArrayView3<T>,
    spacing: Option<Spacing>,
    role: Role,
) -> Result<()> {
    let mut writer = Writer::create(path, voxels.dim().into(), T::DTYPE, spacing, role)?;
    writer.planes(voxels)?;
    writer.finish()
}

/// An error where a file to be written is there and holds other volumes than `name`, which would be lost. Without a name,
/// one volume is taken for an earlier result.
fn refuse_to_drop(spec: &Spec, name: Option<&str>) -> Result<()> {
    if spec.path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("ims")) {
        return Err(Error::format(
            &spec.path,
            "a name of an Imaris file",
            "another ending: these are not written",
        ));
    }
    // A file that cannot be read holds nothing to be kept.
    let there = match spec.format {
        Format::Hdf5 => hdf5::datasets(&spec.path).unwrap_or_default(),
        Format::Npz => npz::datasets(&spec.path).unwrap_or_default(),
        Format::Tiff | Format::Npy | Format::MetaImage | Format::Nrrd | Format::Planes => return Ok(()),
    };
    let lost = match name {
        Some(name) => there.iter().any(|volume| volume.name != name),
        None => there.len() > 1,
    };
    if !lost {
        return Ok(());
    }
    let found = format!("a file that holds {}", spec::listed(&there));
    let expected = "the name of a new file; this one would be replaced as a whole";
    Err(Error::format(&spec.path, found, expected))
}

/// An error where writing `output` would replace the file `input`, by whatever name. Both may name data sets.
fn refuse_same_file(input: &Path, output: &Path) -> Result<()> {
    let file = |spec: &Path| Spec::parse(spec).map_or_else(|_| spec.to_owned(), |spec| spec.path);
    let output_file = file(output);
    let replaces = match planes::is_planes(input) {
        true => planes::hold(input, &output_file),
        false => same_file::is_same_file(file(input), &output_file).unwrap_or(false),
    };
    match replaces {
        true => Err(Error::invalid(format!("{}: the output would replace the input", output.display()))),
        false => Ok(()),
    }
}

/// The extents that a file states, as a shape whose bytes this machine can count.
fn check_shape(path: &Path, extents: &[u64], dtype: Dtype) -> Result<Shape> {
    let [z, y, x] = extents[..] else {
        let found = format!("an array of {} axes, {extents:?}", extents.len());
        return Err(Error::format(path, found, "a 3D volume: z, y, x"));
    };
    if z == 0 || y == 0 || x == 0 {
        return Err(Error::format(
            path,
            format!("an empty volume, {z} x {y} x {x}"),
            "at least one voxel along each axis",
        ));
    }
    let bytes = [z, y, x].iter().try_fold(dtype.size() as u64, |bytes, &extent| bytes.checked_mul(extent));
    match bytes.is_some_and(|bytes| isize::try_from(bytes).is_ok()) {
        true => Ok([z, y, x].map(|extent| extent as usize)),
        false => Err(Error::format(
            path,
            format!("{z} x {y} x {x} voxels of {dtype}"),
            "a volume of possible size",
        )),
    }
}

/// No compression makes this many bytes of one.
const MOST_SHRUNK: usize = 4096;

/// Zeros for the voxels of a compressed volume.
///
/// # Errors
/// So many cannot come from a file of `len` bytes, or do not fit into memory.
fn room(path: &Path, len: usize, shape: Shape, dtype: Dtype) -> Result<Vec<u8>> {
    let wanted = plausible(path, len, shape, dtype)?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(wanted).map_err(|_| {
        let found = format!("{shape:?} voxels of {dtype}");
        Error::format(path, found, "a volume that fits into memory, or no compression")
    })?;
    bytes.resize(wanted, 0);
    Ok(bytes)
}

/// Text that is UTF-8 or, where it is none, Latin-1, as older programs write a micro sign.
fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|&byte| char::from(byte)).collect(),
    }
}

/// Whether numbers with their highest byte first, or last, are in another order than this machine's.
fn is_foreign(big_endian: bool) -> bool {
    big_endian != cfg!(target_endian = "big")
}

/// The bytes of a compressed volume, unless it cannot come from so short a file.
fn plausible(path: &Path, len: usize, shape: Shape, dtype: Dtype) -> Result<usize> {
    let wanted = shape.iter().product::<usize>() * dtype.size();
    if wanted / MOST_SHRUNK > len {
        let found = format!("a file of {len} bytes that claims {shape:?} voxels of {dtype}");
        return Err(Error::format(path, found, "as many voxels as its bytes can hold; was it cut short?"));
    }
    Ok(wanted)
}

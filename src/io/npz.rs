//! NumPy's `.npz`: a ZIP archive of `.npy` arrays, here `raw` or `label`, with the voxel size in `element_size_um` (z, y, x).
//! An array that is stored without compression stays in the mapped file.
use std::io::{Cursor, Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use zip::read::ZipFile;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::Selection;
use super::aside::Aside;
use super::axes::Axes;
use super::mapped::Mapped;
use super::npy::{self, Header};
use super::spec::{self, Candidate};
use crate::error::{Error, Result};
use crate::volume::{Bytes, Dtype, Origin, Shape, Spacing, Volume, owned_bytes};

/// The array that holds the voxel size in micrometres: z, y, x.
const SPACING: &str = "element_size_um";

type Archive<'a> = ZipArchive<Cursor<&'a [u8]>>;

/// Opens one array; `name` overrules what the role stands for.
pub(super) fn open(path: &Path, name: Option<&str>, selection: &Selection) -> Result<Volume> {
    let map = Mapped::open(path)?;
    let mut archive = archive(path, map.as_ref())?;
    let name = match name {
        Some(name) => name.to_owned(),
        None => spec::choose(path, &candidates(path, &mut archive), selection.role)?,
    };
    let Some(index) = archive.index_for_name(&format!("{name}.npy")) else {
        let there = spec::listed(&candidates(path, &mut archive));
        return Err(Error::format(path, format!("no array {name}"), format!("one of those there: {there}")));
    };
    let spacing = spacing(path, &mut archive);
    let entry = archive.by_index(index).map_err(|e| broken(path, &e))?;
    let compression = entry.compression();
    let (bytes, range) = contents(path, &map, entry)?;
    let volume = npy::volume(&spec::place(path, &name), bytes, range, selection)?;
    let origin = Origin {
        path: path.to_owned(),
        dataset: Some(name),
        format: "NPZ".into(),
        compression: format!("{compression}").to_lowercase(),
        mapped: volume.origin.mapped && compression == CompressionMethod::Stored,
    };
    Ok(Volume { spacing, origin, ..volume })
}

/// The arrays that may be volumes.
pub(super) fn datasets(path: &Path) -> Result<Vec<Candidate>> {
    Ok(candidates(path, &mut archive(path, Mapped::open(path)?.as_ref())?))
}

fn archive<'a>(path: &Path, bytes: &'a [u8]) -> Result<Archive<'a>> {
    ZipArchive::new(Cursor::new(bytes)).map_err(|e| broken(path, &e))
}

fn broken(path: &Path, error: &dyn std::error::Error) -> Error {
    let expected = "an intact NPZ file as numpy.savez or numpy.savez_compressed write it, without a password";
    Error::format(path, format!("an archive that cannot be read ({error})"), expected)
}

/// The bytes in which the array of an entry is a range: the mapped file where it is stored as it is, else the
/// decompressed entry.
fn contents(
    path: &Path,
    map: &Mapped,
    mut entry: ZipFile<'_, Cursor<&[u8]>>,
) -> Result<(Bytes, Range<usize>)> {
    let (start, length) = (entry.data_start(), entry.size());
    if entry.compression() == CompressionMethod::Stored
        && let Some(start) = start.and_then(|start| usize::try_from(start).ok())
    {
        let end = start.saturating_add(length as usize).min(map.as_ref().len());
        return Ok((Box::new(map.clone()), start.min(end)..end));
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).map_err(|e| broken(path, &e))?;
    let range = 0..bytes.len();
    Ok((owned_bytes(bytes), range))
}

/// The arrays that can be read and have the axes of a volume.
fn candidates(path: &Path, archive: &mut Archive) -> Vec<Candidate> {
    let names: Vec<String> = archive.file_names().flatten().map(|name| name.into_owned()).collect();
    let arrays = names.iter().filter_map(|name| name.strip_suffix(".npy"));
    arrays.filter_map(|name| candidate(path, archive, name)).collect()
}

fn candidate(path: &Path, archive: &mut Archive, name: &str) -> Option<Candidate> {
    let mut start = Vec::new();
    let entry = archive.by_name(&format!("{name}.npy")).ok()?;
    entry.take(npy::LONGEST as u64 + 12).read_to_end(&mut start).ok()?;
    let place = spec::place(path, name);
    let header = Header::read(&place, &start).ok()?;
    let axes = Axes::of(&place, &header.extents, None).ok()?;
    let single = axes.is_single(&header.extents);
    Some(Candidate { name: name.to_owned(), extents: header.extents, dtype: header.element.dtype, single })
}

/// The voxel size, where the archive has it as three numbers.
fn spacing(path: &Path, archive: &mut Archive) -> Option<Spacing> {
    let mut bytes = Vec::new();
    let entry = archive.by_name(&format!("{SPACING}.npy")).ok()?;
    entry.take(npy::LONGEST as u64 + 64).read_to_end(&mut bytes).ok()?;
    Spacing::checked(npy::numbers(path, bytes)?.try_into().ok()?)
}

/// An archive in the making, with one array.
pub(super) struct NpzWriter {
    path: PathBuf,
    archive: ZipWriter<Aside>,
    spacing: Option<Spacing>,
}

impl NpzWriter {
    pub(super) fn create(
        path: &Path,
        name: &str,
        shape: Shape,
        dtype: Dtype,
        spacing: Option<Spacing>,
    ) -> Result<Self> {
        let mut archive = ZipWriter::new(Aside::create(path)?);
        let failed = |e: std::io::Error| Error::io(path, e);
        archive.start_file(format!("{name}.npy"), stored()).map_err(|e| failed(e.into()))?;
        npy::write_header(&mut archive, &shape, dtype).map_err(failed)?;
        Ok(NpzWriter { path: path.to_owned(), archive, spacing })
    }

    pub(super) fn plane(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.archive.write_all(bytes)
    }

    pub(super) fn finish(self) -> Result<()> {
        let NpzWriter { path, mut archive, spacing } = self;
        let failed = |e: std::io::Error| Error::io(&path, e);
        if let Some(Spacing(edges)) = spacing {
            archive.start_file(format!("{SPACING}.npy"), stored()).map_err(|e| failed(e.into()))?;
            npy::write_header(&mut archive, &[3], Dtype::F64).map_err(failed)?;
            archive.write_all(bytemuck::cast_slice(&edges)).map_err(failed)?;
        }
        archive.finish().map_err(|e| failed(e.into()))?.finish()
    }
}

fn stored() -> SimpleFileOptions {
    SimpleFileOptions::default().compression_method(CompressionMethod::Stored).large_file(true)
}

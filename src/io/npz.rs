//! NumPy's `.npz`: a ZIP archive of `.npy` arrays, here `raw` or `label`, with the voxel size in `element_size_um` (z, y, x).
//! An array that is stored without compression stays in the mapped file.
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};

use npyz::NpyFile;
use zip::read::ZipFile;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::aside::Aside;
use super::mapped::Mapped;
use super::npy::{self, Layout};
use super::{Selection, spec};
use crate::error::{Error, Result};
use crate::volume::{Dtype, Origin, Shape, Spacing, Store, Volume, owned_bytes};

/// The array that holds the voxel size in micrometres: z, y, x.
const SPACING: &str = "element_size_um";

type Archive<'a> = ZipArchive<Cursor<&'a [u8]>>;

/// Opens one array; `name` overrules what the role stands for.
pub(super) fn open(path: &Path, name: Option<&str>, selection: &Selection) -> Result<Volume> {
    let map = Mapped::open(path)?;
    let mut archive = archive(path, map.as_ref())?;
    let name = match name {
        Some(name) => name.to_owned(),
        None => spec::choose(path, &volumes(&mut archive), selection.role)?,
    };
    let Some(index) = archive.index_for_name(&format!("{name}.npy")) else {
        let there = volumes(&mut archive).join(", ");
        return Err(Error::format(path, format!("no array {name}"), format!("one of those there: {there}")));
    };
    let spacing = spacing(&mut archive);
    let entry = archive.by_index(index).map_err(|e| broken(path, &e))?;
    let compression = entry.compression();
    let (array, store) = read(&spec::place(path, &name), &map, entry)?;
    let origin = Origin {
        path: path.to_owned(),
        dataset: Some(name),
        format: "NPZ".into(),
        compression: format!("{compression}").to_lowercase(),
        mapped: compression == CompressionMethod::Stored && !array.fortran,
    };
    Ok(Volume { shape: array.shape, dtype: array.dtype, spacing, origin, store })
}

/// The names of all arrays of three axes.
pub(super) fn datasets(path: &Path) -> Result<Vec<String>> {
    Ok(volumes(&mut archive(path, Mapped::open(path)?.as_ref())?))
}

fn archive<'a>(path: &Path, bytes: &'a [u8]) -> Result<Archive<'a>> {
    ZipArchive::new(Cursor::new(bytes)).map_err(|e| broken(path, &e))
}

fn broken(path: &Path, error: &dyn std::error::Error) -> Error {
    Error::format(path, format!("an archive that cannot be read ({error})"), "an intact NPZ file")
}

/// Maps an array that is stored as it is, decompresses any other.
fn read(path: &Path, map: &Mapped, mut entry: ZipFile<'_, Cursor<&[u8]>>) -> Result<(Layout, Store)> {
    let (start, length) = (entry.data_start(), entry.size());
    if entry.compression() == CompressionMethod::Stored
        && let Some(start) = start.and_then(|start| usize::try_from(start).ok())
    {
        let end = start.saturating_add(length as usize).min(map.as_ref().len());
        let array = Layout::read(path, &map.as_ref()[start.min(end)..end])?;
        let array = Layout { start: start + array.start, ..array };
        let store = array.store(Box::new(map.clone()));
        return Ok((array, store));
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).map_err(|e| broken(path, &e))?;
    let array = Layout::read(path, &bytes)?;
    let store = array.store(owned_bytes(bytes));
    Ok((array, store))
}

fn volumes(archive: &mut Archive) -> Vec<String> {
    let names: Vec<String> = archive.file_names().flatten().map(|name| name.into_owned()).collect();
    let mut volumes = Vec::new();
    for name in names {
        let Some(array) = name.strip_suffix(".npy") else { continue };
        let axes =
            archive.by_name(&name).ok().and_then(|entry| Some(NpyFile::new(entry).ok()?.shape().len()));
        if axes == Some(3) {
            volumes.push(array.to_owned());
        }
    }
    volumes
}

fn spacing(archive: &mut Archive) -> Option<Spacing> {
    let entry = archive.by_name(&format!("{SPACING}.npy")).ok()?;
    let array = NpyFile::new(entry).ok().filter(|array| array.shape() == [3])?;
    Spacing::checked(array.into_vec::<f64>().ok()?.try_into().ok()?)
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

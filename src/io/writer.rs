//! One way to write every format: plane after plane, so that no more than a few planes need be in memory.
use std::io::Write;
use std::path::{Path, PathBuf};

use ndarray::{ArrayView3, Axis};

use super::aside::Aside;
use super::hdf5::Hdf5Writer;
use super::npz::NpzWriter;
use super::tiff::TiffWriter;
use super::{Format, Role, Spec, metaimage, npy, nrrd, spec};
use crate::error::{Error, Result};
use crate::volume::{Dtype, Sample, Shape, Spacing};

/// A volume in the making. Dropped without [`Writer::finish`], it leaves nothing behind.
pub struct Writer {
    path: PathBuf,
    shape: Shape,
    dtype: Dtype,
    written: usize,
    file: FileWriter,
}

enum FileWriter {
    Tiff(Box<TiffWriter>),
    Hdf5(Hdf5Writer),
    /// A header, then the planes as they are.
    Plain(Aside),
    Npz(Box<NpzWriter>),
}

impl Writer {
    /// Begins a file of `shape` voxels (z, y, x) in the format that the ending of `path` names. In a file that holds
    /// several data sets, it is the one that `path` names, or the role's.
    pub fn create(
        path: &Path,
        shape: Shape,
        dtype: Dtype,
        spacing: Option<Spacing>,
        role: Role,
    ) -> Result<Self> {
        let spec = Spec::parse(path)?;
        spec.require_one_file()?;
        super::refuse_to_drop(&spec, spec.dataset.as_deref())?;
        let Spec { path, dataset, format } = spec;
        super::check_shape(&path, &shape.map(|extent| extent as u64), dtype)?;
        let name = dataset.unwrap_or_else(|| spec::default_name(role).into());
        let file = match format {
            Format::Tiff => FileWriter::Tiff(Box::new(TiffWriter::create(&path, shape, dtype, spacing)?)),
            Format::Hdf5 => FileWriter::Hdf5(Hdf5Writer::create(&path, &name, shape, dtype, spacing)?),
            Format::Npz => FileWriter::Npz(Box::new(NpzWriter::create(&path, &name, shape, dtype, spacing)?)),
            Format::Planes => {
                let found = "a folder or a pattern";
                return Err(Error::format(&path, found, "the name of one file to write"));
            }
            Format::Npy | Format::MetaImage | Format::Nrrd => {
                FileWriter::Plain(plain(format, &path, shape, dtype, spacing)?)
            }
        };
        Ok(Writer { path, shape, dtype, written: 0, file })
    }

    /// Appends planes (z, y, x); those of all calls together make the volume.
    ///
    /// # Panics
    /// Where the planes are more than the volume has, of another size, or not of its number type.
    pub fn planes<T: Sample>(&mut self, planes: ArrayView3<T>) -> Result<()> {
        let (count, rows, columns) = planes.dim();
        assert_eq!(T::DTYPE, self.dtype, "the number type of the volume");
        assert_eq!([rows, columns], self.shape[1..], "the size of a plane");
        self.written += count;
        assert!(self.written <= self.shape[0], "more planes than the volume has");
        for plane in planes.axis_iter(Axis(0)) {
            let plane = plane.as_standard_layout();
            self.plane(bytemuck::cast_slice(plane.as_slice().expect("standard layout")))?;
        }
        Ok(())
    }

    fn plane(&mut self, bytes: &[u8]) -> Result<()> {
        let written = match &mut self.file {
            FileWriter::Tiff(writer) => return writer.plane(bytes),
            FileWriter::Hdf5(writer) => writer.plane(bytes),
            FileWriter::Plain(file) => file.write_all(bytes),
            FileWriter::Npz(writer) => writer.plane(bytes),
        };
        written.map_err(|source| Error::io(&self.path, source))
    }

    /// Gives the complete file its name.
    ///
    /// # Panics
    /// Where planes are missing.
    pub fn finish(self) -> Result<()> {
        assert_eq!(self.written, self.shape[0], "all planes of the volume");
        match self.file {
            FileWriter::Tiff(writer) => writer.finish(),
            FileWriter::Hdf5(writer) => writer.finish(),
            FileWriter::Plain(file) => file.finish(),
            FileWriter::Npz(writer) => writer.finish(),
        }
    }
}

/// Begins a file that has a header and then the planes as they are.
fn plain(format: Format, path: &Path, shape: Shape, dtype: Dtype, spacing: Option<Spacing>) -> Result<Aside> {
    let mut file = Aside::create(path)?;
    let written = match format {
        Format::MetaImage => metaimage::write_header(&mut file, shape, dtype, spacing),
        Format::Nrrd => nrrd::write_header(&mut file, shape, dtype, spacing),
        _ => npy::write_header(&mut file, &shape, dtype),
    };
    written.map_err(|source| Error::io(path, source))?;
    Ok(file)
}

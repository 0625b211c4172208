//! HDF5: data sets `raw`, `label` or `segmentation`, with the voxel size in the attribute `element_size_um` (z, y, x), as
//! PlantSeg and others write them; ilastik's exports; the grids of data sets of BigDataViewer and Imaris. An uncompressed
//! contiguous data set stays in the mapped file.
mod attribute;
mod element;
mod grid;
mod header;
mod lzf;
mod storage;
mod tree;
mod write;

use std::path::{Path, PathBuf};

use hdf5_reader::error::Error as Hdf5Error;
use hdf5_reader::{Dataset, FilterRegistry, Hdf5File, OpenOptions};

use super::axes::Axes;
use super::element::Element;
use super::mapped::Mapped;
use super::spec::Candidate;
use super::{Selection, check_shape, spec};
use crate::error::{Error, Result};
use crate::io::MOST_SHRUNK;
use crate::volume::{Origin, Shape, Spacing, Volume};
use grid::{Family, Member};
use storage::Stored;
use tree::Tree;
pub(super) use write::Hdf5Writer;

/// The attribute that holds the voxel size in micrometres: z, y, x.
const SPACING: &str = "element_size_um";
/// Opens one data set; `name` overrules what the role stands for.
pub(super) fn open(path: &Path, name: Option<&str>, selection: &Selection) -> Result<Volume> {
    let source = Source::open(path)?;
    match name {
        Some(name) => source.volume(name, selection),
        None => {
            let (name, left) = source.choose(selection)?;
            source.volume(&name, &left)
        }
    }
}

/// The data sets that may be volumes.
pub(super) fn datasets(path: &Path) -> Result<Vec<Candidate>> {
    Source::open(path)?.candidates()
}

/// An open file.
struct Source {
    path: PathBuf,
    map: Mapped,
    file: Hdf5File,
}

impl Source {
    fn open(path: &Path) -> Result<Self> {
        let map = Mapped::open(path)?;
        let mut filters = FilterRegistry::new();
        filters.register(lzf::FILTER, Box::new(|_, bytes, _| lzf::decompress(bytes)));
        let options = OpenOptions::default()
            .with_filter_registry(filters)
            .with_max_chunk_bytes(map.as_ref().len().saturating_mul(MOST_SHRUNK));
        let file = Hdf5File::from_owner(map.clone(), options).map_err(|e| match e {
            Hdf5Error::InvalidMagic => Error::format(path, "no HDF5 signature", "an HDF5 file"),
            other => broken(path, &other),
        })?;
        Ok(Source { path: path.to_owned(), map, file })
    }

    /// The bytes of the whole file.
    fn bytes(&self) -> &[u8] {
        self.map.as_ref()
    }

    /// The byte from which on addresses in the file count; a block of the user's may lie before it.
    fn base(&self) -> usize {
        usize::try_from(self.file.superblock().base_address).unwrap_or(usize::MAX)
    }

    /// The data sets of numbers that have the axes of a volume; of several resolutions the full one.
    ///
    /// # Errors
    /// There is none, and what there is cannot be read.
    fn candidates(&self) -> Result<Vec<Candidate>> {
        let tree = Tree::of(&self.file).map_err(|e| broken(&self.path, &e))?;
        let all = tree.datasets.iter();
        let candidates: Vec<Candidate> =
            all.filter_map(|(name, dataset)| self.candidate(name, dataset)).collect();
        match (candidates.is_empty(), tree.unread.first()) {
            (true, Some((name, error))) => Err(broken(&spec::place(&self.path, name), error)),
            _ => Ok(candidates),
        }
    }

    fn candidate(&self, name: &str, dataset: &Dataset) -> Option<Candidate> {
        let place = spec::place(&self.path, name);
        let member = Member::of(name);
        if member.is_some_and(|member| member.level > 0) {
            return None;
        }
        let extents = dataset.shape().to_vec();
        let axes = Axes::of(&place, &extents, attribute::axes(dataset).as_deref()).ok()?;
        let dtype = element(&place, dataset, member).ok()?.dtype;
        Some(Candidate { name: name.to_owned(), single: axes.is_single(&extents), extents, dtype })
    }

    /// The data set that a selection stands for, and what is left to be selected inside it.
    fn choose(&self, selection: &Selection) -> Result<(String, Selection)> {
        let candidates = self.candidates()?;
        match grid::choose(&self.path, &self.file, &candidates, selection)? {
            Some(name) => Ok((name, selection.role.into())),
            None => Ok((spec::choose(&self.path, &candidates, selection.role)?, selection.clone())),
        }
    }

    fn dataset(&self, name: &str) -> Result<Dataset> {
        self.file.dataset(name).map_err(|error| match innermost(&error) {
            Hdf5Error::DatasetNotFound(_) | Hdf5Error::GroupNotFound(_) => {
                let there = match self.candidates() {
                    Ok(candidates) if !candidates.is_empty() => spec::listed(&candidates),
                    _ => "none".into(),
                };
                let found = format!("no data set {name} of three axes");
                Error::format(&self.path, found, format!("one of those there: {there}"))
            }
            _ => broken(&spec::place(&self.path, name), &error),
        })
    }

    /// The part of a data set of `whole` voxels that is the image, and the voxel size.
    fn image(
        &self,
        place: &Path,
        name: &str,
        dataset: &Dataset,
        whole: Shape,
    ) -> Result<(Shape, Option<Spacing>)> {
        let imaris = Member::of(name).is_some_and(|member| member.family == Family::Imaris);
        let (shape, spacing) = match imaris {
            true => grid::imaris(place, &self.file, name, dataset)?.unwrap_or((whole, None)),
            false => (whole, attribute::spacing(&self.file, dataset)),
        };
        match shape.contains(&0) {
            true => Err(Error::format(
                place,
                format!("an image of {shape:?}"),
                "at least one voxel along each axis",
            )),
            false => Ok((shape, spacing)),
        }
    }

    fn volume(&self, name: &str, selection: &Selection) -> Result<Volume> {
        let dataset = self.dataset(name)?;
        let place = spec::place(&self.path, name);
        let element = element(&place, &dataset, Member::of(name))?;
        let axes = Axes::of(&place, dataset.shape(), attribute::axes(&dataset).as_deref())?;
        let cut = axes.choose(&place, dataset.shape(), selection)?;
        let whole = check_shape(&place, &cut.extents(dataset.shape()), element.dtype)?;
        let (shape, spacing) = self.image(&place, name, &dataset, whole)?;
        let header = self.file.get_or_parse_header(dataset.address()).map_err(|e| broken(&place, &e))?;
        let stored = Stored::of(&place, self, &dataset, &header.messages)?;
        let (store, mapped) = stored.read(&element, &cut, shape)?;
        let origin = Origin {
            path: self.path.clone(),
            dataset: Some(name.to_owned()),
            format: "HDF5".into(),
            compression: stored.compression(),
            mapped,
        };
        Ok(Volume { shape, dtype: element.dtype, spacing, origin, store })
    }
}

/// How the elements of a data set are stored and read.
fn element(place: &Path, dataset: &Dataset, member: Option<Member>) -> Result<Element> {
    let message = dataset.raw_datatype().map_err(|e| broken(place, &e))?;
    let element = element::of(place, &message)?;
    let dtype = member.map_or(element.dtype, |member| member.dtype(element.dtype));
    Ok(Element { dtype, ..element })
}

fn innermost(error: &Hdf5Error) -> &Hdf5Error {
    match error {
        Hdf5Error::Context { source, .. } => innermost(source),
        other => other,
    }
}

/// An error of the decoding crate in this program's words.
fn broken(place: &Path, error: &Hdf5Error) -> Error {
    let (found, expected) = match innermost(error) {
        Hdf5Error::UnsupportedLayoutClass(3) => (
            "a virtual data set, whose voxels are in others".into(),
            "voxels of its own (h5repack -l CONTI copies them there)",
        ),
        error => (
            format!("HDF5 that cannot be read ({error})"),
            "an intact HDF5 file whose data sets are uncompressed or compressed with gzip (h5repack -f GZIP=4)",
        ),
    };
    Error::format(place, found, expected)
}

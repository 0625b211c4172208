//! HDF5: data sets `raw`, `label` or `segmentation`, with the voxel size in the attribute `element_size_um` (z, y, x), as
//! PlantSeg and others write them. An uncompressed contiguous data set stays in the mapped file.
mod write;

use std::path::Path;

use hdf5_reader::group::Group;
use hdf5_reader::messages::HdfMessage;
use hdf5_reader::messages::layout::DataLayout;
use hdf5_reader::{ByteOrder, Dataset, Datatype, Hdf5File, OpenOptions};

use super::mapped::Mapped;
use super::{Selection, check_shape, spec};
use crate::error::{Error, Result};
use crate::volume::{Dtype, Origin, Shape, Spacing, Store, Volume, owned_bytes};
pub(super) use write::Hdf5Writer;

/// The attribute that holds the voxel size in micrometres: z, y, x.
const SPACING: &str = "element_size_um";

/// Groups deeper than this are not searched; links may lead round in circles.
const DEPTH: usize = 8;

/// Opens one data set; `name` overrules what the role stands for.
pub(super) fn open(path: &Path, name: Option<&str>, selection: &Selection) -> Result<Volume> {
    let map = Mapped::open(path)?;
    let file = file(path, &map)?;
    let name = match name {
        Some(name) => name.to_owned(),
        None => spec::choose(path, &volumes(path, &file)?, selection.role)?,
    };
    let dataset = file.dataset(&name).map_err(|e| missing(path, &file, &name, &e))?;
    volume(path, &map, &file, &dataset, name)
}

/// The names of all data sets of three axes.
pub(super) fn datasets(path: &Path) -> Result<Vec<String>> {
    volumes(path, &file(path, &Mapped::open(path)?)?)
}

fn file(path: &Path, map: &Mapped) -> Result<Hdf5File> {
    Hdf5File::from_owner(map.clone(), OpenOptions::default()).map_err(|e| match e {
        hdf5_reader::error::Error::InvalidMagic => Error::format(path, "no HDF5 signature", "an HDF5 file"),
        other => broken(path, &other),
    })
}

fn broken(path: &Path, error: &hdf5_reader::error::Error) -> Error {
    let advice =
        "an intact HDF5 file whose data sets are uncompressed or compressed with gzip (h5repack -f GZIP=4)";
    Error::format(path, format!("HDF5 that cannot be read ({error})"), advice)
}

fn missing(path: &Path, file: &Hdf5File, name: &str, error: &hdf5_reader::error::Error) -> Error {
    match volumes(path, file) {
        Ok(volumes) if !volumes.iter().any(|volume| volume == name) => {
            let there = if volumes.is_empty() { "none".into() } else { volumes.join(", ") };
            Error::format(
                path,
                format!("no data set {name} of three axes"),
                format!("one of those there: {there}"),
            )
        }
        _ => broken(path, error),
    }
}

/// The data sets of three axes in all groups, as paths without the leading slash.
fn volumes(path: &Path, file: &Hdf5File) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let root = file.root_group().map_err(|e| broken(path, &e))?;
    collect(&root, "", DEPTH, &mut names).map_err(|e| broken(path, &e))?;
    Ok(names)
}

fn collect(
    group: &Group,
    prefix: &str,
    depth: usize,
    names: &mut Vec<String>,
) -> hdf5_reader::error::Result<()> {
    let (groups, datasets) = group.members()?;
    let volumes = datasets.iter().filter(|dataset| dataset.shape().len() == 3);
    names.extend(volumes.map(|dataset| format!("{prefix}{}", dataset.name())));
    for inner in groups.iter().filter(|_| depth > 0) {
        collect(inner, &format!("{prefix}{}/", inner.name()), depth - 1, names)?;
    }
    Ok(())
}

fn volume(path: &Path, map: &Mapped, file: &Hdf5File, dataset: &Dataset, name: String) -> Result<Volume> {
    let place = spec::place(path, &name);
    let (dtype, swapped) = number_type(&place, dataset)?;
    let shape = check_shape(&place, dataset.shape(), dtype)?;
    let spacing = spacing(file, dataset);
    let header = file.get_or_parse_header(dataset.address()).map_err(|e| broken(path, &e))?;
    let compression = compression(&header.messages);
    let (store, mapped) = match run_in_file(&header.messages, map, shape, dtype) {
        Some(start) => (Store::contiguous(Box::new(map.clone()), start, shape, dtype, swapped), true),
        None => (decode(&place, map, dataset, shape, dtype, swapped)?, false),
    };
    let origin =
        Origin { path: path.to_owned(), dataset: Some(name), format: "HDF5".into(), compression, mapped };
    Ok(Volume { shape, dtype, spacing, origin, store })
}

/// Where the voxels begin that lie uncompressed in one run within the file.
fn run_in_file(messages: &[HdfMessage], map: &Mapped, shape: Shape, dtype: Dtype) -> Option<usize> {
    let wanted = shape.iter().product::<usize>() * dtype.size();
    messages.iter().find_map(|message| match message {
        HdfMessage::DataLayout(layout) => match layout.layout {
            DataLayout::Contiguous { address, size } if size == wanted as u64 => {
                let start = usize::try_from(address).ok()?;
                start.checked_add(wanted).filter(|&end| end <= map.as_ref().len()).map(|_| start)
            }
            _ => None,
        },
        _ => None,
    })
}

fn decode(
    path: &Path,
    map: &Mapped,
    dataset: &Dataset,
    shape: Shape,
    dtype: Dtype,
    swapped: bool,
) -> Result<Store> {
    super::plausible(path, map.as_ref().len(), shape, dtype)?;
    let bytes = dataset.read_raw_bytes().map_err(|e| broken(path, &e))?;
    Ok(Store::contiguous(owned_bytes(bytes), 0, shape, dtype, swapped))
}

/// The number type, and whether its bytes are in another order than this machine's. Truth values are small integers.
fn number_type(path: &Path, dataset: &Dataset) -> Result<(Dtype, bool)> {
    let mut datatype = dataset.dtype();
    if let Datatype::Enum { base, .. } = datatype {
        datatype = base;
    }
    let (dtype, order) = match *datatype {
        Datatype::FixedPoint { size: 1, signed: false, byte_order } => (Dtype::U8, byte_order),
        Datatype::FixedPoint { size: 1, signed: true, byte_order } => (Dtype::I8, byte_order),
        Datatype::FixedPoint { size: 2, signed: false, byte_order } => (Dtype::U16, byte_order),
        Datatype::FixedPoint { size: 2, signed: true, byte_order } => (Dtype::I16, byte_order),
        Datatype::FixedPoint { size: 4, signed: false, byte_order } => (Dtype::U32, byte_order),
        Datatype::FixedPoint { size: 4, signed: true, byte_order } => (Dtype::I32, byte_order),
        Datatype::FixedPoint { size: 8, signed: false, byte_order } => (Dtype::U64, byte_order),
        Datatype::FixedPoint { size: 8, signed: true, byte_order } => (Dtype::I64, byte_order),
        Datatype::FloatingPoint { size: 4, byte_order } => (Dtype::F32, byte_order),
        Datatype::FloatingPoint { size: 8, byte_order } => (Dtype::F64, byte_order),
        _ => {
            let found = format!("elements of type {:?}", dataset.dtype());
            return Err(Error::format(path, found, "integers, or floating point of 32 or 64 bits"));
        }
    };
    let native = if cfg!(target_endian = "little") { ByteOrder::LittleEndian } else { ByteOrder::BigEndian };
    Ok((dtype, order != native))
}

/// The voxel size of the data set or, where it has none, of the file.
fn spacing(file: &Hdf5File, dataset: &Dataset) -> Option<Spacing> {
    let of_file = || file.root_group().ok()?.attribute(SPACING).ok();
    let attribute = dataset.attribute(SPACING).ok().or_else(of_file)?;
    let numbers: Vec<f64> = match attribute.datatype {
        Datatype::FloatingPoint { size: 4, .. } => {
            attribute.read_1d::<f32>().ok()?.into_iter().map(f64::from).collect()
        }
        Datatype::FloatingPoint { .. } => attribute.read_1d().ok()?,
        _ => attribute.read_1d::<i64>().ok()?.into_iter().map(|edge| edge as f64).collect(),
    };
    Spacing::checked(numbers.try_into().ok()?)
}

fn compression(messages: &[HdfMessage]) -> String {
    let filters = messages.iter().find_map(|message| match message {
        HdfMessage::FilterPipeline(pipeline) => Some(pipeline),
        _ => None,
    });
    let names = filters.into_iter().flat_map(|pipeline| &pipeline.filters).map(|filter| match filter.id {
        1 => "gzip".into(),
        2 => "shuffle".into(),
        3 => "fletcher32".into(),
        4 => "szip".into(),
        32000 => "LZF".into(),
        32004 => "LZ4".into(),
        other => format!("filter {other}"),
    });
    let names: Vec<String> = names.collect();
    if names.is_empty() { "none".into() } else { names.join(" + ") }
}

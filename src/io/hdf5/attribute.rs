//! What attributes say of a data set: voxel size, names of axes, texts.
use hdf5_reader::group::Group;
use hdf5_reader::{Attribute, Dataset, Datatype, Hdf5File, StringSize};

use super::SPACING;
use crate::io::axes::Axis;
use crate::volume::Spacing;

/// The voxel size of the data set or, where it has none, of the file.
pub(super) fn spacing(file: &Hdf5File, dataset: &Dataset) -> Option<Spacing> {
    let of_file = || file.root_group().ok()?.attribute(SPACING).ok();
    let attribute = dataset.attribute(SPACING).ok().or_else(of_file)?;
    Spacing::checked(numbers(&attribute)?.try_into().ok()?)
}

/// The names of the axes in the order of the data set: of ilastik and vigra (JSON), or HDF5's labels of dimensions.
pub(super) fn axes(dataset: &Dataset) -> Option<Vec<Axis>> {
    let names = match dataset.attribute("axistags").ok().and_then(|tags| text(&tags)) {
        Some(tags) => tag_keys(&tags)?,
        None => dataset.attribute("DIMENSION_LABELS").ok()?.read_strings().ok()?,
    };
    Some(names.iter().map(|name| Axis::named(name)).collect())
}

fn tag_keys(tags: &str) -> Option<Vec<String>> {
    let tags: serde_json::Value = serde_json::from_str(tags).ok()?;
    let keys = tags.get("axes")?.as_array()?.iter().map(|axis| Some(axis.get("key")?.as_str()?.to_owned()));
    keys.collect()
}

/// The text of an attribute of a group; several strings, as Imaris writes one for each letter, are put together.
pub(super) fn text_of(group: &Group, name: &str) -> Option<String> {
    text(&group.attribute(name).ok()?)
}

fn text(attribute: &Attribute) -> Option<String> {
    if let Datatype::String { size: StringSize::Fixed(_), .. } = attribute.datatype {
        let strings = attribute.raw_data.split(|&byte| byte == 0).next()?;
        return Some(crate::io::text(strings));
    }
    attribute.read_strings().map(|strings| strings.concat()).or_else(|_| attribute.read_string()).ok()
}

/// The numbers of an attribute, integers or floating point.
pub(super) fn numbers(attribute: &Attribute) -> Option<Vec<f64>> {
    macro_rules! read {
        ($type:ty) => {
            attribute.read_1d::<$type>().ok()?.into_iter().map(|number| number as f64).collect()
        };
    }
    Some(match attribute.datatype {
        Datatype::FloatingPoint { size: 4, .. } => read!(f32),
        Datatype::FloatingPoint { size: 8, .. } => read!(f64),
        Datatype::FixedPoint { size: 1, signed: false, .. } => read!(u8),
        Datatype::FixedPoint { size: 1, signed: true, .. } => read!(i8),
        Datatype::FixedPoint { size: 2, signed: false, .. } => read!(u16),
        Datatype::FixedPoint { size: 2, signed: true, .. } => read!(i16),
        Datatype::FixedPoint { size: 4, signed: false, .. } => read!(u32),
        Datatype::FixedPoint { size: 4, signed: true, .. } => read!(i32),
        Datatype::FixedPoint { size: 8, signed: false, .. } => read!(u64),
        Datatype::FixedPoint { size: 8, signed: true, .. } => read!(i64),
        _ => return None,
    })
}

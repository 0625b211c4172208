//! How a data set's voxels are stored, and reading them. What the decoding crate would read otherwise than libhdf5 does is
//! refused by its name.
use std::path::Path;

use bytemuck::{Pod, Zeroable};
use hdf5_reader::io::Cursor;
use hdf5_reader::messages::HdfMessage;
use hdf5_reader::messages::fill_value::FillTime;
use hdf5_reader::messages::filter_pipeline::FilterDescription;
use hdf5_reader::messages::layout::DataLayout;
use hdf5_reader::{Dataset, Datatype, H5Type, SliceInfo, SliceInfoElem};

use super::{Source, broken, header, lzf};
use crate::error::{Error, Result};
use crate::io::axes::Cut;
use crate::io::element::Element;
use crate::io::plausible;
use crate::io::strided::Strided;
use crate::volume::{Bytes, Shape, Store};

/// Chunks at the edge of the data set are stored without filters.
const UNFILTERED_EDGES: u8 = 1;
const UNCOMPRESSED: &str = "uncompressed voxels or gzip; h5repack -f GZIP=4 IN.h5 OUT.h5 writes such a file";

/// A data set with the messages of its header.
pub(super) struct Stored<'a> {
    source: &'a Source,
    dataset: &'a Dataset,
    place: &'a Path,
    messages: &'a [HdfMessage],
}

impl<'a> Stored<'a> {
    /// Looks at the storage of a data set.
    ///
    /// # Errors
    /// The voxels are stored in a way that cannot be read, which is named.
    pub(super) fn of(
        place: &'a Path,
        source: &'a Source,
        dataset: &'a Dataset,
        messages: &'a [HdfMessage],
    ) -> Result<Self> {
        let stored = Stored { source, dataset, place, messages };
        if messages.iter().any(|message| matches!(message, HdfMessage::ExternalFiles(_))) {
            let expected = "voxels in the file itself (h5repack -l CONTI copies them there)";
            return Err(Error::format(place, "voxels in external files", expected));
        }
        if let Some(filter) = stored.filters().iter().find(|filter| !is_known(filter.id)) {
            let found = format!("voxels compressed with {}", filter_name(filter));
            return Err(Error::format(place, found, UNCOMPRESSED));
        }
        stored.refuse_unfiltered_edges()?;
        stored.refuse_other_fill_value()?;
        Ok(stored)
    }

    fn layout(&self) -> Option<&'a DataLayout> {
        self.messages.iter().find_map(|message| match message {
            HdfMessage::DataLayout(layout) => Some(&layout.layout),
            _ => None,
        })
    }

    fn filters(&self) -> &'a [FilterDescription] {
        let found = self.messages.iter().find_map(|message| match message {
            HdfMessage::FilterPipeline(pipeline) => Some(&pipeline.filters[..]),
            _ => None,
        });
        found.unwrap_or_default()
    }

    fn refuse_unfiltered_edges(&self) -> Result<()> {
        if self.filters().is_empty() || self.dataset.chunks().is_none() {
            return Ok(());
        }
        let superblock = self.source.file.superblock();
        let file = self.source.bytes().get(self.source.base()..).unwrap_or_default();
        let (offset, length) = (superblock.offset_size, superblock.length_size);
        match header::chunk_flags(file, self.dataset.address(), offset, length) {
            Some(flags) if flags & UNFILTERED_EDGES == 0 => Ok(()),
            Some(_) => {
                Err(Error::format(self.place, "chunks at the edges that are not filtered", UNCOMPRESSED))
            }
            None => Err(Error::format(self.place, "a header without a layout", "an intact HDF5 file")),
        }
    }

    /// An error where voxels that were never written would get another value than HDF5 gives: that of the attribute
    /// `_FillValue`, as netCDF does, or a fill value that is never to be used.
    fn refuse_other_fill_value(&self) -> Result<()> {
        let own = self.messages.iter().find_map(|message| match message {
            HdfMessage::FillValue(fill) => fill.value.as_ref().map(|value| (fill.fill_time, &value[..])),
            _ => None,
        });
        let attribute = self.dataset.attribute("_FillValue").map(|fill| fill.raw_data).unwrap_or_default();
        let doubtful = match own {
            // The crate calls 1 `Always`; in the specification it is "never".
            Some((FillTime::Always, value)) => value,
            Some(_) => &[],
            None => &attribute,
        };
        if doubtful.iter().all(|&byte| byte == 0) || self.is_complete() {
            return Ok(());
        }
        let found = "voxels that were never written, with a fill value that HDF5 does not use (_FillValue, FILL_TIME_NEVER)";
        Err(Error::format(self.place, found, "a data set of which every voxel is written"))
    }

    /// Whether all voxels were written; chunks are decoded to tell.
    fn is_complete(&self) -> bool {
        match self.layout() {
            Some(DataLayout::Chunked { dims, .. }) => {
                let extents = self.dataset.shape().iter();
                let chunks =
                    extents.zip(dims).map(|(&extent, &chunk)| extent.div_ceil(u64::from(chunk.max(1))));
                let wanted = chunks.fold(1u64, u64::saturating_mul);
                self.dataset.iter_chunks().is_ok_and(|there| there.count() as u64 == wanted)
            }
            Some(DataLayout::Contiguous { address, .. }) => {
                !Cursor::is_undefined_offset(*address, self.source.file.superblock().offset_size)
            }
            _ => true,
        }
    }

    /// The voxels of `cut`, no more than `shape` of them, and whether they stay in the mapped file.
    pub(super) fn read(&self, element: &Element, cut: &Cut, shape: Shape) -> Result<(Store, bool)> {
        let extents = self.dataset.shape();
        if let Some(start) = self.run_in_file(element.size) {
            let strided = Strided::of(start, extents, cut, element.size, false).cropped(shape);
            return Ok(element.store(Box::new(self.source.map.clone()), &strided));
        }
        plausible(self.place, self.source.bytes().len(), shape, element.dtype)?;
        let (slice, parts, inner) = part(extents.len(), cut, shape);
        let bytes = self.slice(element.size, &slice)?;
        let strided = Strided::of(0, &parts, &inner, element.size, false);
        if (*bytes).as_ref().len() != strided.len() {
            let found = format!("{} bytes", (*bytes).as_ref().len());
            return Err(Error::format(self.place, found, format!("{} for {shape:?}", strided.len())));
        }
        Ok((element.store(bytes, &strided).0, false))
    }

    /// Where the voxels of all the data set begin in the file, if they lie there in one run as they are.
    fn run_in_file(&self, size: usize) -> Option<usize> {
        let voxels =
            self.dataset.shape().iter().try_fold(size as u64, |all, &extent| all.checked_mul(extent))?;
        match self.layout()? {
            DataLayout::Contiguous { address, size } if *size == voxels => {
                let start = usize::try_from(*address).ok()?.checked_add(self.source.base())?;
                let end = start.checked_add(usize::try_from(voxels).ok()?)?;
                (end <= self.source.bytes().len()).then_some(start)
            }
            _ => None,
        }
    }

    fn slice(&self, size: usize, slice: &SliceInfo) -> Result<Bytes> {
        match size {
            1 => self.slice_of::<u8>(slice),
            2 => self.slice_of::<u16>(slice),
            4 => self.slice_of::<u32>(slice),
            _ => self.slice_of::<u64>(slice),
        }
    }

    fn slice_of<T: Pod + Send + Sync>(&self, slice: &SliceInfo) -> Result<Bytes> {
        let array = self.dataset.read_slice_parallel::<Raw<T>>(slice).map_err(|e| broken(self.place, &e))?;
        let (values, start) = array.into_raw_vec_and_offset();
        match start.unwrap_or(0) {
            0 => Ok(Box::new(Values(values))),
            start => Ok(Box::new(Values(values[start..].to_vec()))),
        }
    }

    /// How the voxels are compressed, as a person calls it.
    pub(super) fn compression(&self) -> String {
        let names: Vec<String> = self.filters().iter().map(filter_name).collect();
        if names.is_empty() { "none".into() } else { names.join(" + ") }
    }
}

/// The selection that reads `cut` and no more, the extents of the array that it gives, and the volume in that.
fn part(axes: usize, cut: &Cut, shape: Shape) -> (SliceInfo, [u64; 3], Cut) {
    let selections = (0..axes).map(|axis| match cut.zyx.iter().position(|&own| own == axis) {
        Some(own) => SliceInfoElem::Slice { start: 0, end: shape[own] as u64, step: 1 },
        None => SliceInfoElem::Index(cut.position[axis]),
    });
    let slice = SliceInfo { selections: selections.collect() };
    let rank = cut.zyx.map(|axis| cut.zyx.iter().filter(|&&other| other < axis).count());
    let mut extents = [0; 3];
    (0..3).for_each(|own| extents[rank[own]] = shape[own] as u64);
    (slice, extents, Cut { zyx: rank, position: vec![0; 3] })
}

/// A number as its stored bytes, whatever its type.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(transparent)]
struct Raw<T>(T);

impl<T: Pod + Send> H5Type for Raw<T> {
    fn hdf5_type() -> Datatype {
        Datatype::Opaque { size: size_of::<T>() as u32, tag: String::new() }
    }

    fn from_bytes(bytes: &[u8], _: &Datatype) -> hdf5_reader::error::Result<Self> {
        let number = bytemuck::try_pod_read_unaligned(bytes);
        number.map_err(|_| hdf5_reader::error::Error::InvalidData("a number of another size".into()))
    }

    fn element_size(_: &Datatype) -> usize {
        size_of::<T>()
    }

    fn native_copy_compatible(_: &Datatype) -> bool {
        true
    }
}

struct Values<T>(Vec<Raw<T>>);

impl<T: Pod> AsRef<[u8]> for Values<T> {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

/// Whether a filter can be undone.
fn is_known(filter: u16) -> bool {
    matches!(filter, 1..=6 | lzf::FILTER)
}

fn filter_name(filter: &FilterDescription) -> String {
    let name = match filter.id {
        1 => "gzip",
        2 => "shuffle",
        3 => "fletcher32",
        4 => "szip",
        5 => "nbit",
        6 => "scaleoffset",
        lzf::FILTER => "LZF",
        305 => "LZO",
        307 => "bzip2",
        32001 => "Blosc",
        32004 => "LZ4",
        32008 => "bitshuffle",
        32013 => "ZFP",
        32015 => "Zstandard",
        32017 | 32024 => "SZ",
        32026 => "Blosc2",
        other => {
            let name = filter.name.as_deref().unwrap_or("without a name");
            return format!("filter {other} ({})", name.trim_end_matches('\0'));
        }
    };
    name.into()
}

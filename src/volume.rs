//! A volume: voxels in z, y, x order (x fastest) and their size. The voxels stay as they are stored, in memory or
//! in a mapped file, and are converted block by block to what a computation needs.
mod labels;
mod sample;
mod stored;

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use ndarray::parallel::prelude::*;
use ndarray::{Array3, ArrayViewMut2, Axis, s};

use crate::error::{Error, Result};
use crate::intensity::Scaling;
pub use labels::{Annotation, NOT_ANNOTATED};
pub(crate) use sample::for_dtype;
pub use sample::{Dtype, Sample};

/// Extent of a volume or block in voxels: z, y, x.
pub type Shape = [usize; 3];

/// A part of a volume or block: its voxels along z, y and x.
pub type Ranges = [Range<usize>; 3];

/// All voxels of a volume.
pub fn all(shape: Shape) -> Ranges {
    shape.map(|extent| 0..extent)
}

/// Edge lengths of a voxel in micrometres: z, y, x.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Spacing(pub [f64; 3]);

impl Spacing {
    /// A voxel size, where all three edges are positive and finite.
    pub fn checked(edges: [f64; 3]) -> Option<Self> {
        edges.iter().all(|edge| edge.is_finite() && *edge > 0.0).then_some(Spacing(edges))
    }
}

impl fmt::Display for Spacing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [z, y, x] = self.0;
        write!(f, "{z} x {y} x {x} um")
    }
}

impl FromStr for Spacing {
    type Err = Error;

    /// Three positive numbers, z, y, x, with commas between; a single one is the edge of a cube.
    fn from_str(text: &str) -> Result<Self> {
        let numbers: Option<Vec<f64>> = text.split(',').map(|number| number.trim().parse().ok()).collect();
        let edges = match numbers.as_deref() {
            Some(&[edge]) => Some([edge; 3]),
            Some(&[z, y, x]) => Some([z, y, x]),
            _ => None,
        };
        match edges.and_then(Spacing::checked) {
            Some(spacing) => Ok(spacing),
            None => Err(Error::invalid(format!(
                "voxel size {text:?}: expected Z,Y,X, three positive numbers in micrometres, for example 0.5,0.2,0.2"
            ))),
        }
    }
}

/// Where a volume comes from and how it lies there.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Origin {
    /// The file; empty for a volume made in memory.
    pub path: PathBuf,
    /// The data set inside the file, for formats that hold several.
    pub dataset: Option<String>,
    /// The format, as a person calls it.
    pub format: String,
    /// How the voxels are compressed: `none`, `LZW`, ...
    pub compression: String,
    /// Whether the voxels are read from the mapped file when they are needed; otherwise they are in memory.
    pub mapped: bool,
}

impl Origin {
    /// A file with one volume.
    pub(crate) fn file(
        path: &Path,
        format: impl Into<String>,
        compression: impl Into<String>,
        mapped: bool,
    ) -> Self {
        let (format, compression) = (format.into(), compression.into());
        Origin { path: path.to_owned(), dataset: None, format, compression, mapped }
    }

    pub(crate) fn memory() -> Self {
        Origin {
            path: PathBuf::new(),
            dataset: None,
            format: "memory".into(),
            compression: "none".into(),
            mapped: false,
        }
    }
}

/// Voxels and their size. Values are converted when they are read; the stored ones are never changed.
pub struct Volume {
    pub(crate) shape: Shape,
    pub(crate) dtype: Dtype,
    pub(crate) spacing: Option<Spacing>,
    pub(crate) origin: Origin,
    pub(crate) store: Store,
}

/// Bytes that outlive the file handle: a vector of numbers or a mapped file.
pub(crate) type Bytes = Box<dyn AsRef<[u8]> + Send + Sync>;

/// Where in a run of bytes the rows (along x) of a volume lie.
pub(crate) struct Store {
    pub(crate) bytes: Bytes,
    /// Byte at which each run of consecutive rows begins, `ceil(y / rows_per_run)` runs for each z.
    pub(crate) runs: Vec<usize>,
    pub(crate) rows_per_run: usize,
    /// Whether the bytes of a number are not in the order of this machine.
    pub(crate) swapped: bool,
}

impl Store {
    /// All voxels one after the other, from byte `start` on.
    pub(crate) fn contiguous(bytes: Bytes, start: usize, shape: Shape, dtype: Dtype, swapped: bool) -> Self {
        let plane = shape[1] * shape[2] * dtype.size();
        let runs = (0..shape[0]).map(|z| start + z * plane).collect();
        Store { bytes, runs, rows_per_run: shape[1], swapped }
    }

    /// The first byte of row `y` of plane `z`.
    fn row(&self, z: usize, y: usize, shape: Shape, row_bytes: usize) -> usize {
        let run = z * shape[1].div_ceil(self.rows_per_run) + y / self.rows_per_run;
        self.runs[run] + y % self.rows_per_run * row_bytes
    }
}

struct Owned<T>(Vec<T>);

impl<T: Sample> AsRef<[u8]> for Owned<T> {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

/// Makes bytes of a vector of numbers, without a copy.
pub(crate) fn owned_bytes<T: Sample>(values: Vec<T>) -> Bytes {
    Box::new(Owned(values))
}

impl Volume {
    /// A volume in memory; an array in another than the standard layout is copied.
    pub fn from_array<T: Sample>(voxels: Array3<T>, spacing: Option<Spacing>) -> Self {
        let shape: Shape = voxels.dim().into();
        let values = match voxels.is_standard_layout() {
            true => voxels.into_raw_vec_and_offset(),
            false => voxels.as_standard_layout().into_owned().into_raw_vec_and_offset(),
        };
        let start = values.1.unwrap_or(0) * size_of::<T>();
        let store = Store::contiguous(owned_bytes(values.0), start, shape, T::DTYPE, false);
        Volume { shape, dtype: T::DTYPE, spacing, origin: Origin::memory(), store }
    }

    /// Extent in voxels, z, y, x.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Number of voxels.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there is no voxel. No file gives such a volume.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Voxel size, where the file states one.
    pub fn spacing(&self) -> Option<Spacing> {
        self.spacing
    }

    /// The same voxels with another size.
    pub fn with_spacing(self, spacing: Option<Spacing>) -> Self {
        Volume { spacing, ..self }
    }

    /// Number type in which the voxels are stored.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Where the volume comes from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// All voxels as `f32`: 4 bytes a voxel. Large volumes are better read by blocks.
    pub fn to_f32(&self) -> Array3<f32> {
        self.read_f32([0; 3], self.shape)
    }

    /// The block of extent `shape` that begins at voxel `start`, as `f32`; only this block is read.
    ///
    /// # Panics
    /// Where the block is not inside the volume.
    pub fn read_f32(&self, start: Shape, shape: Shape) -> Array3<f32> {
        for_dtype!(self.dtype, S => self.block(start, shape, S::grey))
    }

    /// As [`read_f32`](Self::read_f32), normalised.
    ///
    /// # Panics
    /// Where the block is not inside the volume.
    pub fn read_scaled(&self, start: Shape, shape: Shape, scaling: Scaling) -> Array3<f32> {
        for_dtype!(self.dtype, S => self.block(start, shape, |value: S| scaling.apply(value.grey())))
    }

    /// The block of extent `shape` that begins at voxel `start`, as it is stored.
    ///
    /// # Panics
    /// Where the block is not inside the volume, or where `T` is not the stored type.
    pub fn read<T: Sample>(&self, start: Shape, shape: Shape) -> Array3<T> {
        assert_eq!(self.dtype, T::DTYPE, "the stored type");
        self.block(start, shape, |value| value)
    }

    /// The first voxel (in z, y, x order) that is NaN or infinite.
    pub fn first_non_finite(&self) -> Option<Shape> {
        match self.dtype {
            Dtype::F32 => {
                self.first([0; 3], self.shape, |value: f32| !value.is_finite()).map(|found| found.0)
            }
            Dtype::F64 => {
                self.first([0; 3], self.shape, |value: f64| !value.is_finite()).map(|found| found.0)
            }
            _ => None,
        }
    }

    /// Smallest and greatest value; NaN is passed over, and `None` means that there is nothing else.
    pub fn range(&self) -> Option<(f64, f64)> {
        for_dtype!(self.dtype, S => {
            let planes = (0..self.shape[0]).into_par_iter().filter_map(|z| self.range_of_plane::<S>(z));
            planes.reduce_with(|a, b| (a.0.min(b.0), a.1.max(b.1)))
        })
    }

    fn range_of_plane<S: Sample>(&self, z: usize) -> Option<(f64, f64)> {
        let rows = (0..self.shape[1]).flat_map(|y| self.row::<S>(z, y, 0, self.shape[2]));
        let numbers = rows.map(S::number).filter(|number| !number.is_nan());
        numbers.fold(None, |range, number| match range {
            None => Some((number, number)),
            Some((low, high)) => Some((number.min(low), number.max(high))),
        })
    }

    /// A name for messages: the file, with its data set where it has several.
    pub fn name(&self) -> PathBuf {
        match (&self.origin.dataset, self.origin.path.as_os_str().is_empty()) {
            (_, true) => "the volume".into(),
            (None, false) => self.origin.path.clone(),
            (Some(dataset), false) => format!("{}:{dataset}", self.origin.path.display()).into(),
        }
    }

    /// The first voxel of the block, in z, y, x order, whose value `wanted` accepts.
    fn first<S: Sample>(
        &self,
        start: Shape,
        shape: Shape,
        wanted: impl Fn(S) -> bool + Sync,
    ) -> Option<(Shape, S)> {
        self.check(start, shape);
        (0..shape[0] * shape[1]).into_par_iter().find_map_first(|row| {
            let (z, y) = (start[0] + row / shape[1], start[1] + row % shape[1]);
            let mut values = self.row::<S>(z, y, start[2], shape[2]);
            values.position(&wanted).map(|x| {
                let value = self.row::<S>(z, y, start[2] + x, 1).next().expect("a voxel of this row");
                ([z, y, start[2] + x], value)
            })
        })
    }

    /// One row of stored values from voxel (z, y, x) on, in this machine's byte order.
    pub(crate) fn row<S: Sample>(
        &self,
        z: usize,
        y: usize,
        x: usize,
        len: usize,
    ) -> impl Iterator<Item = S> + '_ {
        let size = size_of::<S>();
        let bytes = self.bytes_from([z, y, x], len, size);
        let swapped = self.store.swapped;
        bytes.chunks_exact(size).map(move |chunk| {
            let value: S = bytemuck::pod_read_unaligned(chunk);
            if swapped { value.swapped() } else { value }
        })
    }

    /// The bytes of `values` values of `size` bytes that lie one behind the other from voxel (z, y, x) on, as they are
    /// stored.
    fn bytes_from(&self, [z, y, x]: Shape, values: usize, size: usize) -> &[u8] {
        let begin = self.store.row(z, y, self.shape, self.shape[2] * size) + x * size;
        &(*self.store.bytes).as_ref()[begin..begin + values * size]
    }

    /// Converts one block; planes in parallel.
    fn block<S: Sample, T>(&self, start: Shape, shape: Shape, convert: impl Fn(S) -> T + Sync) -> Array3<T>
    where
        T: Copy + Default + Send + Sync,
    {
        self.check(start, shape);
        // Zeros are given page by page to the thread that writes them.
        let mut block = Array3::from_elem(shape, T::default());
        block.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(z, plane)| {
            self.plane(start[0] + z, [start[1], start[2]], plane, &convert);
        });
        block
    }

    fn plane<S: Sample, T>(
        &self,
        z: usize,
        [y, x]: [usize; 2],
        mut plane: ArrayViewMut2<T>,
        convert: impl Fn(S) -> T,
    ) {
        for (row, mut target) in plane.outer_iter_mut().enumerate() {
            let len = target.len();
            let values = self.row::<S>(z, y + row, x, len).map(&convert);
            target.slice_mut(s![..]).iter_mut().zip(values).for_each(|(voxel, value)| *voxel = value);
        }
    }

    fn check(&self, start: Shape, shape: Shape) {
        let inside = (0..3).all(|a| start[a].checked_add(shape[a]).is_some_and(|end| end <= self.shape[a]));
        assert!(inside, "block of {shape:?} at {start:?} in a volume of {:?}", self.shape);
    }
}

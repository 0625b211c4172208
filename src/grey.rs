//! Grey values of a block as they are stored, and how they become the network's input.
//!
//! A GPU is sent the stored numbers, which have a quarter or half of the bytes, and normalises them itself. They are
//! copied straight from the volume, which may lie in a mapped file.
use ndarray::{Array3, ArrayView3, CowArray, Ix3, Zip, s};

use crate::intensity::Scaling;
use crate::ops::contrast::Contrast;
use crate::volume::{Ranges, Shape, Volume};

/// Grey values, z, y, x: in the type in which they are stored where the network's first kernel reads it, else in `f32`.
#[derive(Clone, Debug, PartialEq)]
pub enum Stored {
    /// 8 bits, unsigned.
    U8(Array3<u8>),
    /// 16 bits, unsigned.
    U16(Array3<u16>),
    /// Whatever else there is.
    F32(Array3<f32>),
}

/// Grey values of a block and their normalisation.
#[derive(Clone)]
pub struct Grey<'a> {
    values: Values<'a>,
    /// What is to be done to them.
    pub scaling: Scaling,
    /// How local contrast is normalised after that, and the part of the values that the block consists of: the others
    /// are what its cubes reach.
    pub local: Option<(Contrast, Ranges)>,
}

#[derive(Clone)]
enum Values<'a> {
    Here(Stored),
    Lent(ArrayView3<'a, f32>),
    /// They are read when they are needed.
    InVolume {
        volume: &'a Volume,
        start: Shape,
        shape: Shape,
    },
}

impl<'a> Grey<'a> {
    /// `scaling` is yet to be applied to the values.
    pub fn new(stored: Stored, scaling: Scaling) -> Self {
        let stored = match stored {
            Stored::U8(values) => Stored::U8(in_rows(values)),
            Stored::U16(values) => Stored::U16(in_rows(values)),
            Stored::F32(values) => Stored::F32(in_rows(values)),
        };
        Grey { values: Values::Here(stored), scaling, local: None }
    }

    /// The block of extent `shape` that begins at voxel `start`; `scaling` is yet to be applied to it.
    ///
    /// # Panics
    /// What reads it does, where the block is not inside the volume.
    pub fn of_block(volume: &'a Volume, start: Shape, shape: Shape, scaling: Scaling) -> Self {
        Grey { values: Values::InVolume { volume, start, shape }, scaling, local: None }
    }

    /// The block of extent `shape` that begins at voxel `start` of a volume of extent `whole`, of which `read` gives a
    /// region (first voxel, extent), with local contrast normalised where that is asked for.
    pub fn seen(
        contrast: Option<Contrast>,
        start: Shape,
        shape: Shape,
        whole: Shape,
        read: impl FnOnce(Shape, Shape) -> Self,
    ) -> Self {
        let Some(contrast) = contrast else { return read(start, shape) };
        let (start, shape, part) = contrast.covered(start, shape, whole);
        read(start, shape).with_contrast(contrast, part)
    }

    /// The same values, of which a part is the block: local contrast is normalised there.
    pub fn with_contrast(self, contrast: Contrast, part: Ranges) -> Self {
        Grey { local: Some((contrast, part)), ..self }
    }

    /// Extent of the block, z, y, x.
    pub fn shape(&self) -> Shape {
        match &self.local {
            Some((_, part)) => part.clone().map(|range| range.len()),
            None => self.extent(),
        }
    }

    /// Extent of all values, z, y, x.
    pub fn extent(&self) -> Shape {
        match &self.values {
            Values::Here(Stored::U8(values)) => values.dim().into(),
            Values::Here(Stored::U16(values)) => values.dim().into(),
            Values::Here(Stored::F32(values)) => values.dim().into(),
            Values::Lent(values) => values.dim().into(),
            Values::InVolume { shape, .. } => *shape,
        }
    }

    /// Bytes of a value.
    pub fn size(&self) -> usize {
        match &self.values {
            Values::Here(Stored::U8(_)) => size_of::<u8>(),
            Values::Here(Stored::U16(_)) => size_of::<u16>(),
            Values::Here(Stored::F32(_)) | Values::Lent(_) => size_of::<f32>(),
            Values::InVolume { volume, .. } => volume.stored_size(),
        }
    }

    /// Bytes of all values.
    pub fn bytes(&self) -> usize {
        self.extent().iter().product::<usize>() * self.size()
    }

    /// Copies values as they are stored, x fastest, from byte `first` on, with which a value begins, as many as
    /// `target` has bytes for.
    ///
    /// # Panics
    /// Where there are fewer.
    pub fn copy_to(&self, first: usize, target: &mut [u8]) {
        let here = match &self.values {
            Values::Here(Stored::U8(values)) => values.as_slice(),
            Values::Here(Stored::U16(values)) => values.as_slice().map(bytemuck::cast_slice),
            Values::Here(Stored::F32(values)) => values.as_slice().map(bytemuck::cast_slice),
            Values::Lent(values) => return copy_values(*values, first / size_of::<f32>(), target),
            Values::InVolume { volume, start, shape } => {
                return volume.copy_stored(*start, *shape, first / self.size(), target);
            }
        };
        target.copy_from_slice(&here.unwrap_or_default()[first..first + target.len()]);
    }

    /// The network's input.
    pub fn normalised(&self) -> CowArray<'_, f32, Ix3> {
        match &self.values {
            Values::Here(Stored::F32(values)) if self.is_ready() => values.into(),
            Values::Lent(values) if self.is_ready() => values.into(),
            _ => self.clone().into_normalised().into(),
        }
    }

    /// Values that are the network's input already.
    pub fn made_ready(self) -> Self {
        match &self.values {
            Values::Lent(_) if self.is_ready() => self,
            _ => self.into_normalised().into(),
        }
    }

    /// Whether the values are the network's input as they are.
    fn is_ready(&self) -> bool {
        self.scaling == Scaling::IDENTITY && self.local.is_none()
    }

    /// The network's input, in the memory of the values where they are `f32`.
    pub fn into_normalised(mut self) -> Array3<f32> {
        match self.local.take() {
            Some((contrast, part)) => contrast.normalise(self.into_normalised().view(), &part),
            None => self.into_fitted(),
        }
    }

    /// All values with the scaling applied.
    fn into_fitted(self) -> Array3<f32> {
        let Grey { values, scaling, .. } = self;
        match values {
            Values::Here(Stored::U8(values)) => {
                Zip::from(&values).par_map_collect(|&x| scaling.apply(x.into()))
            }
            Values::Here(Stored::U16(values)) => {
                Zip::from(&values).par_map_collect(|&x| scaling.apply(x.into()))
            }
            Values::Here(Stored::F32(values)) if scaling == Scaling::IDENTITY => values,
            Values::Here(Stored::F32(mut values)) => {
                values.par_mapv_inplace(|x| scaling.apply(x));
                values
            }
            Values::Lent(values) => Zip::from(values).par_map_collect(|&x| scaling.apply(x)),
            Values::InVolume { volume, start, shape } => volume.read_scaled(start, shape, scaling),
        }
    }
}

/// Values that are the network's input already.
impl From<Array3<f32>> for Grey<'_> {
    fn from(values: Array3<f32>) -> Self {
        Grey::new(Stored::F32(values), Scaling::IDENTITY)
    }
}

/// As above, where they stay.
impl<'a> From<ArrayView3<'a, f32>> for Grey<'a> {
    fn from(values: ArrayView3<'a, f32>) -> Self {
        Grey { values: Values::Lent(values), scaling: Scaling::IDENTITY, local: None }
    }
}

/// Copies values from value `first` on, x fastest, as many as `target` has bytes for.
fn copy_values(values: ArrayView3<f32>, mut first: usize, mut target: &mut [u8]) {
    let (_, height, width) = values.dim();
    while !target.is_empty() {
        let (row, x) = (first / width, first % width);
        let here = values.slice(s![row / height, row % height, x..]);
        let count = here.len().min(target.len() / size_of::<f32>());
        let (places, behind) = std::mem::take(&mut target).split_at_mut(count * size_of::<f32>());
        match here.to_slice() {
            Some(here) => places.copy_from_slice(bytemuck::cast_slice(&here[..count])),
            None => places
                .chunks_exact_mut(size_of::<f32>())
                .zip(here)
                .for_each(|(place, value)| place.copy_from_slice(&value.to_ne_bytes())),
        }
        (first, target) = (first + count, behind);
    }
}

fn in_rows<T: Copy>(values: Array3<T>) -> Array3<T> {
    if values.is_standard_layout() { values } else { values.as_standard_layout().into_owned() }
}

//! Grey values of a block as they are stored, and how they become the network's input.
//!
//! A GPU is sent the stored numbers, which have a quarter or half of the bytes, and normalises them itself.
use ndarray::{Array3, CowArray, Ix3, Zip};

use crate::intensity::Scaling;
use crate::volume::Shape;

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
#[derive(Clone, Debug, PartialEq)]
pub struct Grey {
    stored: Stored,
    /// What is to be done to them.
    pub scaling: Scaling,
}

impl Grey {
    /// `scaling` is yet to be applied to the values.
    pub fn new(stored: Stored, scaling: Scaling) -> Self {
        let stored = match stored {
            Stored::U8(values) => Stored::U8(in_rows(values)),
            Stored::U16(values) => Stored::U16(in_rows(values)),
            Stored::F32(values) => Stored::F32(in_rows(values)),
        };
        Grey { stored, scaling }
    }

    /// Extent, z, y, x.
    pub fn shape(&self) -> Shape {
        match &self.stored {
            Stored::U8(values) => values.dim().into(),
            Stored::U16(values) => values.dim().into(),
            Stored::F32(values) => values.dim().into(),
        }
    }

    /// Bytes of a value.
    pub fn size(&self) -> usize {
        match &self.stored {
            Stored::U8(_) => size_of::<u8>(),
            Stored::U16(_) => size_of::<u16>(),
            Stored::F32(_) => size_of::<f32>(),
        }
    }

    /// The values as they are stored, x fastest.
    pub fn bytes(&self) -> &[u8] {
        match &self.stored {
            Stored::U8(values) => values.as_slice().unwrap_or_default(),
            Stored::U16(values) => bytemuck::cast_slice(values.as_slice().unwrap_or_default()),
            Stored::F32(values) => bytemuck::cast_slice(values.as_slice().unwrap_or_default()),
        }
    }

    /// The network's input.
    pub fn normalised(&self) -> CowArray<'_, f32, Ix3> {
        match &self.stored {
            Stored::F32(values) if self.scaling == Scaling::IDENTITY => values.into(),
            _ => self.clone().into_normalised().into(),
        }
    }

    /// The network's input, in the memory of the values where they are `f32`.
    pub fn into_normalised(self) -> Array3<f32> {
        let Grey { stored, scaling } = self;
        match stored {
            Stored::U8(values) => Zip::from(&values).par_map_collect(|&x| scaling.apply(x.into())),
            Stored::U16(values) => Zip::from(&values).par_map_collect(|&x| scaling.apply(x.into())),
            Stored::F32(values) if scaling == Scaling::IDENTITY => values,
            Stored::F32(mut values) => {
                values.par_mapv_inplace(|x| scaling.apply(x));
                values
            }
        }
    }
}

/// Values that are the network's input already.
impl From<Array3<f32>> for Grey {
    fn from(values: Array3<f32>) -> Self {
        Grey::new(Stored::F32(values), Scaling::IDENTITY)
    }
}

fn in_rows<T: Copy>(values: Array3<T>) -> Array3<T> {
    if values.is_standard_layout() { values } else { values.as_standard_layout().into_owned() }
}

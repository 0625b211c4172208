//! NumPy's `.npy`: a line of text that says type, order and shape, then the numbers.
use std::io::{Cursor, Write};
use std::path::Path;

use npyz::{DType, Endianness, NpyHeader, Order, TypeChar, TypeStr};

use super::Selection;
use super::mapped::Mapped;
use crate::error::{Error, Result};
use crate::volume::{Bytes, Dtype, Origin, Shape, Store, Volume, for_dtype};

const EXPECTED: &str = "a NumPy array of three axes z, y, x with numbers";

/// Opens a `.npy` file without reading its voxels.
pub(super) fn open(path: &Path, _selection: &Selection) -> Result<Volume> {
    let map = Mapped::open(path)?;
    let array = Layout::read(path, map.as_ref())?;
    let origin = Origin {
        path: path.to_owned(),
        dataset: None,
        format: "NPY".into(),
        compression: "none".into(),
        mapped: !array.fortran,
    };
    Ok(Volume {
        shape: array.shape,
        dtype: array.dtype,
        spacing: None,
        origin,
        store: array.store(Box::new(map)),
    })
}

/// Where an array lies in the bytes of a `.npy` file, and what it is.
pub(super) struct Layout {
    pub(super) start: usize,
    pub(super) shape: Shape,
    pub(super) dtype: Dtype,
    pub(super) swapped: bool,
    /// Whether z is the fastest axis, not x.
    pub(super) fortran: bool,
}

impl Layout {
    /// Reads the header; an error where the voxels that it announces are not all there.
    pub(super) fn read(path: &Path, bytes: &[u8]) -> Result<Self> {
        let mut cursor = Cursor::new(bytes);
        let header = NpyHeader::from_reader(&mut cursor)
            .map_err(|e| Error::format(path, format!("no NumPy header ({e})"), EXPECTED))?;
        let start = cursor.position() as usize;
        let (dtype, swapped) = number_type(path, &header.dtype())?;
        let fortran = header.order() == Order::Fortran;
        let shape = super::check_shape(path, header.shape(), dtype)?;
        let wanted = shape.iter().product::<usize>() * dtype.size();
        if bytes.len() - start < wanted {
            let found = format!("{} bytes of voxels", bytes.len() - start);
            return Err(Error::format(
                path,
                found,
                format!("{wanted} for {shape:?} of {dtype}; is the file cut short?"),
            ));
        }
        Ok(Layout { start, shape, dtype, swapped, fortran })
    }

    /// The voxels in the bytes of the file; those in Fortran order are copied into the order z, y, x.
    pub(super) fn store(&self, bytes: Bytes) -> Store {
        if !self.fortran {
            return Store::contiguous(bytes, self.start, self.shape, self.dtype, self.swapped);
        }
        let [z, y, x] = self.shape;
        let source = Store::contiguous(bytes, self.start, [x, y, z], self.dtype, self.swapped);
        let array = Volume {
            shape: [x, y, z],
            dtype: self.dtype,
            spacing: None,
            origin: Origin::memory(),
            store: source,
        };
        for_dtype!(self.dtype, S => {
            let turned = array.read::<S>([0; 3], [x, y, z]).reversed_axes();
            Volume::from_array(turned, None).store
        })
    }
}

fn number_type(path: &Path, dtype: &DType) -> Result<(Dtype, bool)> {
    let refused = || Error::format(path, format!("elements of type {}", dtype.descr()), EXPECTED);
    let DType::Plain(plain) = dtype else { return Err(refused()) };
    let number = known_type(plain).ok_or_else(refused)?;
    let foreign = if cfg!(target_endian = "little") { Endianness::Big } else { Endianness::Little };
    Ok((number, plain.endianness() == foreign))
}

fn known_type(plain: &TypeStr) -> Option<Dtype> {
    Some(match (plain.type_char(), plain.size_field()) {
        (TypeChar::Uint | TypeChar::Bool, 1) => Dtype::U8,
        (TypeChar::Uint, 2) => Dtype::U16,
        (TypeChar::Uint, 4) => Dtype::U32,
        (TypeChar::Uint, 8) => Dtype::U64,
        (TypeChar::Int, 1) => Dtype::I8,
        (TypeChar::Int, 2) => Dtype::I16,
        (TypeChar::Int, 4) => Dtype::I32,
        (TypeChar::Int, 8) => Dtype::I64,
        (TypeChar::Float, 4) => Dtype::F32,
        (TypeChar::Float, 8) => Dtype::F64,
        _ => return None,
    })
}

/// Writes the text before the numbers, padded so that they begin at a multiple of 64 bytes.
pub(super) fn write_header(mut out: impl Write, shape: &[usize], dtype: Dtype) -> std::io::Result<()> {
    let order = if cfg!(target_endian = "little") { '<' } else { '>' };
    let descr = match dtype {
        Dtype::U8 => "|u1".into(),
        Dtype::I8 => "|i1".into(),
        Dtype::U16 | Dtype::U32 | Dtype::U64 => format!("{order}u{}", dtype.size()),
        Dtype::I16 | Dtype::I32 | Dtype::I64 => format!("{order}i{}", dtype.size()),
        Dtype::F32 | Dtype::F64 => format!("{order}f{}", dtype.size()),
    };
    let extents: String = shape.iter().map(|extent| format!("{extent}, ")).collect();
    let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({extents}), }}");
    let before = 10;
    let length = (before + text.len() + 1).next_multiple_of(64) - before;
    out.write_all(b"\x93NUMPY\x01\x00")?;
    out.write_all(&(length as u16).to_le_bytes())?;
    writeln!(out, "{text:<width$}", width = length - 1)
}
